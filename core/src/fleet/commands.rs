//! What the application asks, one function a command.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Fleet;
use crate::{
    config::near::near_miss,
    error::{CallError, CommandError, Limit, RpcError},
    event::{CatalogKind, Event, Reply},
    ids::{CallId, ClientId, CommandId, InputId, ServerId, ServerName},
    input::{CallOptions, McpCommand, Request},
    pool::{Asker, Goal, Member, Place, Pool, Role},
    server::check_request,
    stats::FleetStats,
    time::Time,
    wire::RawJson,
};

/// What a caller is told to wait where the fleet has too many calls, about.
const RETRY_AFTER: Duration = Duration::from_millis(100);

impl Fleet {
    pub(super) fn handle_command(&mut self, now: Time, command: McpCommand) {
        match command {
            McpCommand::Deploy { id, config } => self.deploy(now, Asker::Command(id), *config),
            McpCommand::Undeploy { id, server } => {
                if let Some(name) = self.find(id, &server) {
                    self.undeploy(now, Asker::Command(id), &name);
                }
            }
            McpCommand::Execute {
                call,
                server,
                request,
                options,
            } => {
                self.execute(now, call, server, request, &options);
            }
            McpCommand::Cancel { call, reason } => {
                if let Some(server) = self.calls.get(&call) {
                    self.with_server(now, *server, |server, cx| {
                        server.cancel(cx, call, reason.as_deref());
                    });
                }
            }
            McpCommand::ClientGone { client } => self.forget_client(now, client),
            McpCommand::Restart { id, server } => {
                if let Some(name) = self.find_to_change(id, &server) {
                    self.restart(now, Asker::Command(id), &name);
                }
            }
            McpCommand::HealthCheck { id, server } => self.check(now, id, server.as_deref()),
            McpCommand::ListServers { id } => {
                let all = self.by_name.values();
                let all = all.filter_map(|pool| self.info(now, pool)).collect();
                self.end(id, Ok(Reply::Servers(all)));
            }
            McpCommand::ListCatalog { id, server, kind } => self.list(now, id, &server, kind),
            McpCommand::GetMetrics { id, server } => self.metrics(id, server.as_deref()),
            McpCommand::UpdateConfig { id, config } => {
                if self.find_to_change(id, config.name.as_str()).is_some() {
                    self.update(now, Asker::Command(id), *config);
                }
            }
            McpCommand::Reload { id, config } => self.reload(now, id, *config),
            McpCommand::Answer { id, input, answer } => self.answer(now, id, input, answer),
            McpCommand::Shutdown { id, grace } => self.shut_down(now, id, grace),
        }
    }

    fn execute(
        &mut self,
        now: Time,
        call: CallId,
        name: String,
        request: Request,
        options: &CallOptions,
    ) {
        if self.calls.contains_key(&call) {
            return;
        }
        let Some((found, pool)) = self.by_name.get_key_value(name.as_str()) else {
            let refusal = if self.shutdown.is_some() {
                CallError::ShuttingDown
            } else {
                let near = self.near_miss(&name);
                CallError::NotFound { server: name, near }
            };
            return self.refuse(call, refusal);
        };
        if self.shutdown.is_some() {
            return self.refuse(call, CallError::ShuttingDown);
        }
        if let Some(limit) = self.full(options.client) {
            let refusal = CallError::Overloaded {
                server: found.clone(),
                limit,
                retry_after: self.rng.spread(RETRY_AFTER),
            };
            return self.refuse(call, refusal);
        }
        // Whoever gets a request that cannot be sent refuses it.
        let place = if pool.has_owners() && check_request(&request).is_ok() {
            pool.place_of(options.client, &self.seen(now, pool))
        } else {
            None
        };
        let found = found.clone();
        let server = match place {
            Some(Place::Member(own)) => Some(own),
            Some(Place::New(idle)) => self.raise_for(now, &found, options.client, idle),
            Some(Place::Disabled) => {
                let reason = "is disabled in its configuration".to_owned();
                let server = found;
                return self.refuse(call, CallError::Unavailable { server, reason });
            }
            Some(Place::Full) => {
                let refusal = CallError::Overloaded {
                    server: found,
                    limit: Limit::Clients,
                    retry_after: self.rng.spread(RETRY_AFTER),
                };
                return self.refuse(call, refusal);
            }
            None => self.choose(now, pool),
        };
        let Some(server) = server else {
            let refusal = CallError::NotFound {
                server: name,
                near: None,
            };
            return self.refuse(call, refusal);
        };
        self.calls.insert(call, server);
        self.clients.begin(call, options.client);
        self.with_server(now, server, |server, cx| {
            server.execute(cx, call, request, options);
        });
    }

    /// Ends a call that no server was asked to take.
    fn refuse(&mut self, call: CallId, refusal: CallError) {
        self.total.ended(Some(&refusal), Duration::ZERO);
        self.out.event(Event::CallEnded {
            call,
            outcome: Err(refusal),
        });
    }

    /// The member of a pool that is to have the next call.
    fn choose(&self, now: Time, pool: &Pool) -> Option<ServerId> {
        match pool.members() {
            [only] => Some(only.id),
            _ => Pool::route(&self.seen(now, pool)),
        }
    }

    /// The limit of the fleet's calls that leaves no room for one more of the client.
    fn full(&self, client: Option<ClientId>) -> Option<Limit> {
        if self.calls.len() >= self.limits.calls {
            return Some(Limit::Fleet);
        }
        let bound = self.limits.calls_of_client()?;
        (self.clients.count(client) >= bound).then_some(Limit::Client)
    }

    /// Gives up all calls of a client, server by server.
    fn forget_client(&mut self, now: Time, client: ClientId) {
        let mut by_server: BTreeMap<ServerId, Vec<CallId>> = BTreeMap::new();
        for call in self.clients.calls(client) {
            if let Some(server) = self.calls.get(&call) {
                by_server.entry(*server).or_default().push(call);
            }
        }
        // All of them before the calls that are left change hands.
        let mut touched = BTreeSet::new();
        for (id, calls) in by_server {
            touched.extend(self.server(id).map(|server| server.name().clone()));
            self.let_act(now, id, |server, cx| {
                server.cancel_all(cx, &calls, "the client is gone");
            });
        }
        for name in touched {
            self.settle(now, &name);
        }
        let owned = self.by_name.iter();
        let owned = owned.map(|(name, pool)| (name.clone(), pool.of_client(client)));
        let owned: Vec<_> = owned.filter(|(_, members)| !members.is_empty()).collect();
        for (name, members) in owned {
            self.dismiss(now, &name, &members);
            self.settle(now, &name);
        }
    }

    fn check(&mut self, now: Time, id: CommandId, name: Option<&str>) {
        let pools: Vec<&Pool> = match name {
            Some(name) => match self.find(id, name).and_then(|name| self.by_name.get(&name)) {
                Some(pool) => vec![pool],
                None => return,
            },
            None => self.by_name.values().collect(),
        };
        let members = pools.into_iter().flat_map(|pool| {
            let staying = |member: &&Member| pool.is_leaving() || member.role != Role::Leaving;
            pool.members()
                .iter()
                .filter(staying)
                .map(|member| member.id)
        });
        let members: Vec<ServerId> = members.collect();
        if members.is_empty() {
            return self.end(id, Ok(Reply::Health(Vec::new())));
        }
        self.checks.begin(id, members.len());
        // All of them are asked before one can be gone by what another said.
        let mut touched = BTreeSet::new();
        for member in members {
            touched.extend(self.server(member).map(|server| server.name().clone()));
            self.let_act(now, member, |server, cx| server.check(cx, id));
        }
        for name in touched {
            self.settle(now, &name);
        }
    }

    fn list(&mut self, now: Time, id: CommandId, name: &str, kind: CatalogKind) {
        let Some(name) = self.find(id, name) else {
            return;
        };
        let Some(pool) = self.by_name.get(&name) else {
            return;
        };
        if let Some(error) = pool.refuse_to_wait(Asker::Command(id), false) {
            return self.end(id, Err(error));
        }
        let Some(member) = self.choose(now, pool) else {
            return;
        };
        let readings = self
            .server(member)
            .map(|server| server.readings_awaited(kind));
        let goal = Goal::List {
            kind,
            member,
            readings: readings.unwrap_or_default(),
        };
        if let Some(pool) = self.by_name.get_mut(&name) {
            pool.waiters.push(Asker::Command(id), goal);
        }
        self.settle(now, &name);
    }

    fn metrics(&mut self, id: CommandId, name: Option<&str>) {
        let Some(name) = name else {
            let all = self.stats();
            return self.end(id, Ok(Reply::Metrics(Box::new(all))));
        };
        let Some(name) = self.find(id, name) else {
            return;
        };
        let Some(pool) = self.by_name.get(&name) else {
            return;
        };
        let stats = self.pool_stats(pool);
        let one = FleetStats {
            servers: 1,
            active_servers: usize::from(self.is_pool_ready(pool)),
            total: stats.clone(),
            by_server: vec![(name, stats)],
            stale_signals: self.stale_signals,
        };
        self.end(id, Ok(Reply::Metrics(Box::new(one))));
    }

    fn answer(
        &mut self,
        now: Time,
        id: CommandId,
        input: InputId,
        answer: Result<RawJson, RpcError>,
    ) {
        let Some(server) = self.inputs.get(&input).copied() else {
            return self.end(id, Err(CommandError::NoSuchInput));
        };
        self.with_server(now, server, |server, cx| server.answer(cx, input, answer));
        self.end(id, Ok(Reply::Done));
    }

    /// The server of that name, where the fleet is not on its way out; or the end of the command.
    fn find_to_change(&mut self, id: CommandId, name: &str) -> Option<ServerName> {
        if self.shutdown.is_some() {
            self.end(id, Err(CommandError::ShuttingDown));
            return None;
        }
        self.find(id, name)
    }

    /// A deployed name that was probably meant: a slip of the pen away, or one begins the other.
    pub(super) fn near_miss(&self, name: &str) -> Option<ServerName> {
        let names = || self.by_name.keys().map(ServerName::as_str);
        let begins = |candidate: &&str| candidate.starts_with(name) || name.starts_with(candidate);
        let meant = near_miss(name, names())
            .or_else(|| names().filter(|_| !name.is_empty()).find(begins))?;
        self.by_name
            .get_key_value(meant)
            .map(|(name, _)| name.clone())
    }

    pub(super) fn end(&mut self, id: CommandId, outcome: Result<Reply, CommandError>) {
        self.out.event(Event::CommandEnded { id, outcome });
    }
}

pub(super) const fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
