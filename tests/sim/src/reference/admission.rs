//! Whether a call is taken, by counting for oneself.

use mcp_fleet_core::{CallError, Request, ServerState};

use super::{ReferenceState, aftermath};

/// What must become of a new call in the turn that brings it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken,
    NotFound,
    ShuttingDown,
    Invalid,
    Overloaded,
    Unavailable,
    BreakerOpen,
    /// The server leaves, perhaps to come back: taken where `room`, or unavailable.
    Leaving {
        room: bool,
    },
    /// It leaves, and its breaker is open.
    LeavingSpared,
}

impl Verdict {
    pub(super) const fn allows_taking(self) -> bool {
        matches!(self, Self::Taken | Self::Leaving { room: true })
    }

    /// Whether the call may be refused so.
    pub(super) const fn allows(self, error: &CallError) -> bool {
        match error {
            CallError::NotFound { .. } => matches!(self, Self::NotFound),
            CallError::ShuttingDown => matches!(self, Self::ShuttingDown),
            CallError::InvalidRequest { .. } => matches!(self, Self::Invalid),
            CallError::Overloaded { .. } => {
                matches!(self, Self::Overloaded | Self::Leaving { room: false })
            }
            CallError::Unavailable { .. } => matches!(
                self,
                Self::Unavailable | Self::Leaving { .. } | Self::LeavingSpared
            ),
            CallError::BreakerOpen { .. } => {
                matches!(self, Self::BreakerOpen | Self::LeavingSpared)
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
        let Some(book) = self.servers.get(server) else {
            return Verdict::NotFound;
        };
        if self.calls.open.len() >= self.limits.calls {
            return Verdict::Overloaded;
        }
        if ["", "initialize"].contains(&request.method()) {
            return Verdict::Invalid;
        }
        if aftermath::refuses_calls(book.state) {
            return Verdict::Unavailable;
        }
        if book.breaker.refuses(self.now) {
            return if aftermath::takes_calls(book.state) {
                Verdict::BreakerOpen
            } else {
                Verdict::LeavingSpared
            };
        }
        let (parked, in_flight) = self.calls.count(server);
        let credit = self
            .links
            .of(server)
            .is_some_and(|link| link.has_credit(book.limits.write_bytes));
        let sendable = if book.state == ServerState::Ready && credit {
            book.limits.in_flight.saturating_sub(in_flight)
        } else {
            0
        };
        let room = parked < book.limits.queue + sendable;
        match (aftermath::takes_calls(book.state), room) {
            (true, true) => Verdict::Taken,
            (true, false) => Verdict::Overloaded,
            (false, room) => Verdict::Leaving { room },
        }
    }
}
