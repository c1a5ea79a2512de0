//! Whether a call is taken, by counting for oneself.

use mcp_fleet_core::{CallError, Request, ServerState};

use super::{
    ReferenceState, aftermath,
    pools::{PoolBook, Role},
    servers::ServerBook,
};

/// What must become of a new call in the turn that brings it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken,
    NotFound,
    ShuttingDown,
    Invalid,
    Overloaded,
    Unavailable,
    /// The server leaves, perhaps to come back: taken where `room`, or unavailable.
    Leaving {
        room: bool,
    },
    /// All replicas together have no room, but one of them may have.
    Crowded,
    /// No replica is certain to be there for it, but one of them may be.
    Unsure,
}

impl Verdict {
    pub(super) const fn allows_taking(self) -> bool {
        matches!(
            self,
            Self::Taken | Self::Leaving { room: true } | Self::Crowded | Self::Unsure
        )
    }

    /// Whether the call may be refused so.
    pub(super) const fn allows(self, error: &CallError) -> bool {
        match error {
            CallError::NotFound { .. } => matches!(self, Self::NotFound),
            CallError::ShuttingDown => matches!(self, Self::ShuttingDown),
            CallError::InvalidRequest { .. } => matches!(self, Self::Invalid),
            CallError::Overloaded { .. } => {
                matches!(
                    self,
                    Self::Overloaded | Self::Leaving { room: false } | Self::Crowded | Self::Unsure
                )
            }
            CallError::Unavailable { .. } => {
                matches!(
                    self,
                    Self::Unavailable | Self::Leaving { .. } | Self::Unsure
                )
            }
            _ => self.allows_taking(),
        }
    }
}

impl ReferenceState {
    pub(super) fn judge(&self, server: &str, request: &Request) -> Verdict {
        if self.shut_down {
            return Verdict::ShuttingDown;
        }
        let Some(pool) = self.servers.get(server) else {
            return Verdict::NotFound;
        };
        if self.calls.open.len() >= self.limits.calls {
            return Verdict::Overloaded;
        }
        if ["", "initialize"].contains(&request.method()) {
            return Verdict::Invalid;
        }
        match pool.only() {
            Some(book) => self.judge_one(server, book),
            None => self.judge_many(server, pool),
        }
    }

    fn judge_one(&self, server: &str, book: &ServerBook) -> Verdict {
        if aftermath::refuses_calls(book.state) {
            return Verdict::Unavailable;
        }
        let (parked, _) = self.calls.count(server);
        let room = parked < self.places(server, book);
        match (aftermath::takes_calls(book.state), room) {
            (true, true) => Verdict::Taken,
            (true, false) => Verdict::Overloaded,
            (false, room) => Verdict::Leaving { room },
        }
    }

    /// In which queue a parked call waits is not known here, only how many wait in all.
    fn judge_many(&self, server: &str, pool: &PoolBook) -> Verdict {
        let of = |ready: bool| {
            let serving = pool.of_role(Role::Serving);
            serving.filter(move |member| {
                let state = member.state;
                aftermath::takes_calls(state) && (state == ServerState::Ready) == ready
            })
        };
        let ready = of(true).count() > 0;
        let places: usize = of(ready).map(|member| self.places(server, member)).sum();
        let (parked, _) = self.calls.count(server);
        let able = |member: &ServerBook| !aftermath::refuses_calls(member.state);
        let mut staying = pool.members.values().filter(|m| m.role != Role::Leaving);
        if of(ready).count() > 0 {
            if parked < places {
                Verdict::Taken
            } else {
                Verdict::Crowded
            }
        } else if staying.any(able) {
            Verdict::Unsure
        } else {
            Verdict::Unavailable
        }
    }

    /// Calls that one member could have waiting.
    fn places(&self, server: &str, book: &ServerBook) -> usize {
        let in_flight = book
            .slot
            .map_or(0, |slot| self.calls.count_at(server, slot).0);
        let link = self.links.of(book.slot);
        let credit = link.is_some_and(|link| link.has_credit(book.limits.write_bytes));
        let sendable = if book.state == ServerState::Ready && credit {
            book.limits.in_flight.saturating_sub(in_flight)
        } else {
            0
        };
        book.limits.queue + sendable
    }
}
