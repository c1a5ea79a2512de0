//! A call from its acceptance to its single outcome.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Context, Server,
    breaker::Lesson,
    calls::{Call, Stage},
    state::{After, Rotation, State},
    timers::Due,
};
use crate::{
    error::{CallError, Exit, Limit, Sent},
    event::BreakerState,
    ids::CallId,
    input::{CallOptions, Request},
    link::Note,
    planted::{Bug, planted},
    session::{Fault, Purpose, Session},
    time::Time,
    wire::{
        Era, RawJson,
        bodies::{self, Outcome},
        params,
    },
};

/// What a caller who is turned away is told to wait at least, and at most.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));
/// How long a call is taken to last while none has ended.
const MEDIAN_GUESS: Duration = Duration::from_millis(100);

impl Server {
    /// Takes a call, or ends it at once with the reason why not.
    pub(crate) fn execute(
        &mut self,
        cx: &mut Context<'_>,
        call: CallId,
        request: Request,
        options: &CallOptions,
    ) {
        match self.admit(cx, &request, options) {
            Ok(None) => {}
            Ok(Some(gives_way)) => {
                let overloaded = self.overloaded(cx, Limit::Queue);
                self.end_call(cx, gives_way, Err(overloaded));
            }
            Err(error) => {
                self.meter.ended(Some(&error), Duration::ZERO);
                let span = Duration::ZERO;
                cx.out.note(Note::CallEnded {
                    call,
                    outcome: Err(error),
                    span,
                });
                return;
            }
        }
        *cx.next_ticket += 1;
        let new = Call::new(*cx.next_ticket, cx.now, request, options, &self.limits);
        let due = new.due;
        self.timers.insert(due, Due::Call(call));
        self.calls.accept(call, new);
        if self.breaker.admit(cx.now, call, due) {
            self.tell_breaker(cx);
        }
        self.settle(cx);
    }

    /// Gives up a call, wherever it is.
    pub(crate) fn cancel(&mut self, cx: &mut Context<'_>, call: CallId, reason: Option<&str>) {
        if planted(Bug::LostCancel) && !self.calls.get(call).is_some_and(Call::is_begun) {
            return;
        }
        let reason = reason.unwrap_or("the caller gave up");
        self.give_up(cx, call, reason);
        self.settle(cx);
    }

    /// Gives up many calls. None of them takes a place that another leaves.
    pub(crate) fn cancel_all(&mut self, cx: &mut Context<'_>, calls: &[CallId], reason: &str) {
        for call in calls {
            self.give_up(cx, *call, reason);
        }
        self.settle(cx);
    }

    fn give_up(&mut self, cx: &mut Context<'_>, call: CallId, reason: &str) {
        if let Some(sent) = self.withdraw(cx, call, reason) {
            self.end_call(cx, call, Err(CallError::Cancelled { sent }));
        }
    }

    /// Whether a call is taken. `Ok(Some(_))` is a call that gives way to it.
    fn admit(
        &self,
        cx: &mut Context<'_>,
        request: &Request,
        options: &CallOptions,
    ) -> Result<Option<CallId>, CallError> {
        check_request(request)?;
        if !self.is_open() {
            let (server, reason) = (self.name.clone(), self.why_unavailable());
            return Err(CallError::Unavailable { server, reason });
        }
        if let Some(retry_after) = self.breaker_refuses(cx.now) {
            let server = self.name.clone();
            return Err(CallError::BreakerOpen {
                server,
                retry_after,
            });
        }
        let sendable = self.sendable();
        let queued = self.calls.queued_of(options.client);
        let of_client = self.limits.queue_of_client();
        if of_client.is_some_and(|bound| queued >= bound.saturating_add(sendable)) {
            return Err(self.overloaded(cx, Limit::ClientQueue));
        }
        let extra = usize::from(planted(Bug::QueueOffByOne));
        if self.calls.queued() < self.limits.queue.saturating_add(sendable + extra) {
            return Ok(None);
        }
        match self.calls.gives_way(options) {
            Some(call) => Ok(Some(call)),
            None => Err(self.overloaded(cx, Limit::Queue)),
        }
    }

    /// How many more calls may wait, or can be sent at once.
    pub(super) fn places(&self) -> usize {
        let places = self.limits.queue.saturating_add(self.sendable());
        places.saturating_sub(self.calls.queued())
    }

    /// How many more calls may be in flight now.
    pub(super) fn sendable(&self) -> usize {
        match &self.state {
            State::Ready(live)
                if live.rotation == Rotation::In && live.session.link.has_credit() =>
            {
                self.limits.in_flight.saturating_sub(self.calls.in_flight())
            }
            State::Ready(_)
            | State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Draining(..)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_) => 0,
        }
    }

    fn overloaded(&self, cx: &mut Context<'_>, limit: Limit) -> CallError {
        CallError::Overloaded {
            server: self.name.clone(),
            limit,
            retry_after: self.retry_after(cx),
        }
    }

    /// About the time that the calls now waiting will take; never nothing.
    fn retry_after(&self, cx: &mut Context<'_>) -> Duration {
        let median = self.meter.median();
        let median = if median.is_zero() {
            MEDIAN_GUESS
        } else {
            median
        };
        let lanes = u32::try_from(self.limits.in_flight.max(1)).unwrap_or(u32::MAX);
        let queued = u32::try_from(self.calls.queued()).unwrap_or(u32::MAX);
        let (least, most) = RETRY_AFTER;
        cx.rng
            .spread((median.saturating_mul(queued) / lanes).clamp(least, most))
    }

    /// Sends parked calls, in order, while the server takes them; while it drains or is out of
    /// rotation, the next rounds of those it has begun.
    pub(super) fn dispatch(&mut self, cx: &mut Context<'_>) {
        let extra = usize::from(planted(Bug::InFlightOffByOne));
        while self.calls.in_flight() < self.limits.in_flight + extra {
            let Some(id) = self.calls.next_parked() else {
                return;
            };
            let Some(call) = self.calls.get(id) else {
                return;
            };
            if call.due <= cx.now {
                self.on_call_due(cx, id);
                continue;
            }
            let live = match &mut self.state {
                State::Ready(live)
                    if live.rotation == Rotation::In
                        || call.is_begun()
                        || planted(Bug::UnreadySends) =>
                {
                    live
                }
                State::Draining(live, _) if call.is_begun() => live,
                State::Stopped
                | State::Asleep
                | State::Waiting(_)
                | State::Starting(_)
                | State::Probing(_)
                | State::Handshaking(_)
                | State::Warming(_)
                | State::Ready(_)
                | State::Draining(..)
                | State::Closing(_)
                | State::Backoff(_)
                | State::Failed(_) => return,
            };
            if !live.session.link.has_credit() && !planted(Bug::CreditIgnored) {
                return;
            }
            let answers = call.answers.as_ref();
            let mut extra = Vec::new();
            if let Some(responses) = answers.and_then(|answers| answers.responses.as_deref()) {
                extra.push(("inputResponses", responses));
            }
            if let Some(state) = answers.and_then(|answers| answers.state.as_ref()) {
                extra.push(("requestState", state.as_str()));
            }
            let composed;
            let (method, params) = match &call.request {
                Request::Tool { name, arguments } => {
                    composed = RawJson::from_valid(params::tool_call(name, arguments.as_ref()));
                    ("tools/call", Some(&composed))
                }
                Request::Method { method, params } => (method.as_str(), params.as_ref()),
            };
            let purpose = Purpose::Call(id);
            match live
                .session
                .request(method, params, &extra, purpose, call.progress, cx.out)
            {
                Ok(request) => {
                    let again = (call.rounds > 0).then_some(call.timeout);
                    if !call.tried {
                        self.retries.earn(self.limits.retry_percent);
                    }
                    self.calls.move_to(id, Stage::Sent(request));
                    let sent_in = (self.breaker.period(), self.incarnation);
                    if let Some(call) = self.calls.get_mut(id) {
                        call.tried = true;
                        call.sent_in = sent_in;
                    }
                    if let Some(timeout) = again {
                        self.start_deadline_anew(cx.now, id, timeout);
                    }
                }
                Err(error) => {
                    let message = error.to_string();
                    self.end_call(cx, id, Err(CallError::InvalidRequest { message }));
                }
            }
        }
    }

    pub(super) fn on_call_answered(
        &mut self,
        cx: &mut Context<'_>,
        id: CallId,
        outcome: Result<RawJson, Fault>,
    ) {
        let result = match outcome {
            Ok(result) => result,
            Err(Fault::Rpc(error)) => return self.end_call(cx, id, Err(CallError::Rpc(error))),
            Err(Fault::Protocol(message)) => {
                return self.end_call(cx, id, Err(CallError::Protocol { message }));
            }
        };
        self.note_subscription(id);
        let era = self.state.live().and_then(|live| live.session.era());
        if era != Some(Era::Modern) {
            return self.end_call(cx, id, Ok(result));
        }
        match bodies::outcome(&result) {
            Ok(Outcome::Complete) => self.end_call(cx, id, Ok(result)),
            Ok(Outcome::InputRequired(round)) => self.on_round(cx, id, round),
            Ok(Outcome::Unknown(kind)) => {
                let message = format!("the result is of an unknown type, {kind:?}");
                self.end_call(cx, id, Err(CallError::Protocol { message }));
            }
            Err(message) => self.end_call(cx, id, Err(CallError::Protocol { message })),
        }
    }

    /// Progress starts the deadline anew, up to the longest a call may take. Says whether the
    /// call's caller is to know: each request begins anew, and what is told of a call only grows.
    pub(super) fn on_progress(&mut self, now: Time, id: CallId, progress: f64) -> bool {
        let Some(call) = self.calls.get_mut(id) else {
            return false;
        };
        let grows = progress > call.told || planted(Bug::ProgressNotGrowing);
        if grows {
            call.told = progress;
        }
        let timeout = call.timeout;
        if !planted(Bug::DeadlineNotMoved) {
            self.start_deadline_anew(now, id, timeout);
        }
        grows
    }

    fn start_deadline_anew(&mut self, now: Time, id: CallId, timeout: Duration) {
        if let Some(due_max) = self.calls.get(id).map(|call| call.due_max) {
            self.move_due(id, now.after(timeout).min(due_max));
        }
    }

    pub(super) fn move_due(&mut self, id: CallId, due: Time) {
        if let Some(call) = self.calls.get_mut(id) {
            self.timers.remove(call.due, Due::Call(id));
            call.due = due;
            self.timers.insert(due, Due::Call(id));
        }
    }

    pub(super) fn on_call_due(&mut self, cx: &mut Context<'_>, id: CallId) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let after = call.due.since(call.accepted);
        if matches!(call.stage, Stage::Sent(_)) {
            self.on_call_lost();
        }
        if let Some(sent) = self.withdraw(cx, id, "timed out") {
            self.end_call(cx, id, Err(CallError::TimedOut { after, sent }));
        }
    }

    /// Takes a call back from wherever it is, and says whether it may have run.
    fn withdraw(&mut self, cx: &mut Context<'_>, id: CallId, reason: &str) -> Option<Sent> {
        let call = self.calls.get(id)?;
        Some(match &call.stage {
            Stage::Parked if !call.is_begun() && call.lost.is_none() => Sent::No,
            Stage::Sent(request) => {
                let request = *request;
                if let Some(live) = self.state.live_mut() {
                    live.session.cancel(request, reason, cx.out);
                }
                Sent::Unknown
            }
            Stage::Parked | Stage::Asking(_) | Stage::Pausing => Sent::Unknown,
        })
    }

    /// Ends a call. Its one and only outcome leaves from here.
    pub(super) fn end_call(
        &mut self,
        cx: &mut Context<'_>,
        id: CallId,
        outcome: Result<RawJson, CallError>,
    ) {
        let Some(call) = self.calls.remove(id) else {
            return;
        };
        self.timers.remove(call.due, Due::Call(id));
        self.on_less_busy(cx.now);
        let (period, _) = call.sent_in;
        let lesson = match &outcome {
            // It waited for the application, or for its turn.
            Err(CallError::TimedOut { .. }) if !matches!(call.stage, Stage::Sent(_)) => {
                Lesson::None
            }
            outcome => Lesson::of(outcome.as_ref().err()),
        };
        if let Stage::Asking(asking) = call.stage
            && !planted(Bug::QuestionLeak)
        {
            self.withdraw_questions(cx, asking.open.into_keys());
        }
        let span = cx.now.since(call.accepted);
        self.meter.ended(outcome.as_ref().err(), span);
        cx.out.note(Note::CallEnded {
            call: id,
            outcome,
            span,
        });
        let limits = &self.limits;
        if self.breaker.learn(cx.now, id, period, lesson, limits) {
            self.tell_breaker(cx);
            self.refuse_for_breaker(cx);
        }
    }

    /// A breaker that opened refuses the calls that wait to be sent, too: their callers can go
    /// elsewhere at once, and do not come all together when it closes.
    fn refuse_for_breaker(&mut self, cx: &mut Context<'_>) {
        if self.breaker.state() == BreakerState::Closed {
            return;
        }
        let retry_after = self.breaker_refuses(cx.now).unwrap_or(RETRY_AFTER.0);
        for id in self.calls.fresh_ids() {
            // Those whose time is over say so themselves.
            let due = self.calls.get(id).is_some_and(|call| call.due <= cx.now);
            if due || !self.breaker.spares(id) {
                continue;
            }
            if let Some(before) = self.calls.get(id).and_then(|call| call.lost.clone()) {
                self.end_gone(cx, id, &before, Sent::Unknown);
            } else if cx.relief {
                self.hand_over(cx, id);
            } else {
                let server = self.name.clone();
                let error = CallError::BreakerOpen {
                    server,
                    retry_after,
                };
                self.end_call(cx, id, Err(error));
            }
        }
    }

    /// Ends all that was under way in a session that is over, but for the calls that are made
    /// again where the server comes `again`. `own` says whether the end was the server's doing.
    pub(super) fn lose(
        &mut self,
        cx: &mut Context<'_>,
        session: Session,
        loss: &Loss,
        again: bool,
        own: bool,
    ) {
        let lost: Vec<(CallId, Sent)> = session
            .into_lost()
            .into_iter()
            .filter_map(|(purpose, sent)| Some((purpose.call()?, sent)))
            .collect();
        let ids: Vec<CallId> = lost.iter().map(|(id, _)| *id).collect();
        let repeatable = if again {
            self.repeatable_tools(&ids)
        } else {
            BTreeSet::new()
        };
        if own {
            self.count_loss(cx, &lost);
        }
        for (id, sent) in lost {
            // A round before this one ran for certain.
            let fresh = self.calls.get(id).is_some_and(|call| call.rounds == 0);
            let sent = if fresh { sent } else { Sent::Unknown };
            let wanted = again && !self.breaker.spares(id);
            if !wanted || !self.make_again(cx, id, loss, sent, &repeatable) {
                self.end_gone(cx, id, loss, sent);
            }
        }
        for id in self.calls.begun_ids() {
            if planted(Bug::ForgottenRound) {
                continue;
            }
            self.end_gone(cx, id, loss, Sent::Unknown);
        }
        self.lose_checks(cx);
        let open = std::mem::take(&mut self.questions);
        self.tell_withdrawn(cx, open.into_keys());
    }

    /// Lets the breaker know of the calls that were lost with a session, also of those that are
    /// made again, and before it is known which.
    fn count_loss(&mut self, cx: &mut Context<'_>, lost: &[(CallId, Sent)]) {
        let unsent = lost.iter().filter(|(_, sent)| *sent == Sent::No);
        let unsent: BTreeSet<CallId> = unsent.map(|(id, _)| *id).collect();
        for id in self.calls.begun_ids() {
            let Some(call) = self.calls.get(id) else {
                continue;
            };
            let (period, incarnation) = call.sent_in;
            if call.rounds == 0 && unsent.contains(&id) {
                continue;
            }
            let lesson = Lesson::Ended(incarnation);
            if self.breaker.learn(cx.now, id, period, lesson, &self.limits) {
                self.tell_breaker(cx);
                self.refuse_for_breaker(cx);
            }
        }
    }

    /// Ends the calls that were never sent, and wait for a server that will not come; leaves them
    /// to others, where there are any. `loss` tells of the crash, where there was one.
    pub(super) fn refuse_parked(&mut self, cx: &mut Context<'_>, loss: Option<&Loss>) {
        if cx.relief && !planted(Bug::ReliefForgotten) {
            self.give_parked(cx, usize::MAX);
        }
        for id in self.calls.fresh_ids() {
            self.refuse_call(cx, id, loss);
        }
    }

    /// Ends a parked call that nobody will serve.
    pub(super) fn refuse_call(&mut self, cx: &mut Context<'_>, id: CallId, loss: Option<&Loss>) {
        let before = self.calls.get(id).and_then(|call| call.lost.clone());
        if let Some(before) = before {
            self.end_gone(cx, id, &before, Sent::Unknown);
        } else if let Some(loss) = loss {
            self.end_gone(cx, id, loss, Sent::No);
        } else {
            let (server, reason) = (self.name.clone(), self.why_unavailable());
            self.end_call(cx, id, Err(CallError::Unavailable { server, reason }));
        }
    }

    pub(super) fn loss(&self, after: &After, exit: Option<Exit>) -> Loss {
        Loss {
            reason: after.reason(),
            exit,
            stderr_tail: self.log.tail(),
        }
    }

    pub(super) fn end_gone(&mut self, cx: &mut Context<'_>, id: CallId, loss: &Loss, sent: Sent) {
        let Loss {
            reason,
            exit,
            stderr_tail,
        } = loss.clone();
        // It may have run before the attempt that was lost last.
        let before = self.calls.get(id).is_some_and(|call| call.lost.is_some());
        let sent = if before { Sent::Unknown } else { sent };
        let gone = CallError::ServerGone {
            server: self.name.clone(),
            reason,
            exit,
            stderr_tail,
            sent,
        };
        self.end_call(cx, id, Err(gone));
    }
}

/// How an incarnation was lost.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// Why it was ended, where it did not end by itself.
    pub(super) reason: Option<String>,
    pub(super) exit: Option<Exit>,
    pub(super) stderr_tail: String,
}

/// Refuses what cannot be sent, or is the machine's own business.
pub(crate) fn check_request(request: &Request) -> Result<(), CallError> {
    let invalid = |message: String| Err(CallError::InvalidRequest { message });
    match request {
        Request::Tool {
            arguments: Some(arguments),
            ..
        } if !arguments.is_object() => {
            invalid("the arguments of a tool are a JSON object".to_owned())
        }
        Request::Tool { .. } => Ok(()),
        Request::Method { method, .. }
            if method == "initialize" || method.starts_with("notifications/") =>
        {
            invalid(format!("{method} is sent by the fleet itself"))
        }
        Request::Method {
            params: Some(params),
            ..
        } if !params.is_object() => invalid("params are a JSON object".to_owned()),
        Request::Method { method, .. } if method.is_empty() => {
            invalid("the method is empty".to_owned())
        }
        Request::Method { .. } => Ok(()),
    }
}
