//! From start to readiness of an incarnation, and what its signals and deadlines mean.

use std::time::Duration;

use super::{
    Context, Server,
    startup::Startup,
    state::{After, Cause, Closing, Live, Opening, Rotation, State},
    timers::Timer,
    waiting::Wait,
};
use crate::{
    config::{Kind, Probe},
    effect::Effect,
    error::Failure,
    event::CatalogKind,
    input::Signal,
    link::Link,
    planted::{Bug, planted},
    session::Session,
    time::Time,
    wire::Era,
};

/// How long a server is taken to be legacy after it proved to be. A server that was upgraded still
/// answers the old handshake, so the verdict would otherwise stand for ever.
const LEGACY_VERDICT: Duration = Duration::from_secs(600);
/// Least pause before a server that does not read is asked again for its subscription.
const LISTEN_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Starts a server that is at rest; leaves one that runs alone.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>) {
        if self.is_at_rest() {
            let opening = self.usual_opening(cx.now);
            self.open(cx, opening);
        }
    }

    /// How a session begins where nothing is known of the incarnation before.
    pub(super) fn usual_opening(&self, now: Time) -> Opening {
        if now < self.legacy_until {
            Opening::Remembered
        } else {
            Opening::Probe
        }
    }

    /// Stops the incarnation there is, after its calls, and begins the next.
    /// What it failed of before is forgiven.
    pub(crate) fn begin_anew(&mut self, cx: &mut Context<'_>) {
        self.budget.forgive();
        // What comes is wanted: it is judged afresh, and not by what is lost on the way.
        self.reset_breaker(cx);
        self.leave(cx, After::Restart, None);
    }

    /// Begins the next incarnation because a companion failed, where one runs that is not on its
    /// way out. What it failed of itself is neither forgiven nor added to.
    pub(crate) fn begin_anew_in_company(&mut self, cx: &mut Context<'_>) {
        match &self.state {
            State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_) => {
                self.leave(cx, After::Restart, None);
            }
            State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Draining(..)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_) => {}
        }
    }

    /// Stops the server after its calls, for `grace` at most.
    pub(crate) fn stop(&mut self, cx: &mut Context<'_>, grace: Option<Duration>) {
        self.leave(cx, After::Stop, grace);
    }

    /// Stops the server after its calls, for `grace` at most; [`crate::link::Note::Gone`] tells
    /// when nothing is left.
    pub(crate) fn retire(&mut self, cx: &mut Context<'_>, grace: Option<Duration>) {
        self.leave(cx, After::Retire, grace);
    }

    /// Lets a server that was never started wait, with the calls it gets, until it is started.
    pub(crate) fn hold(&mut self, cx: &mut Context<'_>) {
        if let State::Stopped = self.state {
            self.enter(cx, State::Waiting(Wait::for_turn(Opening::Probe)));
        }
    }

    /// Takes a signal of the current incarnation. `false` where none is expected.
    pub(crate) fn on_signal(&mut self, cx: &mut Context<'_>, signal: Signal) -> bool {
        if !self.state.has_link() {
            return false;
        }
        match signal {
            Signal::Opened { link: _, pid } => self.on_opened(cx, pid),
            Signal::OpenFailed {
                link: _,
                message,
                transient,
            } => {
                self.on_open_failed(cx, message, transient);
            }
            Signal::Bytes { link: _, bytes } => {
                self.on_heard(cx.now);
                if let Some(live) = self.state.live_mut() {
                    live.session.on_bytes(bytes, cx.out);
                }
            }
            Signal::Eof { link: _ } => {
                if let Some(live) = self.state.live_mut() {
                    live.eof = true;
                    live.session.on_eof(cx.out);
                }
                self.on_ended(cx);
            }
            Signal::Wrote { link: _, bytes } => {
                if let Some(live) = self.state.live_mut() {
                    live.session.link.on_wrote(bytes);
                }
            }
            Signal::WriteFailed {
                link: _,
                message: _,
            } => self.on_ended(cx),
            Signal::Stderr {
                link: _,
                bytes,
                dropped: _,
            } => self.log.push(&bytes),
            Signal::Exited { link: _, exit } => {
                if let Some(live) = self.state.live_mut() {
                    live.exit = Some(exit);
                }
                self.on_ended(cx);
            }
            Signal::Closed { link: _ } => self.on_closed(cx),
        }
        self.settle(cx);
        true
    }

    pub(super) fn on_timer(&mut self, cx: &mut Context<'_>, timer: Timer) {
        let link = self.link();
        match timer {
            Timer::Start => self.on_start_due(cx),
            Timer::Probe => {
                if let Some(live) = self.state.live_mut() {
                    live.session.on_probe_timeout(cx.out);
                }
            }
            Timer::Drain => {
                if let State::Draining(_, after) = &self.state {
                    let after = after.clone();
                    self.begin_close(cx, after);
                }
            }
            Timer::CloseInput => {
                cx.out.effect(Effect::Terminate { link });
                self.timers
                    .arm(Timer::Terminate, cx.now.after(self.limits.terminate_wait));
            }
            Timer::Terminate | Timer::ExitWait => self.kill(cx),
            Timer::KillWait => self.abandon(cx),
            Timer::Listen => self.listen_again(cx),
            Timer::Health => self.on_liveness_due(cx),
            Timer::Startup => self.on_startup_due(cx),
            Timer::Readiness => self.on_readiness_due(cx),
            Timer::Page => self.on_page_due(cx.now),
            Timer::Backoff | Timer::Revive => self.rest_or_start(cx),
            Timer::Idle => self.on_idle_due(cx),
            Timer::Dependency => self.give_up_dependency(cx),
            // Not single timers: they are dealt with where they are taken.
            Timer::Refresh
            | Timer::Call
            | Timer::Request
            | Timer::Round
            | Timer::Input
            | Timer::Turn => {}
        }
    }

    /// Follows the session from probe to handshake, and to what comes when it is open.
    pub(super) fn sync_stage(&mut self, cx: &mut Context<'_>) {
        let (probing, open) = match &self.state {
            State::Probing(live) | State::Handshaking(live) => {
                (live.session.is_probing(), live.session.era())
            }
            State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Starting(_)
            | State::Warming(_)
            | State::Ready(_)
            | State::Draining(..)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_) => return,
        };
        let next = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Probing(live) | State::Handshaking(live) if open.is_some() => {
                State::Warming(live)
            }
            State::Probing(live) if !probing => State::Handshaking(live),
            State::Handshaking(live) if probing => State::Probing(live),
            same @ (State::Stopped
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
            | State::Failed(_)) => {
                self.state = same;
                return;
            }
        };
        if matches!(next, State::Probing(_)) {
            self.timers
                .arm(Timer::Probe, cx.now.after(self.limits.probe_timeout));
        } else {
            self.timers.disarm(Timer::Probe);
        }
        if open.is_none() {
            self.enter(cx, next);
        } else if self.probes.startup == Probe::None || planted(Bug::StartupSkipped) {
            self.state = next;
            self.become_ready(cx);
        } else {
            self.enter(cx, next);
            self.begin_startup(cx);
        }
    }

    /// The session is open, and the server has started up.
    pub(super) fn become_ready(&mut self, cx: &mut Context<'_>) {
        match std::mem::replace(&mut self.state, State::Stopped) {
            State::Warming(live) => self.enter(cx, State::Ready(live)),
            same @ (State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Ready(_)
            | State::Draining(..)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_)) => {
                self.state = same;
                return;
            }
        }
        cx.starts.give_back(self.id);
        self.timers.disarm(Timer::Start);
        self.timers.disarm(Timer::Startup);
        self.on_ready(cx.now);
        if self.breaker.on_ready() {
            self.tell_breaker(cx);
        }
    }

    fn on_ready(&mut self, now: Time) {
        self.budget.on_ready(now);
        self.subscriptions.clear();
        self.begin_liveness(now);
        self.on_less_busy(now);
        self.arm_idle(now);
        self.begin_readiness(now);
        let State::Ready(live) = &self.state else {
            return;
        };
        let Some(agreement) = live.session.agreement() else {
            return;
        };
        let legacy = agreement.revision.era() == Era::Legacy;
        if !legacy {
            self.legacy_until = Time::ZERO;
        } else if live.opening != Opening::Remembered {
            self.legacy_until = now.after(LEGACY_VERDICT);
        }
        self.catalog.begin(agreement.capabilities);
    }

    /// Begins the next incarnation when those are ready that it comes after, and it is its turn.
    pub(super) fn open(&mut self, cx: &mut Context<'_>, opening: Opening) {
        self.timers.disarm(Timer::Backoff);
        self.timers.disarm(Timer::Revive);
        if self.must_wait(cx, opening) {
            return;
        }
        if cx.starts.take(self.id) {
            self.launch(cx, opening);
        } else {
            self.enter(cx, State::Waiting(Wait::for_turn(opening)));
        }
    }

    /// It is this server's turn.
    pub(crate) fn take_turn(&mut self, cx: &mut Context<'_>) {
        let State::Waiting(wait) = &self.state else {
            return cx.starts.give_back(self.id);
        };
        let opening = wait.opening;
        if self.must_wait(cx, opening) {
            cx.starts.give_back(self.id);
            self.settle(cx);
        } else {
            self.launch(cx, opening);
        }
    }

    fn launch(&mut self, cx: &mut Context<'_>, opening: Opening) {
        self.incarnation += 1;
        self.pid = None;
        self.violations_told = 0;
        self.startup = Startup::default();
        self.log.clear();
        self.meter.counts.starts += 1;
        self.start_due = cx.now.after(self.limits.start_timeout);
        self.timers.arm(Timer::Start, self.start_due);
        cx.out.effect(Effect::Open {
            link: self.link(),
            server: self.name.clone(),
            replica: self.replica,
            kind: self.kind.clone(),
        });
        self.enter(cx, State::Starting(opening));
    }

    /// Asks for the subscription again. What changed between the two was not told.
    fn listen_again(&mut self, cx: &mut Context<'_>) {
        let ready = self.is_ready();
        let (State::Warming(live) | State::Ready(live)) = &mut self.state else {
            return;
        };
        if !live.session.link.has_credit() {
            self.timers.arm(
                Timer::Listen,
                cx.now.after(self.limits.refresh_interval.max(LISTEN_PAUSE)),
            );
            return;
        }
        live.session.listen(cx.out);
        for kind in CatalogKind::VALUES.into_iter().filter(|_| ready) {
            self.catalog.on_changed(cx.now, kind, &self.limits);
        }
    }

    fn on_opened(&mut self, cx: &mut Context<'_>, pid: Option<u32>) {
        self.pid = pid;
        let opening = match &self.state {
            State::Starting(opening) => *opening,
            State::Closing(_) => return self.kill(cx),
            State::Stopped
            | State::Asleep
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_)
            | State::Waiting(_)
            | State::Draining(..)
            | State::Backoff(_)
            | State::Failed(_) => return,
        };
        let link = Link::new(self.link(), &self.limits);
        let mut session = Session::new(link, self.offer.clone(), &self.limits);
        match opening {
            Opening::Probe => session.probe(cx.out),
            Opening::Respawn | Opening::Remembered => session.initialize(cx.out),
        }
        let live = Live {
            session,
            opening,
            exit: None,
            eof: false,
            rotation: Rotation::In,
        };
        let state = match opening {
            Opening::Probe => {
                self.timers
                    .arm(Timer::Probe, cx.now.after(self.limits.probe_timeout));
                State::Probing(live)
            }
            Opening::Respawn | Opening::Remembered => State::Handshaking(live),
        };
        self.enter(cx, state);
    }

    fn on_open_failed(&mut self, cx: &mut Context<'_>, message: String, transient: bool) {
        let cause = Cause::Known(Failure::CannotStart { message, transient });
        match &mut self.state {
            State::Starting(_) => {
                self.state = State::Closing(Closing {
                    live: None,
                    was_ready: false,
                    killed: true,
                    after: After::Fail(cause),
                });
            }
            State::Closing(closing) => {
                if matches!(closing.after, After::Fail(_)) {
                    closing.after = After::Fail(cause);
                }
            }
            // It did open: whatever the driver means, the link is no more.
            State::Stopped
            | State::Asleep
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_)
            | State::Waiting(_)
            | State::Draining(..)
            | State::Backoff(_)
            | State::Failed(_) => {}
        }
        self.on_closed(cx);
    }

    /// The session cannot go on. A server that was on its way out still goes where it was going.
    pub(super) fn on_session_failed(&mut self, cx: &mut Context<'_>, failure: Failure) {
        let after = match &self.state {
            State::Draining(_, after) => after.clone(),
            State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_) => {
                self.meter.counts.crashes += 1;
                After::Fail(Cause::Known(failure))
            }
            State::Closing(_)
            | State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Backoff(_)
            | State::Failed(_) => return,
        };
        self.begin_close(cx, after);
    }

    /// The process, its output or its input ended: in order on the ladder, a crash before it.
    fn on_ended(&mut self, cx: &mut Context<'_>) {
        match self.after_the_end() {
            Some(after) => self.begin_close(cx, after),
            None => self.climb(cx),
        }
    }

    /// What follows an end that came by itself; `None` where the incarnation was being closed.
    pub(super) fn after_the_end(&mut self) -> Option<After> {
        let after = match &self.state {
            State::Probing(live) | State::Handshaking(live)
                if live.opening == Opening::Probe && *self.kind != Kind::Attached =>
            {
                After::Respawn
            }
            State::Probing(_)
            | State::Handshaking(_)
            | State::Starting(_)
            | State::Warming(_)
            | State::Ready(_) => {
                self.meter.counts.crashes += 1;
                After::Fail(Cause::Ended)
            }
            State::Draining(_, after) => after.clone(),
            State::Closing(_)
            | State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Backoff(_)
            | State::Failed(_) => return None,
        };
        Some(after)
    }
}
