//! The pools: how their members fare, and what they want done about it.

use super::{Fleet, index};
use crate::{
    config::ServerConfig,
    error::CommandError,
    event::{Event, ReplicaInfo, Reply, ServerInfo},
    ids::{ClientId, ServerId, ServerName},
    planted::{Bug, planted},
    pool::{Asker, Ended, Goal, Order, Pool, Role, Seen, bounds, is_per_client},
    server::{Load, Server},
    stats::{Meter, ServerStats},
    time::Time,
};

/// Orders of one pool that are carried out in one turn.
const ORDERS_PER_TURN: usize = 1024;

impl Fleet {
    /// How the members of a pool fare.
    pub(super) fn seen(&self, now: Time, pool: &Pool) -> Vec<Seen> {
        let seen = pool.members().iter().filter_map(|member| {
            Some(Seen {
                id: member.id,
                replica: member.replica,
                role: member.role,
                client: member.client,
                load: self.load(now, member.id)?,
            })
        });
        seen.collect()
    }

    pub(super) fn load(&self, now: Time, id: ServerId) -> Option<Load> {
        self.servers.get(index(id)).map(|server| server.load(now))
    }

    /// Whether others can take the calls that this server cannot serve.
    pub(super) fn has_relief(&self, now: Time, id: ServerId) -> bool {
        let server = self.servers.get(index(id));
        let Some(pool) = server.and_then(|server| self.by_name.get(server.name())) else {
            return false;
        };
        // What one client's server cannot serve, no other may.
        if is_per_client(pool.config()) {
            return false;
        }
        let able = |other: ServerId| {
            let load = self.load(now, other);
            load.is_some_and(|load| load.open && !load.spared)
        };
        let mut others = pool.members().iter();
        self.shutdown.is_none()
            && (others.any(|other| other.id != id && other.role != Role::Leaving && able(other.id))
                || pool.is_on_probation(now))
    }

    /// Lets a pool see how its members fare, and does what it wants done.
    pub(super) fn settle_pool(&mut self, now: Time, name: &ServerName) {
        for _ in 0..ORDERS_PER_TURN {
            let Some(pool) = self.by_name.get(name) else {
                return;
            };
            if pool.is_quiet() || self.shutdown.is_some() && !pool.is_stopping() {
                return;
            }
            let seen = self.seen(now, pool);
            let Some(pool) = self.by_name.get_mut(name) else {
                return;
            };
            let Some(order) = pool.next_order(now, &seen) else {
                break;
            };
            self.carry_out(now, name, order);
        }
    }

    fn carry_out(&mut self, now: Time, name: &ServerName, order: Order) {
        match order {
            Order::Switch => self.switch(now, name),
            Order::RollBack(id) => self.roll_back(now, name, id),
            Order::GoBack(id) => {
                let before = self.by_name.get_mut(name).and_then(Pool::take_probation);
                let Some(before) = before else { return };
                self.tell_rolled_back(name, id);
                self.start_anew(now, name, before);
            }
            Order::Renew(id) => self.let_act(now, id, Server::begin_anew),
            Order::Start(ids) => {
                for id in ids {
                    self.let_act(now, id, Server::begin);
                }
            }
            Order::Wake(ids) => {
                for id in ids {
                    self.let_act(now, id, Server::wake);
                }
            }
            Order::Drop(ids) => self.dismiss(now, name, &ids),
            Order::ScaleUp => self.raise(now, name, 1, Role::Serving),
            Order::Finish(failed) => {
                let outcome = match failed.and_then(|id| self.trouble(id)) {
                    Some(error) => Err(error),
                    None => Ok(Reply::Done),
                };
                let ended = self.by_name.get_mut(name).map(|pool| {
                    pool.finish();
                    let which = |goal: &Goal| goal.is_up() || goal.is_down();
                    pool.waiters.end(which, &outcome)
                });
                self.end_waiters(name, ended.unwrap_or_default());
            }
        }
    }

    fn switch(&mut self, now: Time, name: &ServerName) {
        let Some(pool) = self.by_name.get_mut(name) else {
            return;
        };
        let leaving = pool.switch(now);
        let ended = pool.waiters.end(Goal::is_up, &Ok(Reply::Done));
        self.end_waiters(name, ended);
        if !planted(Bug::OldMembersKept) {
            self.retire(now, &leaving);
        }
        self.fit(now, name);
    }

    fn roll_back(&mut self, now: Time, name: &ServerName, id: ServerId) {
        let outcome = match self.trouble(id) {
            Some(error) => Err(error),
            None => Ok(Reply::Done),
        };
        self.tell_rolled_back(name, id);
        let Some(pool) = self.by_name.get_mut(name) else {
            return;
        };
        let newcomers = pool.give_up_newcomers();
        let ended = pool.waiters.end(Goal::is_up, &outcome);
        if !planted(Bug::NewcomersKept) {
            self.retire(now, &newcomers);
        }
        self.end_waiters(name, ended);
    }

    fn trouble(&self, id: ServerId) -> Option<CommandError> {
        self.servers.get(index(id)).and_then(Server::trouble)
    }

    fn tell_rolled_back(&mut self, name: &ServerName, id: ServerId) {
        if let Some(error) = self.trouble(id) {
            let server = name.clone();
            self.out.event(Event::RolledBack { server, error });
        }
    }

    /// Lets all members leave that serve or are about to, start anew with `config`.
    pub(super) fn start_anew(&mut self, now: Time, name: &ServerName, config: ServerConfig) {
        let Some(pool) = self.by_name.get_mut(name) else {
            return;
        };
        let owned = pool.owned();
        let shared = !is_per_client(&config);
        pool.begin_anew(config.clone());
        for id in pool.ids(Role::Serving) {
            let config = config.clone();
            if shared && owned.contains(&id) {
                self.let_act(now, id, |server, cx| server.retune(cx, config));
                continue;
            }
            self.let_act(now, id, |server, cx| server.replace(cx, config));
        }
        if shared {
            self.dismiss(now, name, &owned);
        }
        self.fit(now, name);
    }

    /// Lets newcomers of `config` start beside the members that serve.
    pub(super) fn start_beside(&mut self, now: Time, name: &ServerName, config: ServerConfig) {
        let (least, _) = bounds(&config);
        if let Some(pool) = self.by_name.get_mut(name) {
            pool.begin_beside(config);
            self.raise(now, name, least, Role::Coming);
        }
    }

    /// Adds members of the configuration that is desired, and starts them.
    pub(super) fn raise(&mut self, now: Time, name: &ServerName, count: usize, role: Role) {
        for _ in 0..count {
            let Some(pool) = self.by_name.get(name) else {
                return;
            };
            let held = pool.is_held();
            let (config, replica) = (pool.desired().clone(), pool.free_replica());
            let enabled = config.enabled;
            let id = self.add(replica, config);
            if let Some(pool) = self.by_name.get_mut(name) {
                pool.join(id, replica, role, None);
            }
            let begin = match role {
                _ if held => Server::hold,
                // A newcomer shows that it can take over by being ready.
                Role::Coming => Server::start,
                Role::Serving | Role::Leaving => Server::begin,
            };
            if enabled {
                self.let_act(now, id, begin);
            }
        }
        self.watch_idle(now, name);
    }

    /// Adds a member for one client alone, which its first call wakes. Another makes way for it,
    /// where there are too many.
    pub(super) fn raise_for(
        &mut self,
        now: Time,
        name: &ServerName,
        client: Option<ClientId>,
        idle: Option<ServerId>,
    ) -> Option<ServerId> {
        if let Some(idle) = idle {
            self.dismiss(now, name, &[idle]);
        }
        let pool = self.by_name.get(name)?;
        let (held, replica) = (pool.is_held(), pool.free_replica());
        let id = self.add(replica, pool.config().clone());
        if let Some(pool) = self.by_name.get_mut(name) {
            pool.join(id, replica, Role::Serving, client);
        }
        self.let_act(now, id, if held { Server::hold } else { Server::begin });
        self.watch_idle(now, name);
        Some(id)
    }

    /// Lets members of a pool leave.
    pub(super) fn dismiss(&mut self, now: Time, name: &ServerName, ids: &[ServerId]) {
        if let Some(pool) = self.by_name.get_mut(name) {
            pool.dismiss(ids);
        }
        self.retire(now, ids);
    }

    /// Brings the number of members within its bounds. `true` where one had to be started.
    pub(super) fn fit(&mut self, now: Time, name: &ServerName) -> bool {
        let Some(pool) = self.by_name.get(name) else {
            return false;
        };
        let (surplus, missing) = pool.misfit(&self.seen(now, pool));
        if let Some(pool) = self.by_name.get_mut(name) {
            pool.dismiss(&surplus);
        }
        self.retire(now, &surplus);
        self.raise(now, name, missing, Role::Serving);
        missing > 0
    }

    fn watch_idle(&mut self, now: Time, name: &ServerName) {
        let Some(pool) = self.by_name.get(name) else {
            return;
        };
        let after = pool.watched_idle();
        for id in pool.ids(Role::Serving) {
            self.let_act(now, id, |server, cx| server.watch_idle(cx.now, after));
        }
    }

    /// A member had nothing to do for a while.
    pub(super) fn on_idle(&mut self, now: Time, id: ServerId) {
        let server = self.servers.get(index(id));
        let Some(name) = server.map(|server| server.name().clone()) else {
            return;
        };
        let Some(pool) = self.by_name.get(&name) else {
            return;
        };
        if self.shutdown.is_some() {
            return;
        }
        let seen = self.seen(now, pool);
        if pool.can_spare(id, &seen) {
            self.dismiss(now, &name, &[id]);
        } else if self.order.held_after(&name).is_empty() {
            for id in pool.may_sleep(now, id, &seen) {
                self.let_act(now, id, Server::sleep);
            }
        }
    }

    pub(super) fn retire(&mut self, now: Time, ids: &[ServerId]) {
        for id in ids {
            self.let_act(now, *id, |server, cx| server.retire(cx, None));
        }
    }

    /// Lets members give up the calls that others can serve better.
    pub(super) fn balance(&mut self, now: Time, name: &ServerName) {
        let Some(pool) = self.by_name.get(name) else {
            return;
        };
        if pool.members().len() < 2 || self.shutdown.is_some() || is_per_client(pool.config()) {
            return;
        }
        for (id, most) in Pool::balance(&self.seen(now, pool)) {
            self.let_act(now, id, |server, cx| server.give_parked(cx, most));
        }
    }

    /// Gives the calls that were left unserved to the members that can serve them best, in order of
    /// their acceptance. `false` where there are none.
    pub(super) fn share_out(&mut self, now: Time) -> bool {
        let mut unserved = std::mem::take(&mut self.unserved);
        unserved.sort_by_key(|(_, _, parked)| parked.ticket());
        let any = !unserved.is_empty();
        for (from, call, parked) in unserved {
            let pool = self.by_name.get(&from);
            let Some(to) = pool.and_then(|pool| Pool::route(&self.seen(now, pool))) else {
                continue;
            };
            self.calls.insert(call, to);
            self.let_act(now, to, |server, cx| server.adopt(cx, call, *parked));
        }
        any
    }

    /// Ends the commands whose list is read, and turns those to another member whose own is not
    /// ready. `true` where some still wait, for which a member that sleeps wakes.
    pub(super) fn settle_lists(&mut self, now: Time, name: &ServerName) -> bool {
        let Some(pool) = self.by_name.get(name) else {
            return false;
        };
        if pool.waiters.is_empty() {
            return false;
        }
        let Some(best) = Pool::route(&self.seen(now, pool)) else {
            return false;
        };
        let servers = &self.servers;
        let Some(pool) = self.by_name.get_mut(name) else {
            return false;
        };
        let ended = pool.waiters.settle(|goal| match goal {
            Goal::List {
                kind,
                member,
                readings,
            } => {
                let best = servers.get(index(best))?;
                let own = servers.get(index(*member));
                let own = own.filter(|own| own.name() == name && own.is_ready());
                if own.is_none() && best.id() != *member {
                    *member = best.id();
                    *readings = best.readings_awaited(*kind);
                }
                own.unwrap_or(best).list_outcome(*kind, *readings)
            }
            Goal::Up { .. } | Goal::Down | Goal::Gone(_) => None,
        });
        let wanted = pool.waiters.any_list() && self.shutdown.is_none();
        self.end_waiters(name, ended);
        if wanted {
            self.let_act(now, best, Server::wake);
        }
        wanted
    }

    pub(super) fn end_waiters(&mut self, name: &ServerName, ended: Vec<Ended>) {
        for (asker, outcome) in ended {
            self.end_asker(asker, name, outcome);
        }
    }

    pub(super) fn end_asker(
        &mut self,
        asker: Asker,
        name: &ServerName,
        outcome: Result<Reply, CommandError>,
    ) {
        match asker {
            Asker::Command(id) => self.end(id, outcome),
            Asker::Reload(id) => {
                if let Some(report) = self.reloads.take(id, name, outcome.err()) {
                    self.end(id, Ok(Reply::Reloaded(Box::new(report))));
                }
            }
        }
    }

    /// Nothing is left of a member.
    pub(super) fn forget(&mut self, now: Time, id: ServerId) {
        self.schedule(id, None);
        let Some(server) = self.servers.try_remove(index(id)) else {
            return;
        };
        if let Some(last) = self.last_incarnation.get_mut(index(id)) {
            *last = server.incarnation();
        }
        let name = server.name();
        let Some(pool) = self.by_name.get_mut(name) else {
            return;
        };
        let last = pool.part(id, server.meter());
        let mut ended = pool.waiters.on_gone(id);
        if last {
            ended.extend(pool.waiters.end(
                |_| true,
                &Err(CommandError::Superseded {
                    server: name.clone(),
                    by: "undeployed".to_owned(),
                }),
            ));
            // Counters of servers that are gone stay part of the fleet's.
            let past = pool.past().map(|past| past.snapshot(0, 0));
            self.total.counts.add_life(&past.unwrap_or_default());
            self.by_name.remove(name);
        }
        self.leave_order(now, id, name);
        self.end_waiters(name, ended);
    }

    /// What is known of a pool, by the member that is nearest to taking calls.
    pub(super) fn info(&self, now: Time, pool: &Pool) -> Option<ServerInfo> {
        let first = Pool::route(&self.seen(now, pool))?;
        let mut info = self.servers.get(index(first))?.info();
        info.stats = self.pool_stats(pool);
        let members = pool.members().iter();
        let members =
            members.filter_map(|member| Some((self.servers.get(index(member.id))?, member.client)));
        info.replicas = members
            .map(|(server, client)| ReplicaInfo {
                client,
                ..server.replica_info()
            })
            .collect();
        Some(info)
    }

    /// Counts and latencies of all members of a pool, those that are gone included.
    pub(super) fn pool_stats(&self, pool: &Pool) -> ServerStats {
        let members = pool.members().iter();
        let mut members = members.filter_map(|member| self.servers.get(index(member.id)));
        match (pool.members(), pool.past(), members.next()) {
            ([_], None, Some(only)) => only.stats(),
            (_, past, first) => {
                let mut meter = past.cloned().unwrap_or_else(Meter::default);
                let (mut queued, mut in_flight) = (0, 0);
                for server in first.into_iter().chain(members) {
                    let own = server.stats();
                    queued += own.queued;
                    in_flight += own.in_flight;
                    meter.add(server.meter());
                }
                meter.snapshot(queued, in_flight)
            }
        }
    }

    pub(super) fn is_pool_ready(&self, pool: &Pool) -> bool {
        let mut members = pool.members().iter();
        members.any(|member| {
            self.servers
                .get(index(member.id))
                .is_some_and(Server::in_rotation)
        })
    }
}
