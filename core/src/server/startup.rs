//! Whether a server whose session is open has started up.

use super::{
    Context, Server,
    health::{Asker, INTERVAL_MIN},
    state::{After, Cause, State},
    timers::Timer,
};
use crate::config::Probe;

/// What its startup probe said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Startup {
    /// The question is to be put as soon as the server reads.
    due: bool,
    /// What the last one came to.
    problem: Option<String>,
}

impl Startup {
    pub(super) fn on_unwell(&mut self, problem: String) {
        self.problem = Some(problem);
    }

    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

impl Server {
    /// The session is open: the first question is due at once.
    pub(super) fn begin_startup(&mut self, cx: &Context<'_>) {
        self.startup.due = true;
        let next = cx.now.after(self.limits.startup_interval.max(INTERVAL_MIN));
        self.timers.arm(Timer::Startup, next);
    }

    /// An interval is over.
    pub(super) fn on_startup_due(&mut self, cx: &Context<'_>) {
        if matches!(self.state, State::Warming(_)) {
            self.begin_startup(cx);
            self.startup.due = !self.is_asked(Asker::Startup);
        }
    }

    /// Asks where a question is due and the server reads.
    pub(super) fn ask_startup(&mut self, cx: &mut Context<'_>) {
        let State::Warming(live) = &self.state else {
            return;
        };
        if !self.startup.due || !live.session.link.has_credit() {
            return;
        }
        self.startup.due = false;
        if let Err(problem) = self.ask_after(cx, Asker::Startup) {
            self.startup.on_unwell(problem);
        }
    }

    /// The server had to be ready by now.
    pub(super) fn on_start_due(&mut self, cx: &mut Context<'_>) {
        if matches!(self.state, State::Warming(_)) {
            // After a suspension of the host nobody had the time to answer.
            if cx.now.since(self.start_due) > self.limits.start_timeout {
                self.start_due = cx.now.after(self.limits.start_timeout);
                self.timers.arm(Timer::Start, self.start_due);
                return;
            }
            let unanswered = || "it was not answered".to_owned();
            self.startup.problem.get_or_insert_with(unanswered);
        }
        self.begin_close(cx, After::Fail(Cause::StartTimedOut));
    }

    /// Another question is to be asked, or none.
    pub(super) fn change_startup(&mut self, cx: &mut Context<'_>) {
        self.forget_checks(Asker::Startup);
        if self.probes.startup == Probe::None {
            self.become_ready(cx);
        } else if matches!(self.state, State::Warming(_)) {
            self.begin_startup(cx);
        }
    }
}
