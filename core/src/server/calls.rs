//! The calls of one server: parked, sent, or waiting for an answer to a question.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    ids::{CallId, InputId},
    input::Request,
    planted::{Bug, planted},
    time::Time,
    wire::RawJson,
};

/// All calls that were accepted and have not ended.
#[derive(Debug, Default)]
pub(super) struct Calls {
    all: BTreeMap<CallId, Call>,
    /// Parked calls: those that were begun, then the fresh ones, in the order in which they were
    /// accepted.
    queue: BTreeSet<(bool, u64, CallId)>,
    in_flight: usize,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: Request,
    pub(super) progress: bool,
    pub(super) accepted: Time,
    pub(super) timeout: Duration,
    /// The deadline that is armed.
    pub(super) due: Time,
    /// No progress moves the deadline beyond this.
    pub(super) due_max: Time,
    pub(super) stage: Stage,
    /// Rounds of questions so far.
    pub(super) rounds: u32,
    /// What the last round adds to the request.
    pub(super) answers: Option<RoundAnswers>,
    pub(super) ticket: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Stage {
    /// Waits to be sent.
    Parked,
    /// Waits for the answer to this request.
    Sent(u64),
    /// Waits for answers of the application.
    Asking(Asking),
    /// Waits a moment before it is sent again.
    Pausing,
}

/// A round of questions under way.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Asking {
    /// Open questions and their keys.
    pub(super) open: BTreeMap<InputId, String>,
    pub(super) answers: BTreeMap<String, RawJson>,
    pub(super) state: Option<RawJson>,
}

/// What a finished round adds to the request when it is sent again.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct RoundAnswers {
    /// `inputResponses`, absent where nothing was asked.
    pub(super) responses: Option<String>,
    /// `requestState`, byte for byte.
    pub(super) state: Option<RawJson>,
}

impl Asking {
    pub(super) fn finish(self) -> RoundAnswers {
        let responses = (!self.answers.is_empty())
            .then(|| serde_json::to_string(&self.answers).ok())
            .flatten();
        RoundAnswers {
            responses,
            state: self.state,
        }
    }
}

impl Call {
    /// Whether it was sent, and so may have run: it is in flight, or between two rounds.
    pub(super) fn is_begun(&self) -> bool {
        self.stage != Stage::Parked || self.rounds > 0
    }
}

impl Calls {
    /// Parks a new call at the end of the queue; `ticket` is its place in the order of acceptance.
    pub(super) fn accept(
        &mut self,
        id: CallId,
        ticket: u64,
        request: Request,
        progress: bool,
        now: Time,
        timeout: Duration,
        timeout_max: Duration,
    ) -> Time {
        let due_max = now.after(timeout_max.max(timeout));
        let due = now.after(timeout);
        let call = Call {
            request,
            progress,
            accepted: now,
            timeout,
            due,
            due_max,
            stage: Stage::Parked,
            rounds: 0,
            answers: None,
            ticket,
        };
        self.all.insert(id, call);
        self.queue.insert((true, ticket, id));
        due
    }

    /// Parks a call that another server accepted.
    pub(super) fn adopt(&mut self, id: CallId, call: Call) {
        self.queue.insert((true, call.ticket, id));
        self.all.insert(id, call);
    }

    /// The call at the head of the queue.
    pub(super) fn next_parked(&self) -> Option<CallId> {
        self.queue.first().map(|(_, _, id)| *id)
    }

    pub(super) fn get(&self, id: CallId) -> Option<&Call> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: CallId) -> Option<&mut Call> {
        self.all.get_mut(&id)
    }

    /// Moves a call to another stage and keeps the books.
    pub(super) fn move_to(&mut self, id: CallId, stage: Stage) {
        let Some(call) = self.all.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut call.stage, stage);
        let after = call.stage.clone();
        let place = (call.rounds == 0, call.ticket, id);
        self.leave(place, &before);
        match after {
            Stage::Parked => {
                self.queue.insert(place);
            }
            Stage::Sent(_) | Stage::Pausing => self.in_flight += 1,
            Stage::Asking(_) => {}
        }
    }

    pub(super) fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.all.remove(&id)?;
        self.leave((call.rounds == 0, call.ticket, id), &call.stage);
        Some(call)
    }

    fn leave(&mut self, place: (bool, u64, CallId), stage: &Stage) {
        match stage {
            Stage::Parked if planted(Bug::QueueSlotLeak) => {}
            Stage::Pausing if planted(Bug::InFlightLeak) => {}
            Stage::Parked => {
                self.queue.remove(&place);
            }
            Stage::Sent(_) | Stage::Pausing => self.in_flight -= 1,
            Stage::Asking(_) => {}
        }
    }

    /// Calls waiting to be sent.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Calls waiting to be sent that never were.
    pub(super) fn fresh(&self) -> usize {
        let begun = self.queue.iter().take_while(|(fresh, ..)| !fresh);
        self.queue.len() - begun.count()
    }

    /// Calls sent and not answered, or in the pause before they are sent again. A call that waits
    /// for the application holds no place: people answer in their own time.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether there is no call at all.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether no call is begun and has not ended.
    pub(super) fn none_begun(&self) -> bool {
        // Those that came back stand at the head.
        let head = self.next_parked().and_then(|id| self.get(id));
        self.all.len() == self.queue.len() && !head.is_some_and(Call::is_begun)
    }

    /// Parked calls that were never sent, in order of acceptance.
    pub(super) fn fresh_ids(&self) -> Vec<CallId> {
        let fresh = |id: &CallId| !self.get(*id).is_some_and(Call::is_begun);
        self.queue
            .iter()
            .map(|(_, _, id)| *id)
            .filter(fresh)
            .collect()
    }

    /// Calls that were begun and have not ended, in order of their ids.
    pub(super) fn begun_ids(&self) -> Vec<CallId> {
        self.all
            .iter()
            .filter(|(_, call)| call.is_begun())
            .map(|(id, _)| *id)
            .collect()
    }
}
