//! What a server asks of the application: on its own, or as a round of a call.

use std::collections::BTreeMap;

use super::{
    Context, Server,
    calls::{Asking, Stage},
    state::State,
    timers::Due,
};
use crate::{
    error::{CallError, RpcError, Sent},
    event::Event,
    ids::{CallId, InputId},
    link::Note,
    session::{Decision, decide},
    time::Time,
    wire::{
        Id, RawJson,
        bodies::{Question, Round},
    },
};

const INTERNAL_ERROR: i64 = -32603;

/// A question that waits for the application.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Asked {
    /// A request of a legacy server.
    Request { id: Id, due: Time },
    /// Part of a round of a modern server.
    Round { call: CallId, method: String },
}

impl Server {
    /// Takes the application's answer to a question.
    pub(crate) fn answer(
        &mut self,
        cx: &mut Context<'_>,
        input: InputId,
        answer: Result<RawJson, RpcError>,
    ) {
        let Some(asked) = self.questions.remove(&input) else {
            return;
        };
        cx.out.note(Note::InputClosed(input));
        self.on_less_busy(cx.now);
        match asked {
            Asked::Request { id, due } => {
                self.timers.remove(due, Due::Input(input));
                if let Some(live) = self.state.live_mut() {
                    live.session.answer(&id, answer.as_ref(), cx.out);
                }
            }
            Asked::Round { call, method } => match answer {
                Ok(result) => self.on_round_answer(call, input, result),
                Err(error) => {
                    let reason = error.to_string();
                    self.end_call(cx, call, Err(CallError::InputRefused { method, reason }));
                }
            },
        }
        self.settle(cx);
    }

    /// A legacy server asks while it works, or for no reason that the protocol tells.
    pub(super) fn on_asked(&mut self, cx: &mut Context<'_>, id: Id, question: Question) {
        if matches!(self.state, State::Closing(_)) {
            return;
        }
        if self.questions.len() >= self.limits.inputs {
            let message = format!("more than {} questions are open", self.limits.inputs);
            let error = RpcError {
                code: INTERNAL_ERROR,
                message,
                data: None,
            };
            if let Some(live) = self.state.live_mut() {
                live.session.answer(&id, Err(&error), cx.out);
            }
            return;
        }
        // The protocol says nothing of how long it waits. No call of its could wait any longer.
        let due = cx.now.after(self.limits.timeout_max);
        let input = self.ask(cx, Asked::Request { id, due }, None, question);
        self.timers.insert(due, Due::Input(input));
    }

    /// The application did not answer a question of a legacy server in time.
    pub(super) fn on_input_due(&mut self, cx: &mut Context<'_>, input: InputId) {
        let Some(Asked::Request { id, .. }) = self.questions.get(&input) else {
            return;
        };
        let error = RpcError {
            code: INTERNAL_ERROR,
            message: format!("not answered within {:?}", self.limits.timeout_max),
            data: None,
        };
        let id = id.clone();
        if let Some(live) = self.state.live_mut() {
            live.session.answer(&id, Err(&error), cx.out);
        }
        self.withdraw_questions(cx, [input]);
    }

    pub(super) fn on_withdrawn(&mut self, cx: &mut Context<'_>, withdrawn: &Id) {
        let input = self
            .questions
            .iter()
            .find_map(|(input, asked)| match asked {
                Asked::Request { id, .. } if id == withdrawn => Some(*input),
                Asked::Request { .. } | Asked::Round { .. } => None,
            });
        self.withdraw_questions(cx, input);
    }

    /// A modern server needs answers before a call can go on
    /// (MCP 2026-07-28, basic/patterns/mrtr).
    pub(super) fn on_round(&mut self, cx: &mut Context<'_>, id: CallId, round: Round) {
        if let State::Closing(closing) = &self.state {
            // Its input is closed: no answer would reach it.
            let exit = closing.live.as_ref().and_then(|live| live.exit);
            let loss = self.loss(&closing.after, exit);
            return self.end_gone(cx, id, &loss, Sent::Unknown);
        }
        let rounds_max = self.limits.rounds;
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.rounds += 1;
        let due_max = call.due_max;
        if call.rounds > rounds_max {
            let message = format!("asked for input more than {rounds_max} times");
            return self.end_call(cx, id, Err(CallError::Protocol { message }));
        }
        let mut asking = Asking {
            open: BTreeMap::new(),
            answers: BTreeMap::new(),
            state: round.state,
        };
        let mut to_ask = Vec::new();
        for (key, question) in round.questions {
            match decide(&question.method, question.params.as_ref(), &self.offer) {
                Decision::Answer(answer) => {
                    asking.answers.insert(key, answer);
                }
                Decision::Ask => to_ask.push((key, question)),
                Decision::Refuse(error) => {
                    let (method, reason) = (question.method, error.message);
                    let error = CallError::InputRefused { method, reason };
                    return self.end_call(cx, id, Err(error));
                }
            }
        }
        if self.questions.len() + to_ask.len() > self.limits.inputs {
            let method = "input_required".to_owned();
            let reason = format!("more than {} questions are open", self.limits.inputs);
            return self.end_call(cx, id, Err(CallError::InputRefused { method, reason }));
        }
        // People answer in their own time: only the longest a call may take still counts.
        self.move_due(id, due_max);
        let answered = !asking.answers.is_empty();
        for (key, question) in to_ask {
            let method = question.method.clone();
            let input = self.ask(cx, Asked::Round { call: id, method }, Some(id), question);
            asking.open.insert(input, key);
        }
        if !asking.open.is_empty() {
            self.calls.move_to(id, Stage::Asking(asking));
        } else if answered {
            self.resume(id, asking);
        } else {
            let at = cx.now.after(self.limits.round_pause);
            self.set_answers(id, asking);
            self.calls.move_to(id, Stage::Pausing);
            self.timers.insert(at, Due::Round(id));
        }
    }

    /// The pause of a round that asked nothing is over.
    pub(super) fn on_round_due(&mut self, id: CallId) {
        if self
            .calls
            .get(id)
            .is_some_and(|call| call.stage == Stage::Pausing)
        {
            self.calls.move_to(id, Stage::Parked);
        }
    }

    pub(super) fn withdraw_questions(
        &mut self,
        cx: &mut Context<'_>,
        inputs: impl IntoIterator<Item = InputId>,
    ) {
        self.on_less_busy(cx.now);
        let mut open = Vec::new();
        for input in inputs {
            match self.questions.remove(&input) {
                Some(Asked::Request { due, .. }) => {
                    self.timers.remove(due, Due::Input(input));
                    open.push(input);
                }
                Some(Asked::Round { .. }) => open.push(input),
                None => {}
            }
        }
        self.tell_withdrawn(cx, open);
    }

    pub(super) fn tell_withdrawn(
        &self,
        cx: &mut Context<'_>,
        inputs: impl IntoIterator<Item = InputId>,
    ) {
        for input in inputs {
            cx.out.note(Note::InputClosed(input));
            cx.out.event(Event::InputWithdrawn { input });
        }
    }

    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        asked: Asked,
        call: Option<CallId>,
        question: Question,
    ) -> InputId {
        *cx.next_input += 1;
        let input = InputId(*cx.next_input);
        self.questions.insert(input, asked);
        cx.out.note(Note::InputOpened(input));
        let Question { method, params } = question;
        let server = self.name.clone();
        cx.out.event(Event::InputRequested {
            input,
            server,
            call,
            method,
            params,
        });
        input
    }

    fn on_round_answer(&mut self, id: CallId, input: InputId, result: RawJson) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let Stage::Asking(asking) = &mut call.stage else {
            return;
        };
        if let Some(key) = asking.open.remove(&input) {
            asking.answers.insert(key, result);
        }
        if asking.open.is_empty() {
            let asking = asking.clone();
            self.resume(id, asking);
        }
    }

    /// Sends the call again, with the answers, ahead of those that were not sent yet.
    fn resume(&mut self, id: CallId, asking: Asking) {
        self.set_answers(id, asking);
        self.calls.move_to(id, Stage::Parked);
    }

    fn set_answers(&mut self, id: CallId, asking: Asking) {
        if let Some(call) = self.calls.get_mut(id) {
            call.answers = Some(asking.finish());
        }
    }
}
