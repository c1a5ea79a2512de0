//! The commands that change which servers there are, and what they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Fleet, commands::same_name, index, order::Order};
use crate::{
    config::{Change, FleetChange, FleetConfig, Kind, Replace, ServerConfig, diff, diff_fleets},
    error::CommandError,
    event::Reply,
    ids::{CommandId, ServerId, ServerName},
    planted::{Bug, planted},
    pool::{Asker, Goal, Pool, Role, bounds},
    server::Server,
    session::Offer,
    time::Time,
};

/// Reloads under way at once.
const RELOADS_MAX: usize = 16;

impl Fleet {
    pub(super) fn deploy(&mut self, now: Time, asker: Asker, config: ServerConfig) {
        let name = config.name.clone();
        if self.shutdown.is_some() {
            return self.end_asker(asker, &name, Err(CommandError::ShuttingDown));
        }
        // A server that is being undeployed makes way.
        let mut twins = self.by_name.values();
        if twins.any(|pool| same_name(pool.name().as_str(), name.as_str()) && !pool.is_leaving()) {
            let server = name.clone();
            let error = CommandError::AlreadyDeployed { server };
            return self.end_asker(asker, &name, Err(error));
        }
        let leaving = self.by_name.contains_key(&name);
        if !leaving && self.by_name.len() >= self.limits.servers {
            let limit = self.limits.servers;
            // A reload gave it a place before.
            self.order.remove(&name);
            return self.end_asker(asker, &name, Err(CommandError::FleetFull { limit }));
        }
        if let Some(error) = self.refuse_place(asker, &config) {
            return self.end_asker(asker, &name, Err(error));
        }
        self.place(&config);
        let enabled = config.enabled;
        let (least, _) = bounds(&config);
        let in_turn = config.replace == Replace::InTurn || matches!(config.kind, Kind::Attached);
        let pool = self
            .by_name
            .entry(name.clone())
            .or_insert_with(|| Pool::new(config.clone()));
        if leaving && in_turn && enabled {
            pool.begin_hold(config);
        } else {
            pool.begin_anew(config);
        }
        if enabled {
            pool.waiters.push(asker, Goal::Up { configured: true });
        } else {
            pool.finish();
        }
        self.raise(now, &name, least, Role::Serving);
        self.on_standing(now, &name);
        if !enabled {
            self.end_asker(asker, &name, Ok(Reply::Done));
        }
        self.settle(now, &name);
    }

    /// Gives a server its place in the order.
    fn place(&mut self, config: &ServerConfig) {
        let (after, group) = (config.after.clone(), config.group.clone());
        self.order.place(&config.name, after, group);
    }

    /// Why a server cannot have its place in the order, where it cannot. Those of a reload were
    /// looked at all together.
    fn refuse_place(&self, asker: Asker, config: &ServerConfig) -> Option<CommandError> {
        if let Asker::Reload(_) = asker {
            return None;
        }
        let ServerConfig {
            name, after, group, ..
        } = config;
        let message = self.order.refusal(name, after, group.as_deref())?;
        Some(CommandError::Invalid { message })
    }

    /// A stopped server in a slot of its own.
    pub(super) fn add(&mut self, replica: u32, config: ServerConfig) -> ServerId {
        let entry = self.servers.vacant_entry();
        let slot = entry.key();
        if self.last_incarnation.len() <= slot {
            self.last_incarnation.resize(slot + 1, 0);
            self.scheduled.resize(slot + 1, None);
        }
        let last = self.last_incarnation.get(slot).copied().unwrap_or_default();
        let id = ServerId(u32::try_from(slot).unwrap_or(u32::MAX));
        entry.insert(Server::new(id, replica, config, last, self.offer.clone()));
        id
    }

    pub(super) fn undeploy(&mut self, now: Time, asker: Asker, name: &ServerName) {
        let Some(pool) = self.by_name.get_mut(name) else {
            return;
        };
        if let Some(error) = pool.refuse_to_wait(asker, true) {
            return self.end_asker(asker, name, Err(error));
        }
        let members: BTreeSet<ServerId> = pool.members().iter().map(|member| member.id).collect();
        let ids: Vec<ServerId> = members.iter().copied().collect();
        pool.finish();
        pool.take_probation();
        pool.dismiss(&ids);
        pool.waiters.push(asker, Goal::Gone(members));
        self.supersede(name, |goal| goal.is_up() || goal.is_down(), "undeployed");
        self.retire(now, &ids);
        self.settle(now, name);
    }

    pub(super) fn restart(&mut self, now: Time, asker: Asker, name: &ServerName) {
        let Some(pool) = self.by_name.get(name) else {
            return;
        };
        if let Some(error) = self.refuse_to_change(asker, pool) {
            return self.end_asker(asker, name, Err(error));
        }
        let seen = self.seen(now, pool);
        if let Some(pool) = self.by_name.get_mut(name) {
            pool.begin_roll(&seen);
            pool.waiters.push(asker, Goal::Up { configured: false });
        }
        self.supersede(name, Goal::is_down, "restarted");
        self.settle(now, name);
    }

    pub(super) fn update(&mut self, now: Time, asker: Asker, config: ServerConfig) {
        let name = config.name.clone();
        let Some(pool) = self.by_name.get(&name) else {
            return;
        };
        if pool.is_leaving() {
            let error = CommandError::Superseded {
                server: name.clone(),
                by: "undeployed".to_owned(),
            };
            return self.end_asker(asker, &name, Err(error));
        }
        let change = diff(pool.desired(), &config);
        let refusal = match change {
            Change::Same | Change::Retune => None,
            Change::Replace => self.refuse_to_change(asker, pool),
        };
        if let Some(error) = refusal.or_else(|| self.refuse_place(asker, &config)) {
            return self.end_asker(asker, &name, Err(error));
        }
        self.place(&config);
        match change {
            Change::Same | Change::Retune => self.retune(now, asker, config),
            Change::Replace => self.replace(now, asker, config),
        }
        for member in self.members_of(&name) {
            self.let_act(now, member, Server::look_again);
        }
        self.settle(now, &name);
    }

    fn retune(&mut self, now: Time, asker: Asker, config: ServerConfig) {
        let name = config.name.clone();
        let Some(pool) = self.by_name.get_mut(&name) else {
            return;
        };
        let newcomers = pool.ids(Role::Coming);
        let beside = !newcomers.is_empty();
        let members = if beside {
            newcomers
        } else {
            pool.ids(Role::Serving)
        };
        let enabled = config.enabled;
        pool.retune(config.clone());
        for id in members {
            let config = config.clone();
            self.let_act(now, id, |server, cx| server.retune(cx, config));
        }
        let more = !beside && self.fit(now, &name) && enabled;
        match self.by_name.get_mut(&name) {
            Some(pool) if more => {
                pool.begin_rise();
                pool.waiters.push(asker, Goal::Up { configured: false });
            }
            Some(_) | None => self.end_asker(asker, &name, Ok(Reply::Done)),
        }
    }

    fn replace(&mut self, now: Time, asker: Asker, config: ServerConfig) {
        let name = config.name.clone();
        let Some(pool) = self.by_name.get_mut(&name) else {
            return;
        };
        let newcomers = pool.give_up_newcomers();
        let held = pool.is_held();
        if newcomers.is_empty() {
            let enabled = config.enabled;
            let stale =
                |goal: &Goal| goal.is_configured() || goal.is_down() || goal.is_up() && !enabled;
            self.supersede(&name, stale, "updated");
        } else {
            self.supersede(&name, |goal| goal.is_up() || goal.is_down(), "updated");
            self.retire(now, &newcomers);
        }
        let Some(pool) = self.by_name.get(&name) else {
            return;
        };
        // What was desired is not what is in force, and perhaps what is wanted now is.
        if diff(pool.config(), &config) != Change::Replace {
            return self.retune(now, asker, config);
        }
        let beside = pool.may_start_beside(&config, &self.seen(now, pool));
        let goal = if config.enabled {
            Goal::Up { configured: true }
        } else {
            Goal::Down
        };
        if let Some(pool) = self.by_name.get_mut(&name) {
            pool.waiters.push(asker, goal);
        }
        if held && config.enabled {
            self.hold_anew(now, &name, config);
        } else if beside {
            self.start_beside(now, &name, config);
        } else {
            self.start_anew(now, &name, config);
        }
    }

    /// Members that wait for others to be gone make way for members of another configuration, which
    /// go on waiting.
    fn hold_anew(&mut self, now: Time, name: &ServerName, config: ServerConfig) {
        let (least, _) = bounds(&config);
        let Some(pool) = self.by_name.get_mut(name) else {
            return;
        };
        let before = pool.ids(Role::Serving);
        pool.begin_hold(config);
        self.raise(now, name, least, Role::Serving);
        if let Some(pool) = self.by_name.get_mut(name) {
            pool.dismiss(&before);
        }
        self.retire(now, &before);
    }

    pub(super) fn reload(&mut self, now: Time, id: CommandId, config: FleetConfig) {
        if self.shutdown.is_some() {
            return self.end(id, Err(CommandError::ShuttingDown));
        }
        if let Some(message) = contradiction(&config) {
            return self.end(id, Err(CommandError::Invalid { message }));
        }
        if self.reloads.len() >= RELOADS_MAX {
            let limit = RELOADS_MAX;
            return self.end(id, Err(CommandError::TooManyReloads { limit }));
        }
        let wanted: BTreeSet<ServerName> = config.servers.iter().map(|s| s.name.clone()).collect();
        let deployed = self.by_name.iter().filter(|(name, pool)| {
            !pool.is_leaving() && (self.declared.contains(*name) || wanted.contains(*name))
        });
        let current = FleetConfig {
            servers: deployed.map(|(_, pool)| pool.desired().clone()).collect(),
            ..FleetConfig::default()
        };
        let changes = diff_fleets(&current, &config);
        if let Some(message) = self.refuse_order(&config, &changes) {
            return self.end(id, Err(CommandError::Invalid { message }));
        }
        self.declared = wanted;
        self.take_limits(&config);
        self.reloads.begin(id, changes.clone());
        let asker = Asker::Reload(id);
        for (name, change) in &changes {
            // Those that leave make room for those that come.
            if *change == FleetChange::Remove {
                self.undeploy(now, asker, name);
            }
        }
        for server in config.servers {
            let name = server.name.clone();
            match changes.get(&name) {
                Some(FleetChange::Add) => self.deploy(now, asker, server),
                Some(FleetChange::Replace | FleetChange::Retune) => self.update(now, asker, server),
                Some(FleetChange::Same | FleetChange::Remove) | None => {
                    self.end_asker(asker, &name, Ok(Reply::Done));
                }
            }
        }
        if let Some(report) = self.reloads.report(id) {
            self.end(id, Ok(Reply::Reloaded(Box::new(report))));
        }
    }

    /// What is wrong with the order of the servers of a configuration and of those that stay beside
    /// them.
    fn refuse_order(
        &self,
        config: &FleetConfig,
        changes: &BTreeMap<ServerName, FleetChange>,
    ) -> Option<String> {
        let stays = |name: &ServerName| !changes.contains_key(name);
        let others = self.by_name.values().map(Pool::desired);
        let others = others.filter(|server| stays(&server.name));
        let mut order = Order::new(config.groups.clone());
        let mut refusals = config.servers.iter().chain(others).map(|server| {
            let (name, after) = (&server.name, &server.after);
            let refusal = order.refusal(name, after, server.group.as_deref());
            order.place(name, after.clone(), server.group.clone());
            refusal
        });
        refusals.find_map(|refusal| refusal)
    }

    fn members_of(&self, name: &ServerName) -> Vec<ServerId> {
        let pool = self.by_name.get(name);
        let members = pool.map(|pool| pool.members().iter().map(|member| member.id).collect());
        members.unwrap_or_default()
    }

    /// Takes over what concerns the fleet as a whole.
    fn take_limits(&mut self, config: &FleetConfig) {
        self.limits = config.limits.clone();
        self.starts.set_limit(config.limits.starting.max(1));
        // All at once: one after the other they might seem to go round in a circle meanwhile.
        self.order.set_groups(config.groups.clone());
        for server in &config.servers {
            self.place(server);
        }
        self.offer = Arc::new(Offer::new(&config.client));
        for (_, server) in &mut self.servers {
            server.set_offer(self.offer.clone());
        }
    }

    pub(super) fn shut_down(&mut self, now: Time, id: CommandId, grace: Option<Duration>) {
        self.shutdown.get_or_insert_default().push(id);
        for name in self.by_name.keys().cloned().collect::<Vec<_>>() {
            let Some(pool) = self.by_name.get_mut(&name) else {
                continue;
            };
            let newcomers = pool.give_up_newcomers();
            pool.abandon();
            self.supersede(&name, Goal::is_up, "stopped");
            for id in newcomers {
                self.let_act(now, id, |server, cx| server.retire(cx, grace));
            }
        }
        self.begin_farewell(now, grace);
        for name in self.by_name.keys().cloned().collect::<Vec<_>>() {
            self.settle(now, &name);
        }
        self.finish_shutdown();
    }

    /// Why a server is not started anew, nor replaced, for another command now.
    fn refuse_to_change(&self, asker: Asker, pool: &Pool) -> Option<CommandError> {
        if self.shutdown.is_some() {
            Some(CommandError::ShuttingDown)
        } else if pool.is_leaving() {
            Some(CommandError::Superseded {
                server: pool.name().clone(),
                by: "undeployed".to_owned(),
            })
        } else {
            pool.refuse_to_wait(asker, false)
        }
    }

    /// Ends commands that another has undone.
    fn supersede(&mut self, name: &ServerName, which: impl Fn(&Goal) -> bool, by: &str) {
        if planted(Bug::EndlessWait) {
            return;
        }
        let outcome = Err(CommandError::Superseded {
            server: name.clone(),
            by: by.to_owned(),
        });
        let pool = self.by_name.get_mut(name);
        let ended = pool.map(|pool| pool.waiters.end(which, &outcome));
        self.end_waiters(name, ended.unwrap_or_default());
    }

    /// The server of that name, or the end of the command.
    pub(super) fn find(&mut self, id: CommandId, name: &str) -> Option<ServerName> {
        if let Some((name, _)) = self.by_name.get_key_value(name) {
            return Some(name.clone());
        }
        let near = self.near_miss(name);
        let server = name.to_owned();
        self.end(id, Err(CommandError::NotFound { server, near }));
        None
    }

    pub(super) fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(index(id))
    }
}

/// What makes a configuration useless, though each server of it may be sound.
fn contradiction(config: &FleetConfig) -> Option<String> {
    let mut names = BTreeSet::new();
    let mut servers = config.servers.iter();
    let twin = servers.find(|server| !names.insert(server.name.as_str().to_ascii_lowercase()))?;
    Some(format!(
        "the name {} stands there twice, ignoring case; rename one of the two",
        twin.name
    ))
}
