//! What the fate of one server means for others.

use super::{Errand, Standing, agenda::ERRANDS_PER_TURN};
use crate::{
    error::Obstacle,
    fleet::{Fleet, index},
    ids::{ServerId, ServerName},
    pool::{Member, Role},
    server::Server,
    time::Time,
};

impl Fleet {
    /// Does with other servers what follows from what became of one.
    pub(in crate::fleet) fn run_errands(&mut self, now: Time) {
        for _ in 0..ERRANDS_PER_TURN {
            let Some((server, errand)) = self.agenda.take() else {
                return;
            };
            match errand {
                Errand::Look => self.look_again(now, server),
                Errand::Anew if self.shutdown.is_none() => {
                    self.with_server(now, server, Server::begin_anew_in_company);
                }
                Errand::Stop if self.farewell.release(server) => {
                    let grace = self.farewell.grace(now);
                    self.with_server(now, server, |server, cx| server.stop(cx, grace));
                }
                Errand::Wake if self.is_bearer_awaited(server) => {
                    self.with_server(now, server, Server::wake);
                }
                Errand::Anew | Errand::Wake | Errand::Stop => {}
            }
        }
    }

    /// Lets all replicas of a server look again whether they may start, so that what one of them
    /// says is true of the others too.
    fn look_again(&mut self, now: Time, id: ServerId) {
        let server = self.servers.get(index(id));
        let Some(name) = server.map(|server| server.name().clone()) else {
            return;
        };
        for member in self.bearers(&name) {
            self.let_act(now, member, Server::look_again);
        }
        self.settle(now, &name);
    }

    /// A server is in another state: those that wait for it are to look again.
    pub(in crate::fleet) fn on_moved(&mut self, now: Time, id: ServerId) {
        let Some(server) = self.servers.get(index(id)) else {
            return;
        };
        let name = server.name().clone();
        self.on_standing(now, &name);
        self.wake_awaited(now, id);
        if self.shutdown.is_some() {
            self.on_moved_in_farewell(now, id, &name);
        }
    }

    /// Wakes those that sleep while another waits for them.
    fn wake_awaited(&mut self, now: Time, id: ServerId) {
        let Some(server) = self.servers.get(index(id)) else {
            return;
        };
        let awaited = if server.is_asleep() {
            self.is_awaited(server.name()).then(|| server.name())
        } else {
            server.awaits()
        };
        let bearers: Vec<ServerId> = awaited
            .into_iter()
            .flat_map(|name| self.bearers(name))
            .filter(|id| self.servers.get(index(*id)).is_some_and(Server::is_asleep))
            .collect();
        for bearer in bearers {
            self.agenda.add(now, bearer, Errand::Wake);
        }
    }

    /// Whether another server still waits for the one of this replica.
    fn is_bearer_awaited(&self, id: ServerId) -> bool {
        let server = self.servers.get(index(id));
        self.shutdown.is_none() && server.is_some_and(|server| self.is_awaited(server.name()))
    }

    /// Whether another server waits for this one.
    fn is_awaited(&self, name: &ServerName) -> bool {
        let held = self.order.held_after(name);
        let mut held = held.iter().filter_map(|id| self.servers.get(index(*id)));
        held.any(|server| server.awaits() == Some(name))
    }

    /// A server ended unexpectedly and is to start again: so are its companions.
    pub(in crate::fleet) fn on_lapsed(&mut self, now: Time, id: ServerId) {
        let Some(server) = self.servers.get(index(id)) else {
            return;
        };
        for companion in self.order.companions(server.name()) {
            for companion in self.bearers(&companion).collect::<Vec<_>>() {
                self.agenda.add(now, companion, Errand::Anew);
            }
        }
    }

    /// A replica is no more, and perhaps with it its server: those that wait for it are to look
    /// again.
    pub(in crate::fleet) fn leave_order(&mut self, now: Time, id: ServerId, name: &ServerName) {
        self.agenda.forget(id);
        self.farewell.release(id);
        if self.by_name.contains_key(name) {
            return self.on_standing(now, name);
        }
        for waiting in self.order.remove(name) {
            self.agenda.add(now, waiting, Errand::Look);
        }
    }

    /// Those that wait for a server look again where it stands otherwise than before.
    pub(in crate::fleet) fn on_standing(&mut self, now: Time, name: &ServerName) {
        let standing = self.standing(name);
        for waiting in self.order.on_standing(name, standing) {
            self.agenda.add(now, waiting, Errand::Look);
        }
    }

    /// How those that bear `name` stand to the servers that come after it: as the one of them that
    /// stands best, of those that stay.
    fn standing(&self, name: &ServerName) -> Standing {
        let pool = self.by_name.get(name);
        let members = pool.into_iter().flat_map(|pool| {
            let leaving = pool.is_leaving();
            let stays = move |member: &&Member| leaving || member.role == Role::Serving;
            pool.members().iter().filter(stays)
        });
        members
            .filter_map(|member| self.servers.get(index(member.id)))
            .map(Server::standing)
            .min_by_key(|standing| standing.distance())
            .unwrap_or(Standing::Not(Obstacle::NotDeployed))
    }

    /// All replicas that bear `name`.
    pub(super) fn bearers(&self, name: &ServerName) -> impl Iterator<Item = ServerId> + use<> {
        let pool = self.by_name.get(name);
        let members: Option<Vec<ServerId>> =
            pool.map(|pool| pool.members().iter().map(|member| member.id).collect());
        members.map(Vec::into_iter).unwrap_or_default()
    }
}
