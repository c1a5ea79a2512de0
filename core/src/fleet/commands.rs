//! What the application asks, one function a command.

use std::{collections::BTreeMap, time::Duration};

use super::{Fleet, index, order::Errand};
use crate::{
    config::{ServerConfig, near::near_miss},
    error::{CallError, CommandError, Limit, RpcError},
    event::{CatalogKind, Event, Reply},
    ids::{CallId, ClientId, CommandId, InputId, ServerId, ServerName},
    input::{CallOptions, McpCommand, Request},
    server::{Goal, Server},
    stats::FleetStats,
    time::Time,
    wire::RawJson,
};

/// What a caller is told to wait where the fleet has too many calls, about.
const RETRY_AFTER: Duration = Duration::from_millis(100);

impl Fleet {
    pub(super) fn handle_command(&mut self, now: Time, command: McpCommand) {
        match command {
            McpCommand::Deploy { id, config } => self.deploy(now, id, *config),
            McpCommand::Undeploy { id, server } => self.undeploy(now, id, &server),
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
            McpCommand::Restart { id, server } => self.restart(now, id, &server),
            McpCommand::HealthCheck { id, server } => self.check(now, id, server.as_deref()),
            McpCommand::ListServers { id } => {
                let all = self
                    .by_name
                    .values()
                    .filter_map(|id| self.servers.get(index(*id)));
                let all = all.map(Server::info).collect();
                self.end(id, Ok(Reply::Servers(all)));
            }
            McpCommand::ListCatalog { id, server, kind } => self.list(now, id, &server, kind),
            McpCommand::GetMetrics { id, server } => self.metrics(id, server.as_deref()),
            McpCommand::UpdateConfig { id, config } => self.update(now, id, *config),
            McpCommand::Answer { id, input, answer } => self.answer(now, id, input, answer),
            McpCommand::Shutdown { id, grace } => self.shut_down(now, id, grace),
        }
    }

    fn deploy(&mut self, now: Time, id: CommandId, config: ServerConfig) {
        if self.shutdown.is_some() {
            return self.end(id, Err(CommandError::ShuttingDown));
        }
        if self
            .by_name
            .keys()
            .any(|name| same_name(name.as_str(), config.name.as_str()))
        {
            let server = config.name;
            return self.end(id, Err(CommandError::AlreadyDeployed { server }));
        }
        if self.servers.len() >= self.limits.servers {
            let limit = self.limits.servers;
            return self.end(id, Err(CommandError::FleetFull { limit }));
        }
        if let Some(error) = self.refuse_place(&config) {
            return self.end(id, Err(error));
        }
        let enabled = config.enabled;
        let server = self.add(config);
        self.on_moved(now, server);
        if enabled {
            self.with_server(now, server, |server, cx| {
                server.start(cx);
                server.wait(cx, id, Goal::Ready);
            });
        } else {
            self.end(id, Ok(Reply::Done));
        }
    }

    fn add(&mut self, config: ServerConfig) -> ServerId {
        let entry = self.servers.vacant_entry();
        let slot = entry.key();
        if self.last_incarnation.len() <= slot {
            self.last_incarnation.resize(slot + 1, 0);
            self.scheduled.resize(slot + 1, None);
        }
        let last = self.last_incarnation.get(slot).copied().unwrap_or_default();
        let id = ServerId(u32::try_from(slot).unwrap_or(u32::MAX));
        self.by_name.insert(config.name.clone(), id);
        self.order
            .place(&config.name, config.after.clone(), config.group.clone());
        entry.insert(Server::new(id, config, last, self.offer.clone()));
        id
    }

    fn undeploy(&mut self, now: Time, id: CommandId, name: &str) {
        let Some(server) = self.find_to_wait(id, name, Goal::Gone) else {
            return;
        };
        self.with_server(now, server, |server, cx| {
            server.wait(cx, id, Goal::Gone);
            server.retire(cx);
        });
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
        let Some((found, server)) = self.by_name.get_key_value(name.as_str()) else {
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
        let server = *server;
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
        for (server, calls) in by_server {
            self.with_server(now, server, |server, cx| {
                server.cancel_all(cx, &calls, "the client is gone");
            });
        }
    }

    fn restart(&mut self, now: Time, id: CommandId, name: &str) {
        if self.shutdown.is_some() {
            return self.end(id, Err(CommandError::ShuttingDown));
        }
        let Some(server) = self.find_to_wait(id, name, Goal::Ready) else {
            return;
        };
        self.with_server(now, server, |server, cx| {
            server.begin_anew(cx);
            server.wait(cx, id, Goal::Ready);
        });
    }

    fn check(&mut self, now: Time, id: CommandId, name: Option<&str>) {
        let servers: Vec<ServerId> = match name {
            Some(name) => match self.find(id, name) {
                Some(server) => vec![server],
                None => return,
            },
            None => self.by_name.values().copied().collect(),
        };
        if servers.is_empty() {
            return self.end(id, Ok(Reply::Health(Vec::new())));
        }
        self.checks.begin(id, servers.len());
        for server in servers {
            self.with_server(now, server, |server, cx| server.check(cx, id));
        }
    }

    fn list(&mut self, now: Time, id: CommandId, name: &str, kind: CatalogKind) {
        let Some(server) = self.find_to_wait(id, name, Goal::List(kind)) else {
            return;
        };
        self.with_server(now, server, |server, cx| {
            server.wait(cx, id, Goal::List(kind))
        });
    }

    fn metrics(&mut self, id: CommandId, name: Option<&str>) {
        let Some(name) = name else {
            let all = self.stats();
            return self.end(id, Ok(Reply::Metrics(Box::new(all))));
        };
        let Some(server) = self.find(id, name) else {
            return;
        };
        let Some(server) = self.servers.get(index(server)) else {
            return;
        };
        let stats = server.stats();
        let one = FleetStats {
            servers: 1,
            active_servers: usize::from(server.in_rotation()),
            total: stats.clone(),
            by_server: vec![(server.name().clone(), stats)],
            stale_signals: self.stale_signals,
        };
        self.end(id, Ok(Reply::Metrics(Box::new(one))));
    }

    fn update(&mut self, now: Time, id: CommandId, config: ServerConfig) {
        if self.shutdown.is_some() {
            return self.end(id, Err(CommandError::ShuttingDown));
        }
        let Some(server) = self.find(id, config.name.as_str()) else {
            return;
        };
        let Some(current) = self.servers.get(index(server)) else {
            return;
        };
        let same = *current.kind() == config.kind && current.is_enabled() == config.enabled;
        let goal = match (same, config.enabled) {
            (true, _) => None,
            (false, true) => Some(Goal::Ready),
            (false, false) => Some(Goal::Stopped),
        };
        if let Some(error) = goal.and_then(|goal| current.refuse_to_wait(goal)) {
            return self.end(id, Err(error));
        }
        if let Some(error) = self.refuse_place(&config) {
            return self.end(id, Err(error));
        }
        self.order
            .place(&config.name, config.after.clone(), config.group.clone());
        self.agenda.add(now, server, Errand::Look);
        self.with_server(now, server, |server, cx| {
            if let Some(goal) = goal {
                server.replace(cx, config);
                server.wait(cx, id, goal);
            } else {
                server.retune(cx, config);
            }
        });
        if goal.is_none() {
            self.end(id, Ok(Reply::Done));
        }
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

    fn shut_down(&mut self, now: Time, id: CommandId, grace: Option<Duration>) {
        self.shutdown.get_or_insert_default().push(id);
        self.begin_farewell(now, grace);
        self.finish_shutdown();
    }

    /// Why a server cannot have its place in the order, where it cannot.
    fn refuse_place(&self, config: &ServerConfig) -> Option<CommandError> {
        let ServerConfig {
            name, after, group, ..
        } = config;
        let message = self.order.refusal(name, after, group.as_deref())?;
        Some(CommandError::Invalid { message })
    }

    /// The server of that name, where the command may wait for `goal`; or the end of the command.
    fn find_to_wait(&mut self, id: CommandId, name: &str, goal: Goal) -> Option<ServerId> {
        let server = self.find(id, name)?;
        let found = self.servers.get(index(server));
        if let Some(error) = found.and_then(|server| server.refuse_to_wait(goal)) {
            self.end(id, Err(error));
            return None;
        }
        Some(server)
    }

    /// The server of that name, or the end of the command.
    fn find(&mut self, id: CommandId, name: &str) -> Option<ServerId> {
        let found = self.by_name.get(name).copied();
        if found.is_none() {
            let near = self.near_miss(name);
            self.end(
                id,
                Err(CommandError::NotFound {
                    server: name.to_owned(),
                    near,
                }),
            );
        }
        found
    }

    /// A deployed name that was probably meant: a slip of the pen away, or one begins the other.
    fn near_miss(&self, name: &str) -> Option<ServerName> {
        let names = || self.by_name.keys().map(ServerName::as_str);
        let begins = |candidate: &&str| candidate.starts_with(name) || name.starts_with(candidate);
        let meant = near_miss(name, names())
            .or_else(|| names().filter(|_| !name.is_empty()).find(begins))?;
        self.by_name
            .get_key_value(meant)
            .map(|(name, _)| name.clone())
    }

    fn end(&mut self, id: CommandId, outcome: Result<Reply, CommandError>) {
        self.out.event(Event::CommandEnded { id, outcome });
    }
}

const fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
