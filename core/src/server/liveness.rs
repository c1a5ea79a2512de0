//! Whether a server lives, or is to be started anew.

use super::{
    Context, Server,
    health::Asker,
    state::{After, Cause, State},
    timers::Timer,
};
use crate::{config::Probe, error::Failure, time::Time};

/// What is known of a server that may hang.
///
/// Slow is not dead: a server that says anything at all is alive, and so is one that works on
/// calls, until one of them has timed out with not a word in between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Liveness {
    /// Checks in a row that came to nothing.
    missed: u32,
    heard: Time,
    /// A call timed out, and nothing was heard since.
    call_lost: bool,
    /// When the next check is due.
    due: Time,
}

impl Server {
    /// The server is ready: the first interval begins.
    pub(super) fn begin_liveness(&mut self, now: Time) {
        self.liveness = Liveness {
            heard: now,
            ..Liveness::default()
        };
        self.arm_liveness(now);
    }

    /// The server said something.
    pub(super) const fn on_heard(&mut self, now: Time) {
        self.liveness.missed = 0;
        self.liveness.heard = now;
        self.liveness.call_lost = false;
    }

    /// A call that was sent timed out.
    pub(super) const fn on_call_lost(&mut self) {
        self.liveness.call_lost = true;
    }

    /// An interval is over.
    pub(super) fn on_liveness_due(&mut self, cx: &mut Context<'_>) {
        let late = cx.now.since(self.liveness.due);
        self.arm_liveness(cx.now);
        let State::Ready(live) = &self.state else {
            return;
        };
        // After a suspension of the host nobody had the time to answer.
        if late > self.limits.health_interval {
            self.liveness.missed = 0;
            return;
        }
        if self.is_asked(Asker::Liveness) {
            return;
        }
        if live.session.link.has_credit() {
            // A question that cannot be put is missed at its deadline like one that is ignored.
            drop(self.ask_after(cx, Asker::Liveness));
        } else if cx.now.since(self.liveness.heard) >= self.limits.health_interval {
            // It was silent for the whole interval, and does not read the question either.
            self.on_missed(cx, self.liveness.heard);
        }
    }

    /// A check that was made then came to nothing.
    pub(super) fn on_missed(&mut self, cx: &mut Context<'_>, asked: Time) {
        let busy = self.calls.in_flight() > 0 && !self.liveness.call_lost;
        if self.liveness.heard > asked || busy {
            self.liveness.missed = 0;
            return;
        }
        self.liveness.missed += 1;
        let checks = self.liveness.missed;
        if checks >= self.limits.health_failures && matches!(self.state, State::Ready(_)) {
            self.meter.counts.crashes += 1;
            let failure = Failure::Unresponsive { checks };
            self.begin_close(cx, After::Fail(Cause::Known(failure)));
        }
    }

    /// Begins an interval, where there is to be one.
    pub(super) fn arm_liveness(&mut self, now: Time) {
        self.timers.disarm(Timer::Health);
        let wanted = self.probes.liveness != Probe::None && !self.limits.health_interval.is_zero();
        if wanted && matches!(self.state, State::Ready(_)) {
            self.liveness.due = now.after(self.limits.health_interval);
            self.timers.arm(Timer::Health, self.liveness.due);
        }
    }
}
