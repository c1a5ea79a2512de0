//! Whether a call is taken, by counting for oneself.

use mcp_fleet_core::{CallError, CallId, CallOptions, Limit, Request, ServerState};

use super::{
    ReferenceState, aftermath,
    calls::Call,
    pools::{PoolBook, Role, is_per_client},
    servers::ServerBook,
};

/// What must become of a new call in the turn that brings it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken(Room),
    NotFound,
    ShuttingDown,
    Invalid,
    /// The fleet has no room.
    Full(Limit),
    Unavailable,
    BreakerOpen,
    /// The server leaves, perhaps to come back: as if it stayed, or unavailable.
    Leaving(Room),
    /// It leaves, and its breaker is open.
    LeavingSpared,
    /// It depends on which of several replicas it comes to.
    Open(Chances),
}

/// What may become of a call where several replicas have a queue each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chances {
    /// There may be no room.
    full: bool,
    /// Its client may have no room.
    full_of_client: bool,
    /// No replica may be there for it.
    unavailable: bool,
    /// Too many clients may have a server of their own.
    full_of_owners: bool,
    /// All replicas may be spared calls.
    spared: bool,
}

/// Room in the queue of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Free,
    /// Another call gives way.
    Made,
    /// Another call may give way: of lines of one length some may and some may not.
    Perhaps,
    None(Limit),
}

impl Verdict {
    pub(super) const fn allows_taking(self) -> bool {
        matches!(
            self,
            Self::Taken(Room::Free | Room::Made | Room::Perhaps)
                | Self::Leaving(Room::Free | Room::Made | Room::Perhaps)
                | Self::Open(_)
        )
    }

    /// Whether the call is taken only where another gives way.
    pub(super) const fn needs_room(self) -> bool {
        matches!(
            self,
            Self::Taken(Room::Made | Room::Perhaps) | Self::Leaving(Room::Made | Room::Perhaps)
        )
    }

    /// Whether the call may be refused so.
    pub(super) fn allows(self, error: &CallError) -> bool {
        match error {
            CallError::NotFound { .. } => matches!(self, Self::NotFound),
            CallError::ShuttingDown => matches!(self, Self::ShuttingDown),
            CallError::InvalidRequest { .. } => matches!(self, Self::Invalid),
            CallError::Overloaded {
                limit, retry_after, ..
            } => {
                let full = match self {
                    Self::Full(full)
                    | Self::Taken(Room::None(full))
                    | Self::Leaving(Room::None(full)) => full == *limit,
                    Self::Taken(Room::Perhaps) | Self::Leaving(Room::Perhaps) => {
                        *limit == Limit::Queue
                    }
                    Self::Open(chances) => match limit {
                        Limit::Queue => chances.full,
                        Limit::ClientQueue => chances.full_of_client,
                        Limit::Clients => chances.full_of_owners,
                        _ => false,
                    },
                    _ => false,
                };
                full && !retry_after.is_zero()
            }
            CallError::Unavailable { .. } => {
                let unavailable = matches!(self, Self::Open(chances) if chances.unavailable);
                unavailable
                    || matches!(
                        self,
                        Self::Unavailable | Self::Leaving(_) | Self::LeavingSpared
                    )
            }
            CallError::BreakerOpen { .. } => {
                let spared = matches!(self, Self::Open(chances) if chances.spared);
                spared || matches!(self, Self::BreakerOpen | Self::LeavingSpared)
            }
            _ => self.allows_taking(),
        }
    }
}

impl ReferenceState {
    pub(super) fn judge(
        &mut self,
        server: &str,
        request: &Request,
        options: &CallOptions,
    ) -> Verdict {
        if self.shut_down {
            return Verdict::ShuttingDown;
        }
        let Some(pool) = self.servers.get(server) else {
            return Verdict::NotFound;
        };
        if self.calls.open.len() >= self.limits.calls {
            return Verdict::Full(Limit::Fleet);
        }
        let open = self.calls.open.values();
        let theirs = open.filter(|call| call.client == options.client).count();
        let bound = self.limits.calls_per_client;
        if bound > 0 && theirs >= bound {
            return Verdict::Full(Limit::Client);
        }
        if ["", "initialize"].contains(&request.method()) {
            return Verdict::Invalid;
        }
        if is_per_client(&pool.config) {
            return self.judge_owner(server, options);
        }
        match pool.only() {
            Some(only) if !only.vague => self.judge_one(server, options),
            Some(_) | None => self.judge_many(server, options),
        }
    }

    /// Each client has a member of its own; whose is whose is seen only when they get calls.
    fn judge_owner(&mut self, server: &str, options: &CallOptions) -> Verdict {
        let Some(pool) = self.servers.get(server) else {
            return Verdict::NotFound;
        };
        let may = |(_, call): &(&CallId, &Call)| call.stands_in_line() && !call.lost;
        let theirs = self.calls.of(server).filter(may);
        let theirs = theirs.filter(|(_, call)| call.client == options.client || !call.owned);
        self.candidates = theirs.map(|(id, _)| *id).collect();
        let owned = pool.members.len().saturating_sub(1);
        Verdict::Open(Chances {
            full: true,
            full_of_client: pool.config.limits.queue_per_client > 0,
            unavailable: true,
            spared: true,
            full_of_owners: options.client.is_some() && owned >= pool.config.limits.clients,
        })
    }

    fn judge_one(&mut self, server: &str, options: &CallOptions) -> Verdict {
        let pool = self.servers.get(server);
        let Some(book) = pool.and_then(PoolBook::only) else {
            return Verdict::NotFound;
        };
        let state = book.state;
        if aftermath::refuses_calls(state) {
            return Verdict::Unavailable;
        }
        if book.breaker.refuses(self.now) {
            return if aftermath::takes_calls(state) {
                Verdict::BreakerOpen
            } else {
                Verdict::LeavingSpared
            };
        }
        let room = self.room(server, options);
        if aftermath::takes_calls(state) {
            Verdict::Taken(room)
        } else {
            Verdict::Leaving(room)
        }
    }

    /// In which queue a parked call waits is not known here, only how many wait in all.
    fn judge_many(&mut self, server: &str, options: &CallOptions) -> Verdict {
        let Some(pool) = self.servers.get(server) else {
            return Verdict::NotFound;
        };
        let of = |ready: bool| {
            let serving = pool.of_role(Role::Serving);
            serving.filter(move |member| {
                let state = member.state;
                aftermath::takes_calls(state) && (state == ServerState::Ready) == ready
            })
        };
        let ready = of(true).count() > 0;
        let some = of(ready).count() > 0;
        let able = |member: &ServerBook| !aftermath::refuses_calls(member.state);
        let mut staying = pool.members.values().filter(|m| m.role != Role::Leaving);
        if !some && !staying.any(able) {
            return Verdict::Unavailable;
        }
        let places = of(ready).map(|member| member.limits.queue + self.sendable(server, member));
        let places: usize = places.sum();
        let of_server = || self.calls.of(server).filter(|(_, call)| call.is_parked());
        let theirs = of_server().filter(|(_, call)| call.client == options.client);
        let bounds = pool.members.values();
        let bounds = bounds.map(|member| member.limits.queue_per_client);
        let bound = bounds.filter(|bound| *bound > 0).min();
        let spared = pool.may_spare();
        let chances = Chances {
            spared,
            full: spared || !some || of_server().count() >= places,
            full_of_client: bound.is_some_and(|bound| theirs.count() >= bound),
            unavailable: !some,
            full_of_owners: false,
        };
        let may = |(_, call): &(&CallId, &Call)| call.stands_in_line() && !call.lost;
        self.candidates = of_server().filter(may).map(|(id, _)| *id).collect();
        Verdict::Open(chances)
    }

    /// Calls that one member could send at once.
    fn sendable(&self, server: &str, book: &ServerBook) -> usize {
        let in_flight = book
            .slot
            .map_or(0, |slot| self.calls.count_at(server, slot).0);
        let link = self.links.of(book.slot);
        let credit = link.is_some_and(|link| link.has_credit(book.limits.write_bytes));
        if book.state == ServerState::Ready && credit {
            book.limits.in_flight.saturating_sub(in_flight)
        } else {
            0
        }
    }

    fn room(&mut self, server: &str, options: &CallOptions) -> Room {
        let pool = self.servers.get(server);
        let Some(book) = pool.and_then(PoolBook::only) else {
            return Room::None(Limit::Queue);
        };
        let (parked, _) = self.calls.count(server);
        let sendable = self.sendable(server, book);
        let of_server = self.calls.of(server);
        let theirs =
            of_server.filter(|(_, call)| call.is_parked() && call.client == options.client);
        let bound = book.limits.queue_per_client;
        if bound > 0 && theirs.count() >= bound + sendable {
            return Room::None(Limit::ClientQueue);
        }
        if parked < book.limits.queue + sendable {
            return Room::Free;
        }
        let longest = self.longest_lines(server, options);
        let may = |id: &CallId| !self.calls.open[id].lost;
        self.candidates = longest.iter().copied().filter(may).collect();
        match self.candidates.len() {
            0 => Room::None(Limit::Queue),
            some if some == longest.len() => Room::Made,
            _ => Room::Perhaps,
        }
    }

    /// The last calls of the longest lines in the lowest class that may give way.
    fn longest_lines(&self, server: &str, options: &CallOptions) -> Vec<CallId> {
        let waiting = || {
            self.calls
                .of(server)
                .filter(|(_, call)| call.stands_in_line())
        };
        // Of classes the highest is the least.
        let Some(lowest) = waiting().map(|(_, call)| call.priority).max() else {
            return Vec::new();
        };
        if lowest < options.priority {
            return Vec::new();
        }
        let length = |client| {
            waiting()
                .filter(|(_, call)| call.priority == lowest && call.client == client)
                .count()
        };
        let least = if lowest == options.priority {
            length(options.client) + 2
        } else {
            1
        };
        let in_class = || waiting().filter(|(_, call)| call.priority == lowest);
        let longest = in_class().map(|(_, call)| length(call.client)).max();
        let Some(longest) = longest.filter(|longest| *longest >= least) else {
            return Vec::new();
        };
        let younger = |id: &CallId| {
            let one = &self.calls.open[id];
            let mut others = in_class();
            others.any(|(_, other)| other.client == one.client && other.ticket > one.ticket)
        };
        in_class()
            .filter(|(_, call)| length(call.client) == longest)
            .map(|(id, _)| *id)
            .filter(|id| !younger(id))
            .collect()
    }
}
