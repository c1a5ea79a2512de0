//! The calls of one server: parked, sent, or waiting for an answer to a question.

use std::{collections::BTreeMap, time::Duration};

use super::{
    execute::Loss,
    queue::{Place, Queue},
};
use crate::{
    config::ServerLimits,
    ids::{CallId, ClientId, InputId},
    input::{CallOptions, Priority, Request},
    planted::{Bug, planted},
    time::Time,
    wire::RawJson,
};

/// All calls that were accepted and have not ended.
#[derive(Debug, Default)]
pub(super) struct Calls {
    all: BTreeMap<CallId, Call>,
    queue: Queue,
    /// Parked calls of which an attempt was lost that may have run.
    lost: usize,
    in_flight: usize,
}

/// A call. One that was never sent can be [removed](Calls::remove) here and
/// [accepted](Calls::accept) by another server as it is: with its age, its deadline, its client and
/// its priority.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: Request,
    pub(super) progress: bool,
    pub(super) client: Option<ClientId>,
    pub(super) priority: Priority,
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
    /// When and where it was last sent: the period of the breaker, and the incarnation.
    pub(super) sent_in: (u64, u32),
    /// Whether it was handed to a server at all.
    pub(super) tried: bool,
    /// The progress last told.
    pub(super) told: f64,
    /// How an attempt was lost of which something was written.
    pub(super) lost: Option<Box<Loss>>,
    /// Its place in the order of acceptance, over all servers.
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
    /// A call that is accepted now.
    pub(super) fn new(
        ticket: u64,
        now: Time,
        request: Request,
        options: &CallOptions,
        limits: &ServerLimits,
    ) -> Self {
        let timeout = options.timeout.unwrap_or(limits.timeout);
        Self {
            request,
            progress: options.progress,
            client: options.client,
            priority: options.priority,
            accepted: now,
            timeout,
            due: now.after(timeout),
            due_max: now.after(limits.timeout_max.max(timeout)),
            stage: Stage::Parked,
            rounds: 0,
            answers: None,
            sent_in: (0, 0),
            tried: false,
            told: f64::NEG_INFINITY,
            lost: None,
            ticket,
        }
    }

    /// Whether it is in the hands of this incarnation: it is in flight, or between two rounds.
    pub(super) fn is_begun(&self) -> bool {
        self.stage != Stage::Parked || self.rounds > 0
    }

    const fn place(&self, id: CallId) -> Place {
        Place {
            ticket: self.ticket,
            id,
            client: self.client,
            priority: self.priority,
            begun: self.rounds > 0,
        }
    }
}

impl Calls {
    /// Takes a call that was never sent, and parks it.
    pub(super) fn accept(&mut self, id: CallId, call: Call) {
        self.queue.insert(call.place(id));
        self.all.insert(id, call);
    }

    /// The call that is to be sent next.
    pub(super) fn next_parked(&self) -> Option<CallId> {
        self.queue.next()
    }

    /// The call that gives way to a new one where the queue is full.
    pub(super) fn gives_way(&self, options: &CallOptions) -> Option<CallId> {
        let id = self.queue.gives_way(options.priority, options.client)?;
        // Whoever refused one that may have run would lie about it.
        let call = self.get(id)?;
        call.lost.is_none().then_some(id)
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
        let place = call.place(id);
        let before = std::mem::replace(&mut call.stage, stage);
        let lost = usize::from(call.lost.is_some());
        let after = call.stage.clone();
        let sent = before == Stage::Parked && matches!(after, Stage::Sent(_));
        if sent && !planted(Bug::QueueSlotLeak) {
            self.queue.take(place);
        } else {
            self.leave(place, &before);
        }
        if before == Stage::Parked {
            self.lost -= lost;
        }
        match after {
            Stage::Parked => {
                self.lost += lost;
                self.queue.insert(place);
            }
            Stage::Sent(_) | Stage::Pausing => self.in_flight += 1,
            Stage::Asking(_) => {}
        }
    }

    pub(super) fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.all.remove(&id)?;
        self.leave(call.place(id), &call.stage);
        if call.stage == Stage::Parked {
            self.lost -= usize::from(call.lost.is_some());
        }
        Some(call)
    }

    fn leave(&mut self, place: Place, stage: &Stage) {
        match stage {
            Stage::Parked if planted(Bug::QueueSlotLeak) => {}
            Stage::Pausing if planted(Bug::InFlightLeak) => {}
            Stage::Parked => self.queue.remove(place),
            Stage::Sent(_) | Stage::Pausing => self.in_flight -= 1,
            Stage::Asking(_) => {}
        }
    }

    /// Calls waiting to be sent.
    pub(super) const fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Calls waiting to be sent that did not run for certain.
    pub(super) fn fresh(&self) -> usize {
        self.queue.len() - self.queue.begun() - self.lost
    }

    /// Calls of one client waiting to be sent.
    pub(super) fn queued_of(&self, client: Option<ClientId>) -> usize {
        self.queue.len_of(client)
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
        self.all.len() == self.queue.len() && !self.queue.has_begun()
    }

    /// Parked calls that are not in the hands of this incarnation, in order of acceptance.
    pub(super) fn fresh_ids(&self) -> Vec<CallId> {
        if self.queue.len() == 0 {
            return Vec::new();
        }
        let fresh = self.all.iter().filter(|(_, call)| !call.is_begun());
        let mut fresh: Vec<_> = fresh.map(|(id, call)| (call.ticket, *id)).collect();
        fresh.sort_unstable();
        fresh.into_iter().map(|(_, id)| id).collect()
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
