//! Whether a server that lives is to be given calls.

use super::{
    Context, Server,
    health::{Asker, INTERVAL_MIN},
    state::{Rotation, State},
    timers::Timer,
};
use crate::{config::Probe, time::Time};

/// What its readiness probe said lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness {
    /// Probes in a row that did not succeed.
    failures: u32,
    /// When the next is due.
    due: Time,
    /// It is to be put as soon as the server reads.
    wanted: bool,
}

impl Server {
    /// The server is ready, and in rotation: the first interval begins.
    pub(super) fn begin_readiness(&mut self, now: Time) {
        self.readiness = Readiness::default();
        self.arm_readiness(now);
    }

    /// An interval is over.
    pub(super) fn on_readiness_due(&mut self, cx: &Context<'_>) {
        let late = cx.now.since(self.readiness.due);
        self.arm_readiness(cx.now);
        // After a suspension of the host nobody had the time to answer.
        if late > self.limits.readiness_interval.max(INTERVAL_MIN) {
            self.readiness.failures = 0;
            self.readiness.wanted = false;
            return;
        }
        self.readiness.wanted = !self.is_asked(Asker::Readiness);
    }

    /// Asks where a question is due and the server reads, ahead of calls and of other questions
    /// that may come. A server that does not read gets no calls either.
    pub(super) fn ask_readiness(&mut self, cx: &mut Context<'_>) {
        let State::Ready(live) = &self.state else {
            return;
        };
        if !self.readiness.wanted || !live.session.link.has_credit() {
            return;
        }
        self.readiness.wanted = false;
        if let Err(problem) = self.ask_after(cx, Asker::Readiness) {
            self.on_unwell(cx, problem);
        }
    }

    /// The probe succeeded: once is enough to be back.
    pub(super) fn on_well(&mut self, cx: &mut Context<'_>) {
        self.readiness.failures = 0;
        if let State::Ready(live) = &mut self.state
            && live.rotation != Rotation::In
        {
            live.rotation = Rotation::In;
            self.tell_state(cx);
        }
    }

    /// The probe did not succeed.
    pub(super) fn on_unwell(&mut self, cx: &mut Context<'_>, problem: String) {
        let State::Ready(live) = &mut self.state else {
            return;
        };
        self.readiness.failures = self.readiness.failures.saturating_add(1);
        let was_in = live.rotation == Rotation::In;
        if was_in && self.readiness.failures < self.limits.readiness_failures {
            return;
        }
        live.rotation = Rotation::Out(problem);
        if was_in {
            self.tell_state(cx);
        }
    }

    /// Another question is to be asked: what the one before said is void.
    pub(super) fn change_readiness(&mut self, cx: &mut Context<'_>) {
        self.forget_checks(Asker::Readiness);
        self.readiness.wanted = false;
        self.on_well(cx);
        self.arm_readiness(cx.now);
    }

    /// Begins an interval, where there is to be one.
    pub(super) fn arm_readiness(&mut self, now: Time) {
        self.timers.disarm(Timer::Readiness);
        if self.probes.readiness != Probe::None && matches!(self.state, State::Ready(_)) {
            self.readiness.due = now.after(self.limits.readiness_interval.max(INTERVAL_MIN));
            self.timers.arm(Timer::Readiness, self.readiness.due);
        }
    }
}
