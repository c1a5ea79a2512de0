//! What must come of each call.

use std::collections::{BTreeMap, BTreeSet};

use mcp_fleet_core::{CallId, ClientId, InputId, LinkId, Priority, ServerId, Time};

use crate::server::Answer;

/// A call, from its acceptance to its outcome.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) server: String,
    pub(super) client: Option<ClientId>,
    pub(super) priority: Priority,
    /// It was accepted where each client has a server of its own.
    pub(super) owned: bool,
    /// Its server may vouch for its tool.
    pub(super) repeatable: bool,
    /// Its place in the order of acceptance.
    pub(super) ticket: u64,
    /// Its deadline may be later, because it is not known which configuration decides.
    pub(super) vague: bool,
    pub(super) timeout: std::time::Duration,
    pub(super) due: Time,
    pub(super) due_max: Time,
    pub(super) wants_progress: bool,
    /// The progress of its last request, and of all of them.
    pub(super) progress: Option<f64>,
    pub(super) told: Option<f64>,
    pub(super) stage: Stage,
    /// Where its frames begin in the stream of its incarnation.
    pub(super) frames: Vec<(LinkId, u64)>,
    /// It was sent, at some time.
    pub(super) tried: bool,
    /// An attempt was lost of which something was written.
    pub(super) lost: bool,
    pub(super) rounds: u32,
    /// The period of the breaker in which it was last sent, and where to.
    pub(super) period: u64,
    pub(super) incarnation: Option<u32>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Stage {
    Parked,
    Sent(LinkId, u64),
    Asking(BTreeSet<InputId>),
    /// A round that asked nothing is repeated at this time.
    Pausing(Time),
}

impl Call {
    /// Where it was sent to, if it was.
    pub(super) fn slot(&self) -> Option<ServerId> {
        self.frames.last().map(|(link, _)| link.server)
    }

    /// Whether it holds one of the places in flight.
    pub(super) const fn is_in_flight(&self) -> bool {
        matches!(self.stage, Stage::Sent(..) | Stage::Pausing(_))
    }

    pub(super) fn is_parked(&self) -> bool {
        self.stage == Stage::Parked
    }

    pub(super) const fn is_fresh(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether it waits in one of the lines for its first round.
    pub(super) fn stands_in_line(&self) -> bool {
        self.is_parked() && self.is_fresh()
    }

    pub(super) const fn may_have_run(&self) -> bool {
        !self.is_fresh() || self.lost
    }

    pub(super) fn start_anew(&mut self, now: Time) {
        self.due = now.after(self.timeout).min(self.due_max);
    }
}

/// What the input of one turn makes certain, or possible, for a call.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Fate {
    /// Its answer came: this is its outcome, in this turn.
    Answered(Answer),
    /// Its caller gave it up.
    Cancelled,
    /// The application refused what its server asked.
    Refused,
    /// All was answered that its server asked.
    Resumed,
}

/// All calls that have not ended, and the ids of those that have.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) open: BTreeMap<CallId, Call>,
    pub(super) ended: BTreeSet<CallId>,
    pub(super) in_flight: BTreeMap<(LinkId, u64), CallId>,
    next_ticket: u64,
}

impl Calls {
    pub(super) const fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    pub(super) fn of<'a>(
        &'a self,
        server: &'a str,
    ) -> impl Iterator<Item = (&'a CallId, &'a Call)> {
        self.open
            .iter()
            .filter(move |(_, call)| call.server == server)
    }

    /// Calls that wait to be sent, and calls in flight.
    pub(super) fn count(&self, server: &str) -> (usize, usize) {
        let parked = self.of(server).filter(|(_, call)| call.is_parked()).count();
        let in_flight = self
            .of(server)
            .filter(|(_, call)| call.is_in_flight())
            .count();
        (parked, in_flight)
    }

    /// Calls in flight at one member, and those it has begun that wait to be sent again.
    pub(super) fn count_at(&self, server: &str, slot: ServerId) -> (usize, usize) {
        let here = |call: &&Call| call.slot() == Some(slot);
        let calls = || self.of(server).map(|(_, call)| call).filter(here);
        let in_flight = calls().filter(|call| call.is_in_flight()).count();
        (in_flight, calls().filter(|call| call.is_parked()).count())
    }

    /// Calls that wait to be sent, and did not run.
    pub(super) fn fresh(&self, server: &str) -> usize {
        let fresh = |call: &Call| call.stands_in_line() && !call.lost;
        self.of(server).filter(|(_, call)| fresh(call)).count()
    }

    pub(super) fn move_to(&mut self, id: CallId, stage: Stage) {
        let Some(call) = self.open.get_mut(&id) else {
            return;
        };
        if let Stage::Sent(link, request) = call.stage {
            self.in_flight.remove(&(link, request));
        }
        if let Stage::Sent(link, request) = stage {
            self.in_flight.insert((link, request), id);
        }
        call.stage = stage;
    }

    pub(super) fn end(&mut self, id: CallId) -> Option<Call> {
        let call = self.open.remove(&id)?;
        self.ended.insert(id);
        if let Stage::Sent(link, request) = call.stage {
            self.in_flight.remove(&(link, request));
        }
        Some(call)
    }
}
