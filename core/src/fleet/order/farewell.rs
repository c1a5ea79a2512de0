//! The order in which a fleet stops: none before those that come after it.

use std::{collections::BTreeSet, time::Duration};

use super::Errand;
use crate::{
    fleet::{Fleet, index},
    ids::{ServerId, ServerName},
    planted::{Bug, planted},
    server::Server,
    time::Time,
};

/// Servers that go on until those that come after them are at rest.
#[derive(Debug, Default)]
pub(in crate::fleet) struct Farewell {
    kept: BTreeSet<ServerId>,
    /// Until when calls in flight may go on; each server's own time where absent.
    until: Option<Time>,
}

impl Farewell {
    /// Whether the server is to stop, and has not been told yet. It is not kept any more then.
    pub(in crate::fleet) fn release(&mut self, server: ServerId) -> bool {
        self.kept.remove(&server)
    }

    /// How long calls may still go on.
    pub(in crate::fleet) fn grace(&self, now: Time) -> Option<Duration> {
        self.until.map(|until| until.since(now))
    }
}

impl Fleet {
    /// Stops all servers, those first that no other one needs.
    pub(in crate::fleet) fn begin_farewell(&mut self, now: Time, grace: Option<Duration>) {
        if let Some(grace) = grace {
            self.farewell.until = Some(now.after(grace));
        }
        let servers: Vec<(ServerName, ServerId)> = self
            .by_name
            .iter()
            .flat_map(|(name, pool)| {
                let members = pool.members().iter();
                members.map(|member| (name.clone(), member.id))
            })
            .collect();
        let (kept, free): (Vec<_>, Vec<_>) = servers
            .into_iter()
            .partition(|(name, id)| self.is_running(*id) && self.is_needed(name));
        self.farewell.kept = kept.into_iter().map(|(_, id)| id).collect();
        for (_, id) in free {
            self.with_server(now, id, |server, cx| server.stop(cx, grace));
        }
    }

    /// A server moved: it may have been the last that needed another one.
    pub(super) fn on_moved_in_farewell(&mut self, now: Time, id: ServerId, name: &ServerName) {
        if self.farewell.kept.contains(&id) && !self.is_running(id) {
            self.agenda.add(now, id, Errand::Stop);
        }
        if self.servers.get(index(id)).is_some_and(Server::is_at_rest) {
            let free: Vec<ServerId> = self
                .order
                .dependencies(name)
                .iter()
                .filter(|dependency| !self.is_needed(dependency))
                .flat_map(|dependency| self.bearers(dependency))
                .filter(|dependency| self.farewell.kept.contains(dependency))
                .collect();
            for dependency in free {
                self.agenda.add(now, dependency, Errand::Stop);
            }
        }
    }

    /// Whether something of a server that comes after `name` runs.
    fn is_needed(&self, name: &ServerName) -> bool {
        self.order
            .dependents(name)
            .flat_map(|dependent| self.bearers(dependent))
            .filter_map(|dependent| self.servers.get(index(dependent)))
            .any(|dependent| !dependent.is_at_rest() && !planted(Bug::StopsTooEarly))
    }

    fn is_running(&self, id: ServerId) -> bool {
        self.servers.get(index(id)).is_some_and(Server::is_ready)
    }
}
