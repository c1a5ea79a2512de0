//! The calls of one server: parked, sent, or waiting for an answer to a question.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    ids::{CallId, InputId},
    input::Request,
    time::Time,
    wire::RawJson,
};

/// All calls that were accepted and have not ended.
#[derive(Debug, Default)]
pub(super) struct Calls {
    all: BTreeMap<CallId, Call>,
    /// Parked calls in the order in which they were accepted.
    queue: BTreeSet<(u64, CallId)>,
    sent: usize,
    next_ticket: u64,
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
    ticket: u64,
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

impl Calls {
    /// Parks a new call at the end of the queue.
    pub(super) fn accept(
        &mut self,
        id: CallId,
        request: Request,
        progress: bool,
        now: Time,
        timeout: Duration,
        timeout_max: Duration,
    ) -> Time {
        let due_max = now.after(timeout_max.max(timeout));
        let due = now.after(timeout);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
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
        self.queue.insert((ticket, id));
        due
    }

    /// The call at the head of the queue.
    pub(super) fn next_parked(&self) -> Option<CallId> {
        self.queue.first().map(|(_, id)| *id)
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
        let ticket = call.ticket;
        self.leave(id, ticket, &before);
        match after {
            Stage::Parked => {
                self.queue.insert((ticket, id));
            }
            Stage::Sent(_) => self.sent += 1,
            Stage::Asking(_) | Stage::Pausing => {}
        }
    }

    pub(super) fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.all.remove(&id)?;
        self.leave(id, call.ticket, &call.stage);
        Some(call)
    }

    fn leave(&mut self, id: CallId, ticket: u64, stage: &Stage) {
        match stage {
            Stage::Parked => {
                self.queue.remove(&(ticket, id));
            }
            Stage::Sent(_) => self.sent -= 1,
            Stage::Asking(_) | Stage::Pausing => {}
        }
    }

    /// Calls waiting to be sent.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Calls sent and not answered.
    pub(super) const fn in_flight(&self) -> usize {
        self.sent
    }

    /// Calls that were begun and have not ended.
    pub(super) fn begun(&self) -> usize {
        self.all.len() - self.queue.len()
    }

    /// Parked calls, in order of acceptance.
    pub(super) fn parked_ids(&self) -> Vec<CallId> {
        self.queue.iter().map(|(_, id)| *id).collect()
    }

    /// Calls that were begun and have not ended, in order of their ids.
    pub(super) fn begun_ids(&self) -> Vec<CallId> {
        self.all
            .iter()
            .filter(|(_, call)| call.stage != Stage::Parked)
            .map(|(id, _)| *id)
            .collect()
    }
}
