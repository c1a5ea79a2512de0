//! What a server tells of itself to whoever shares calls out, and the calls that change hands.

use std::time::Duration;

use super::{
    Context, Server,
    breaker::Lesson,
    calls::Call,
    state::{After, State},
    timers::{Due, Timer},
};
use crate::{
    config::Restart,
    error::{CallError, CommandError},
    event::{BreakerState, ServerState},
    ids::CallId,
    link::Note,
    time::Time,
};

/// Least time without work that is looked for.
const IDLE_LEAST: Duration = Duration::from_millis(1);

/// How busy a server is, and whether it is to be given calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Load {
    pub(crate) state: ServerState,
    /// Whether it failed, or waits in vain to start.
    pub(crate) in_trouble: bool,
    /// Whether its session is open, so that it has something to lose.
    pub(crate) up: bool,
    /// Whether it is spared calls, because too many were lost lately.
    pub(crate) spared: bool,
    /// Whether calls may wait for it, so that they are not refused for its state.
    pub(crate) open: bool,
    /// Calls for which it has a place, in its queue or at once.
    pub(crate) places: usize,
    /// Calls that it would send at once.
    pub(crate) spare: usize,
    /// Whether no more may be in flight.
    pub(crate) full: bool,
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
    /// Calls that wait to be sent, and never were.
    pub(crate) fresh: usize,
    /// Whether no call is with it at all.
    pub(crate) idle: bool,
    /// Since when it is ready and has nothing to do.
    pub(crate) idle_since: Option<Time>,
    /// Whether it has nothing to do but to wait for the next call.
    pub(crate) unneeded: bool,
    /// When a call last left it.
    pub(crate) last_busy: Time,
}

impl Load {
    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.state, ServerState::Ready)
    }

    /// Calls that it has to see to.
    pub(crate) const fn calls(&self) -> usize {
        self.in_flight + self.queued
    }
}

/// A call that was accepted and never sent, on its way from one server to another.
#[derive(Debug)]
pub(crate) struct Parked(Call);

impl Parked {
    /// Its place in the order of acceptance.
    pub(crate) const fn ticket(&self) -> u64 {
        self.0.ticket
    }
}

/// For how long a server had nothing to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    /// How long it is to have nothing to do before that is told; never where absent.
    after: Option<Duration>,
    pub(super) last_busy: Time,
}

impl Server {
    pub(crate) fn load(&self, now: Time) -> Load {
        let (in_flight, queued) = (self.calls.in_flight(), self.calls.queued());
        // While the breaker is not closed, one call may try.
        let most = match self.breaker.state() {
            BreakerState::Closed => usize::MAX,
            BreakerState::Open | BreakerState::HalfOpen => 1,
        };
        let spare = self.sendable().saturating_sub(queued).min(most);
        Load {
            state: self.state.word(),
            in_trouble: self.trouble().is_some(),
            up: self.is_ready(),
            spared: self.breaker_refuses(now).is_some(),
            open: self.is_open(),
            places: self.places().min(most),
            spare,
            full: in_flight >= self.limits.in_flight,
            in_flight,
            queued,
            fresh: self.calls.fresh(),
            idle: self.calls.is_empty(),
            idle_since: self.idle_since(),
            unneeded: self.has_nothing_to_do(),
            last_busy: self.idle.last_busy,
        }
    }

    /// What to tell a command that waits for it to be ready, where it failed or waits in vain to
    /// start.
    pub(crate) fn trouble(&self) -> Option<CommandError> {
        if let State::Waiting(wait) = &self.state {
            return wait.problem(&self.name);
        }
        let failure = self.state.failure()?.clone();
        let server = self.name.clone();
        Some(CommandError::Failed { server, failure })
    }

    /// Whether calls may wait for it.
    pub(super) fn is_open(&self) -> bool {
        match &self.state {
            State::Asleep
            | State::Waiting(_)
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_)
            | State::Backoff(_) => true,
            State::Draining(_, after) => after.is_temporary(),
            State::Closing(closing) => match &closing.after {
                // Whether it starts again is judged when nothing is left of it.
                After::Fail(_) => self.restart != Restart::Never,
                after @ (After::Stop
                | After::Sleep
                | After::Retire
                | After::Restart
                | After::Respawn) => after.is_temporary(),
            },
            State::Stopped | State::Failed(_) => false,
        }
    }

    /// Leaves up to `most` of the calls that did not run for certain to whoever shares them out,
    /// those that were accepted first. Whether another may run those that were lost before, only
    /// the server itself could say.
    pub(crate) fn give_parked(&mut self, cx: &mut Context<'_>, most: usize) {
        let mut ids = self.calls.fresh_ids();
        ids.retain(|id| self.calls.get(*id).is_some_and(|call| call.lost.is_none()));
        for id in ids.into_iter().take(most) {
            self.hand_over(cx, id);
        }
    }

    /// Leaves a call that was never sent to whoever shares calls out.
    pub(super) fn hand_over(&mut self, cx: &mut Context<'_>, id: CallId) {
        let Some(call) = self.calls.remove(id) else {
            return;
        };
        self.timers.remove(call.due, Due::Call(id));
        self.on_less_busy(cx.now);
        let (period, _) = call.sent_in;
        // Where it was the one that tries, another may.
        if self
            .breaker
            .learn(cx.now, id, period, Lesson::None, &self.limits)
        {
            self.tell_breaker(cx);
        }
        cx.out.note(Note::Unserved(id, Box::new(Parked(call))));
    }

    /// Takes over a call that another server accepted. It keeps its deadline and its place in the
    /// order of acceptance, and is not refused for want of room.
    pub(crate) fn adopt(&mut self, cx: &mut Context<'_>, id: CallId, parked: Parked) {
        let Parked(call) = parked;
        let due = call.due;
        self.timers.insert(due, Due::Call(id));
        self.calls.accept(id, call);
        if !self.is_open() {
            self.refuse_call(cx, id, None);
        } else if let Some(retry_after) = self.breaker_refuses(cx.now) {
            let server = self.name.clone();
            let error = CallError::BreakerOpen {
                server,
                retry_after,
            };
            self.end_call(cx, id, Err(error));
        } else if self.breaker.admit(cx.now, id, due) {
            self.tell_breaker(cx);
        }
        self.settle(cx);
    }

    /// From here on it tells by [`Note::Idle`] when it had nothing to do for this long, and again
    /// after each such time.
    pub(crate) fn watch_idle(&mut self, now: Time, after: Option<Duration>) {
        if self.idle.after != after {
            self.idle.after = after;
            self.arm_idle(now);
        }
    }

    /// A call has left.
    pub(super) const fn on_less_busy(&mut self, now: Time) {
        self.idle.last_busy = now;
    }

    pub(super) fn arm_idle(&mut self, now: Time) {
        self.timers.disarm(Timer::Idle);
        if let (State::Ready(_), Some(after)) = (&self.state, self.idle.after) {
            self.timers
                .arm(Timer::Idle, now.after(after.max(IDLE_LEAST)));
        }
    }

    pub(super) fn on_idle_due(&mut self, cx: &mut Context<'_>) {
        let Some(after) = self.idle.after else {
            return;
        };
        let empty = self.has_nothing_to_do();
        if empty && cx.now.since(self.idle.last_busy) >= after {
            cx.out.note(Note::Idle);
        }
        let since = if empty { self.idle.last_busy } else { cx.now };
        let left = after.saturating_sub(cx.now.since(since));
        let left = if left.is_zero() { after } else { left };
        if matches!(self.state, State::Ready(_)) {
            self.timers
                .arm(Timer::Idle, cx.now.after(left.max(IDLE_LEAST)));
        }
    }
}
