//! The way out of an incarnation: draining, the close ladder, and what comes after.

use std::time::Duration;

use super::{
    Context, Server,
    execute::Loss,
    restart::Verdict,
    state::{After, Cause, Closing, Opening, State},
    timers::Timer,
    waiting::Wait,
};
use crate::{
    effect::Effect,
    error::Failure,
    event::Event,
    link::Note,
    planted::{Bug, planted},
    time::Time,
};

impl Server {
    /// Makes the way for what is to come `after`: at once where nothing runs, else by draining.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>, after: After, grace: Option<Duration>) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Stopped if after == After::Stop => {}
            State::Waiting(wait) if wait.is_for_turn() && after == After::Restart => {
                // It is about to start already, and keeps its place in the line.
                self.state = State::Waiting(Wait::for_turn(self.usual_opening(cx.now)));
            }
            State::Stopped | State::Asleep | State::Waiting(_) | State::Backoff(_) => {
                self.arrive(cx, after, None);
            }
            State::Failed(failure) => match after {
                // A server that failed stays so, and says why, unless it is disabled.
                After::Stop if self.enabled => {
                    self.timers.disarm(Timer::Revive);
                    self.state = State::Failed(failure);
                }
                After::Stop
                | After::Sleep
                | After::Retire
                | After::Restart
                | After::Respawn
                | After::Fail(_) => {
                    self.arrive(cx, after, None);
                }
            },
            State::Ready(live) => {
                let wait = grace.unwrap_or(self.limits.drain_timeout);
                self.timers.arm(Timer::Drain, cx.now.after(wait));
                for timer in [
                    Timer::Listen,
                    Timer::Health,
                    Timer::Readiness,
                    Timer::Page,
                    Timer::Idle,
                ] {
                    self.timers.disarm(timer);
                }
                self.catalog.abandon();
                self.enter(cx, State::Draining(live, after));
            }
            State::Draining(live, before) => {
                if let Some(grace) = grace {
                    self.timers.arm(Timer::Drain, cx.now.after(grace));
                }
                self.state = State::Draining(live, later(before, after));
            }
            State::Closing(mut closing) => {
                closing.after = later(closing.after, after);
                self.state = State::Closing(closing);
            }
            state @ (State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)) => {
                self.state = state;
                self.begin_close(cx, after);
            }
        }
        self.settle(cx);
    }

    /// Steps onto the close ladder (MCP 2025-11-25, basic/lifecycle, "Shutdown").
    pub(super) fn begin_close(&mut self, cx: &mut Context<'_>, after: After) {
        if !self.enter_closing(cx, after) {
            return;
        }
        let State::Closing(closing) = &mut self.state else {
            return;
        };
        if let Some(live) = &mut closing.live {
            live.session.link.close(cx.out);
            self.timers.arm(
                Timer::CloseInput,
                cx.now.after(self.limits.close_input_wait),
            );
            self.climb(cx);
        } else {
            // There is no input to close yet: whatever is being opened ends at once.
            self.kill(cx);
        }
    }

    /// `false` where the incarnation was closing already, or there is none.
    fn enter_closing(&mut self, cx: &mut Context<'_>, after: After) -> bool {
        let (live, was_ready) = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Starting(_) => (None, false),
            State::Probing(live) | State::Handshaking(live) | State::Warming(live) => {
                (Some(live), false)
            }
            State::Ready(live) | State::Draining(live, _) => (Some(live), true),
            same @ (State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_)) => {
                self.state = same;
                return false;
            }
        };
        for timer in [
            Timer::Start,
            Timer::Probe,
            Timer::Drain,
            Timer::Listen,
            Timer::Health,
            Timer::Idle,
            Timer::Startup,
            Timer::Readiness,
            Timer::Page,
        ] {
            self.timers.disarm(timer);
        }
        self.catalog.abandon();
        let closing = Closing {
            live,
            was_ready,
            killed: false,
            after,
        };
        self.enter(cx, State::Closing(closing));
        true
    }

    /// On the ladder: once the process has ended, what remains is its output and its group.
    pub(super) fn climb(&mut self, cx: &mut Context<'_>) {
        let State::Closing(Closing {
            live: Some(live),
            killed: false,
            ..
        }) = &self.state
        else {
            return;
        };
        if live.exit.is_none() {
            return;
        }
        let eof = live.eof;
        self.timers.disarm(Timer::CloseInput);
        self.timers.disarm(Timer::Terminate);
        if eof {
            self.kill(cx);
        } else if !planted(Bug::KillForgotten) {
            self.timers
                .arm(Timer::ExitWait, cx.now.after(self.limits.exit_wait));
        }
    }

    /// The last rung, and the broom for a group whose leader is gone.
    pub(super) fn kill(&mut self, cx: &mut Context<'_>) {
        self.timers.disarm(Timer::ExitWait);
        if let State::Closing(closing) = &mut self.state {
            closing.killed = true;
        }
        if !planted(Bug::KillWaitForgotten) {
            self.timers
                .arm(Timer::KillWait, cx.now.after(self.limits.kill_wait));
        }
        cx.out.effect(Effect::Kill { link: self.link() });
    }

    /// Below the last rung: a process that even SIGKILL does not end holds up nobody else.
    pub(super) fn abandon(&self, cx: &mut Context<'_>) {
        cx.out.event(Event::Abandoned {
            server: self.name.clone(),
            replica: self.replica,
            incarnation: self.incarnation,
            pid: self.pid,
        });
        cx.out.effect(Effect::Abandon { link: self.link() });
    }

    /// Nothing is left of the incarnation.
    pub(super) fn on_closed(&mut self, cx: &mut Context<'_>) {
        if let Some(after) = self.after_the_end() {
            // The link is gone already: there is no ladder to walk.
            self.enter_closing(cx, after);
        }
        let State::Closing(closing) = std::mem::replace(&mut self.state, State::Stopped) else {
            return;
        };
        if !planted(Bug::TimerLeftArmed) {
            self.timers.disarm_incarnation();
        }
        self.request_due.clear();
        self.pid = None;
        let Closing {
            live,
            was_ready,
            killed: _,
            after,
        } = closing;
        let exit = live.as_ref().and_then(|live| live.exit);
        let loss = self.loss(&after, exit);
        if let Some(live) = live {
            let again = self.comes_again(cx.now, &after, &loss, was_ready);
            let own = matches!(after, After::Fail(_));
            self.lose(cx, live.session, &loss, again, own);
        }
        self.arrive(cx, after, Some((loss, was_ready)));
    }

    /// What comes after the incarnation. `ended` tells how it ended, where there was one.
    fn arrive(&mut self, cx: &mut Context<'_>, after: After, ended: Option<(Loss, bool)>) {
        cx.starts.give_back(self.id);
        self.stop_waiting(cx);
        self.timers.disarm(Timer::Backoff);
        self.timers.disarm(Timer::Revive);
        match after {
            After::Stop => {
                self.enter(cx, State::Stopped);
                self.refuse_parked(cx, None);
            }
            After::Sleep => self.rest_or_start(cx),
            After::Retire => {
                self.enter(cx, State::Stopped);
                self.refuse_parked(cx, None);
                cx.out.note(Note::Gone);
            }
            After::Restart => {
                if planted(Bug::GroupEchoes) {
                    cx.out.note(Note::Lapsed);
                }
                self.start(cx);
            }
            After::Respawn => self.open(cx, Opening::Respawn),
            After::Fail(cause) => {
                let (loss, was_ready) = match ended {
                    Some((loss, was_ready)) => (Some(loss), was_ready),
                    None => (None, false),
                };
                if !was_ready {
                    // The verdict may be why: the next start asks.
                    self.legacy_until = Time::ZERO;
                }
                let failure = self.failure(cause, loss.as_ref(), was_ready);
                self.judge(cx, failure, loss.filter(|_| was_ready).as_ref());
            }
        }
    }

    /// A server that failed starts again, now or later, or never.
    fn judge(&mut self, cx: &mut Context<'_>, failure: Failure, crash: Option<&Loss>) {
        let verdict = self
            .budget
            .judge(cx.now, &failure, self.restart, &self.limits, cx.rng);
        if let Verdict::After(pause) = verdict {
            self.timers.arm(Timer::Backoff, cx.now.after(pause));
            self.enter(cx, State::Backoff(failure));
            cx.out.note(Note::Lapsed);
            return;
        }
        if verdict == Verdict::Spent {
            self.timers
                .arm(Timer::Revive, cx.now.after(self.limits.revive));
        }
        self.enter(cx, State::Failed(failure));
        self.refuse_parked(cx, crash);
    }

    pub(super) fn failure(&self, cause: Cause, loss: Option<&Loss>, was_ready: bool) -> Failure {
        let exit = loss.and_then(|loss| loss.exit);
        let stderr_tail = loss
            .map(|loss| loss.stderr_tail.clone())
            .unwrap_or_default();
        match cause {
            Cause::Ended if was_ready => Failure::Crashed { exit, stderr_tail },
            Cause::Ended => Failure::EndedEarly { exit, stderr_tail },
            Cause::StartTimedOut => Failure::StartTimedOut {
                after: self.limits.start_timeout,
                probe: self.startup.problem().map(str::to_owned),
                stderr_tail,
            },
            Cause::Known(failure) => failure,
        }
    }
}

/// What was asked last counts, but nothing brings back a server that is being forgotten.
fn later(before: After, after: After) -> After {
    if before == After::Retire {
        before
    } else {
        after
    }
}
