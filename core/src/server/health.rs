//! Whether a server answers: on request, and in intervals of its own.

use std::time::Duration;

use super::{
    Context, Server,
    state::{After, Cause, State},
    timers::Timer,
};
use crate::{
    error::Failure,
    event::{Health, ServerState},
    ids::CommandId,
    link::Note,
    session::Purpose,
    time::Time,
    wire::Era,
};

/// A health check under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    /// The command that asked for it; absent where the interval did.
    command: Option<CommandId>,
    asked: Time,
}

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
    /// Asks the server whether it answers; what came of it is a note. A server that does not read
    /// is not asked: the questions would pile up before it.
    pub(crate) fn check(&mut self, cx: &mut Context<'_>, command: CommandId) {
        let problem = match &self.state {
            State::Ready(_) if self.checks.len() >= self.limits.waiting => {
                "has too many health checks under way".to_owned()
            }
            State::Ready(live) if !live.session.link.has_credit() => {
                "does not read its input".to_owned()
            }
            State::Ready(_) => match self.ask_for_life(cx, Some(command)) {
                Ok(()) => return,
                Err(problem) => problem,
            },
            State::Backoff(failure) | State::Failed(failure) => failure.to_string(),
            State::Waiting(wait) => format!("waits for {}", wait.waiting_for()),
            State::Stopped
            | State::Asleep
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Draining(..)
            | State::Closing(_) => format!("is {}", self.state.word()),
        };
        let health = self.health(None, Some(problem));
        cx.out.note(Note::Checked(command, health));
    }

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
        let under_way = self.checks.values().any(|check| check.command.is_none());
        if under_way {
            return;
        }
        if live.session.link.has_credit() {
            // A question that cannot be put is missed at its deadline like one that is ignored.
            drop(self.ask_for_life(cx, None));
        } else if cx.now.since(self.liveness.heard) >= self.limits.health_interval {
            // It was silent for the whole interval, and does not read the question either.
            self.on_missed(cx, self.liveness.heard);
        }
    }

    /// A check ended; `problem` tells why it came to nothing, where it did.
    pub(super) fn on_checked(
        &mut self,
        cx: &mut Context<'_>,
        request: u64,
        problem: Option<String>,
    ) {
        let Some(check) = self.checks.remove(&request) else {
            return;
        };
        match check.command {
            Some(command) => {
                let latency = problem.is_none().then(|| cx.now.since(check.asked));
                let health = self.health(latency, problem);
                cx.out.note(Note::Checked(command, health));
            }
            None if problem.is_some() => self.on_missed(cx, check.asked),
            None => {}
        }
    }

    /// Ends the checks that were under way in a session that is over.
    pub(super) fn lose_checks(&mut self, cx: &mut Context<'_>) {
        for check in std::mem::take(&mut self.checks).into_values() {
            if let Some(command) = check.command {
                let mut health = self.health(None, Some("ended before it answered".to_owned()));
                health.state = ServerState::Closing;
                cx.out.note(Note::Checked(command, health));
            }
        }
    }

    fn on_missed(&mut self, cx: &mut Context<'_>, asked: Time) {
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

    fn ask_for_life(
        &mut self,
        cx: &mut Context<'_>,
        command: Option<CommandId>,
    ) -> Result<(), String> {
        let State::Ready(live) = &mut self.state else {
            return Ok(());
        };
        let method = match live.session.era() {
            Some(Era::Modern) => "server/discover",
            Some(Era::Legacy) | None => "ping",
        };
        let request = live
            .session
            .request(method, None, &[], Purpose::Health, false, cx.out)
            .map_err(|error| error.to_string())?;
        let asked = cx.now;
        self.checks.insert(request, Check { command, asked });
        self.arm_request(cx.now, request);
        Ok(())
    }

    /// Begins an interval, where there is to be one.
    pub(super) fn arm_liveness(&mut self, now: Time) {
        self.timers.disarm(Timer::Health);
        if matches!(self.state, State::Ready(_)) && !self.limits.health_interval.is_zero() {
            self.liveness.due = now.after(self.limits.health_interval);
            self.timers.arm(Timer::Health, self.liveness.due);
        }
    }

    fn health(&self, latency: Option<Duration>, problem: Option<String>) -> Health {
        Health {
            server: self.name.clone(),
            replica: self.replica,
            state: self.state.word(),
            latency,
            problem,
        }
    }
}
