//! Whether a server is spared calls for a while, because too many were lost lately.
//!
//! A call is *lost* when the server took it and nothing sound came of it: its deadline passed, its
//! answer broke the protocol or was an internal error, or the server ended by itself. Calls lost in
//! the end of one incarnation are one loss, for they have one cause, which the restart budget looks
//! after. Any other answer is a sign of health, an error of a tool too; what never reached the
//! server, or was taken back, says nothing.
//!
//! An outcome counts for the period in which its call was sent, so that calls sent before the
//! breaker opened cannot open it again after one of them has closed it.

use std::time::Duration;

use crate::{
    config::ServerLimits,
    error::{CallError, Sent},
    event::BreakerState,
    ids::CallId,
    planted::{Bug, planted},
    time::Time,
};

/// Slices of a window. An outcome is forgotten with its slice.
const SLICES: u64 = 10;
/// Least time that a caller is told to wait while another call tries.
const RETRY_MIN: Duration = Duration::from_millis(10);
const INTERNAL_ERROR: i64 = -32603;

/// The breaker of one server.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    mode: Mode,
    /// Calls lost since the last that was not.
    in_a_row: u32,
    window: Window,
    period: u64,
    /// The incarnation whose end was counted last.
    buried: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Mode {
    #[default]
    Closed,
    Open {
        until: Time,
    },
    HalfOpen(Option<Trial>),
}

/// The one call that tries again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Trial {
    call: CallId,
    due: Time,
}

/// What the outcome of a call tells of its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lesson {
    /// It answers.
    Sound,
    /// It lost the call.
    Lost,
    /// It ended, this incarnation of it.
    Ended(u32),
    /// Nothing.
    None,
}

impl Lesson {
    /// What the outcome of a call tells. Of the end of the server, and of whether that was its own
    /// doing, it hears apart from its calls.
    pub(super) const fn of(failure: Option<&CallError>) -> Self {
        match failure {
            None => Self::Sound,
            Some(CallError::Rpc(error)) if error.code == INTERNAL_ERROR => Self::Lost,
            Some(CallError::Rpc(_)) => Self::Sound,
            Some(
                CallError::Protocol { .. }
                | CallError::TimedOut {
                    sent: Sent::Unknown,
                    ..
                },
            ) => Self::Lost,
            Some(
                CallError::TimedOut { sent: Sent::No, .. }
                | CallError::ServerGone { .. }
                | CallError::NotFound { .. }
                | CallError::Overloaded { .. }
                | CallError::BreakerOpen { .. }
                | CallError::Unavailable { .. }
                | CallError::Cancelled { .. }
                | CallError::InputRefused { .. }
                | CallError::InvalidRequest { .. }
                | CallError::ShuttingDown,
            ) => Self::None,
        }
    }
}

impl Breaker {
    /// How long a new call is to wait; `None` where it is taken.
    pub(super) fn refuses(&self, now: Time, limits: &ServerLimits) -> Option<Duration> {
        match self.mode {
            Mode::Closed | Mode::HalfOpen(None) => None,
            Mode::Open { until } => (now < until).then(|| until.since(now)),
            Mode::HalfOpen(Some(_)) if planted(Bug::TwoTrials) => None,
            Mode::HalfOpen(Some(trial)) => {
                let verdict = trial.due.since(now).min(limits.breaker_open);
                Some(verdict.max(RETRY_MIN))
            }
        }
    }

    /// Whether the server is spared this call, which was never sent or is to be made again.
    pub(super) fn spares(&self, call: CallId) -> bool {
        match self.mode {
            Mode::Closed => false,
            Mode::Open { .. } | Mode::HalfOpen(None) => true,
            Mode::HalfOpen(Some(trial)) => trial.call != call,
        }
    }

    /// A call was taken that is due then: it is the one that tries, where one is to try. The answer
    /// is whether the state changed.
    pub(super) fn admit(&mut self, now: Time, call: CallId, due: Time) -> bool {
        let trial = Mode::HalfOpen(Some(Trial { call, due }));
        match self.mode {
            Mode::Open { until } if until <= now => self.turn(trial),
            Mode::HalfOpen(None) => self.turn(trial),
            Mode::Closed | Mode::Open { .. } | Mode::HalfOpen(Some(_)) => false,
        }
    }

    /// A call ended that was sent in `period`. The answer is whether the state changed.
    pub(super) fn learn(
        &mut self,
        now: Time,
        call: CallId,
        period: u64,
        lesson: Lesson,
        limits: &ServerLimits,
    ) -> bool {
        match self.mode {
            Mode::HalfOpen(Some(trial)) if trial.call == call => match lesson {
                Lesson::Sound if planted(Bug::BreakerStuck) => self.turn(Mode::HalfOpen(None)),
                Lesson::Sound => self.turn(Mode::Closed),
                Lesson::Lost => self.open(now, limits),
                Lesson::Ended(incarnation) => {
                    self.buried = incarnation;
                    self.open(now, limits)
                }
                Lesson::None => self.turn(Mode::HalfOpen(None)),
            },
            Mode::Closed if period == self.period => self.count(now, lesson, limits),
            Mode::Closed | Mode::Open { .. } | Mode::HalfOpen(_) => false,
        }
    }

    /// A new incarnation is ready: it need not wait for its trial until the time of the one before
    /// is over. The answer is whether the state changed.
    pub(super) fn on_ready(&mut self) -> bool {
        match self.mode {
            Mode::Open { .. } => self.turn(Mode::HalfOpen(None)),
            Mode::Closed | Mode::HalfOpen(_) => false,
        }
    }

    /// Begins afresh. The answer is whether the state changed.
    pub(super) fn reset(&mut self) -> bool {
        self.turn(Mode::Closed)
    }

    /// The period that calls sent from here on belong to.
    pub(super) const fn period(&self) -> u64 {
        self.period
    }

    pub(super) const fn state(&self) -> BreakerState {
        match self.mode {
            Mode::Closed => BreakerState::Closed,
            Mode::Open { .. } => BreakerState::Open,
            Mode::HalfOpen(_) => BreakerState::HalfOpen,
        }
    }

    fn count(&mut self, now: Time, lesson: Lesson, limits: &ServerLimits) -> bool {
        match lesson {
            Lesson::None => return false,
            Lesson::Ended(incarnation) if incarnation == self.buried => return false,
            Lesson::Sound => {
                self.in_a_row = 0;
                self.window.add(now, limits.breaker_window, false);
                return false;
            }
            Lesson::Ended(incarnation) => self.buried = incarnation,
            Lesson::Lost => {}
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.window.add(now, limits.breaker_window, true);
        let in_a_row = limits.breaker_failures > 0 && self.in_a_row >= limits.breaker_failures;
        let rate = limits.breaker_percent > 0 && self.window.is_over(limits);
        (in_a_row || rate) && self.open(now, limits)
    }

    fn open(&mut self, now: Time, limits: &ServerLimits) -> bool {
        let until = now.after(limits.breaker_open);
        self.turn(Mode::Open { until })
    }

    fn turn(&mut self, mode: Mode) -> bool {
        let before = self.state();
        self.mode = mode;
        self.in_a_row = 0;
        self.window = Window::default();
        self.period += 1;
        before != self.state()
    }
}

/// What became of calls lately: a few counts, whatever the number of calls.
#[derive(Debug, Default)]
struct Window {
    /// Length of a slice in nanoseconds; the slices are void where it changes.
    length: u64,
    newest: u64,
    slices: [Slice; 10],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    calls: u64,
    lost: u64,
}

impl Window {
    fn add(&mut self, now: Time, window: Duration, lost: bool) {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let length = (nanos / SLICES).max(1);
        if self.length != length {
            *self = Self {
                length,
                ..Self::default()
            };
        }
        // Time may go back a little.
        self.newest = self.newest.max(now.as_nanos() / length);
        let place = usize::try_from(self.newest % SLICES).unwrap_or_default();
        let Some(slice) = self.slices.get_mut(place) else {
            return;
        };
        if slice.number != self.newest {
            *slice = Slice {
                number: self.newest,
                ..Slice::default()
            };
        }
        slice.calls += 1;
        slice.lost += u64::from(lost);
    }

    fn is_over(&self, limits: &ServerLimits) -> bool {
        let fresh = |slice: &&Slice| self.newest - slice.number < SLICES;
        let (calls, lost) = self
            .slices
            .iter()
            .filter(fresh)
            .fold((0, 0), |(calls, lost), slice| {
                (calls + slice.calls, lost + slice.lost)
            });
        calls >= u64::from(limits.breaker_calls)
            && lost * 100 >= calls * u64::from(limits.breaker_percent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::RpcError;

    fn limits(failures: u32, percent: u32) -> ServerLimits {
        ServerLimits {
            breaker_failures: failures,
            breaker_percent: percent,
            breaker_calls: 4,
            breaker_window: Duration::from_millis(1000),
            breaker_open: Duration::from_millis(100),
            ..ServerLimits::default()
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn learn(breaker: &mut Breaker, millis: u64, lesson: Lesson, limits: &ServerLimits) {
        let period = breaker.period();
        breaker.learn(at(millis), CallId(0), period, lesson, limits);
    }

    fn opened(limits: &ServerLimits) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..limits.breaker_failures {
            learn(&mut breaker, 0, Lesson::Lost, limits);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[test]
    fn losses_in_a_row_open_it_and_a_sound_call_between_them_does_not_count_on() {
        let limits = limits(3, 0);
        let mut breaker = Breaker::default();
        for lesson in [Lesson::Lost, Lesson::Lost, Lesson::Sound, Lesson::Lost] {
            learn(&mut breaker, 0, lesson, &limits);
        }
        learn(&mut breaker, 0, Lesson::None, &limits);
        learn(&mut breaker, 0, Lesson::Lost, &limits);
        assert_eq!(breaker.state(), BreakerState::Closed);
        learn(&mut breaker, 0, Lesson::Lost, &limits);
        assert_eq!(
            breaker.refuses(at(40), &limits),
            Some(Duration::from_millis(60))
        );
        assert_eq!(breaker.refuses(at(100), &limits), None);
    }

    #[test]
    fn a_rate_counts_only_with_enough_calls_within_the_window() {
        let limits = limits(0, 50);
        let mut breaker = Breaker::default();
        for millis in [0, 10, 20] {
            learn(&mut breaker, millis, Lesson::Lost, &limits);
        }
        learn(&mut breaker, 1100, Lesson::Lost, &limits);
        assert_eq!(breaker.state(), BreakerState::Closed, "the window moved on");
        for lesson in [Lesson::Sound, Lesson::Sound, Lesson::Sound, Lesson::Lost] {
            learn(&mut breaker, 1200, lesson, &limits);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "two of five");
        learn(&mut breaker, 1300, Lesson::Lost, &limits);
        assert_eq!(breaker.state(), BreakerState::Open, "three of six");
    }

    #[test]
    fn both_modes_can_be_off() {
        let limits = limits(0, 0);
        let mut breaker = Breaker::default();
        for millis in 0..1000 {
            learn(&mut breaker, millis, Lesson::Lost, &limits);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn exactly_one_call_tries_and_decides() {
        let limits = limits(2, 0);
        for (lesson, state) in [
            (Lesson::Sound, BreakerState::Closed),
            (Lesson::Lost, BreakerState::Open),
            (Lesson::Ended(3), BreakerState::Open),
            (Lesson::None, BreakerState::HalfOpen),
        ] {
            let mut breaker = opened(&limits);
            assert!(!breaker.admit(at(50), CallId(1), at(900)), "too early");
            assert!(breaker.admit(at(100), CallId(2), at(900)));
            assert!(breaker.refuses(at(100), &limits).is_some());
            assert!(!breaker.admit(at(100), CallId(3), at(900)));
            let period = breaker.period();
            assert!(!breaker.learn(at(110), CallId(3), period, lesson, &limits));
            breaker.learn(at(120), CallId(2), period, lesson, &limits);
            assert_eq!(breaker.state(), state, "{lesson:?}");
            let refused = breaker.refuses(at(120), &limits).is_some();
            assert_eq!(refused, state == BreakerState::Open, "{lesson:?}");
        }
    }

    #[test]
    fn calls_of_an_earlier_period_do_not_open_it_again() {
        let limits = limits(2, 0);
        let mut breaker = opened(&limits);
        breaker.admit(at(100), CallId(1), at(900));
        breaker.learn(at(110), CallId(1), 0, Lesson::Sound, &limits);
        for _ in 0..10 {
            breaker.learn(at(120), CallId(7), 0, Lesson::Lost, &limits);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn the_end_of_an_incarnation_is_one_loss() {
        let limits = limits(2, 0);
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            learn(&mut breaker, 0, Lesson::Ended(1), &limits);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        learn(&mut breaker, 0, Lesson::Ended(2), &limits);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.on_ready());
        assert_eq!(breaker.refuses(at(1), &limits), None, "news of the server");
    }

    #[test]
    fn only_what_the_server_did_counts() {
        let rpc = |code| {
            CallError::Rpc(RpcError {
                code,
                message: String::new(),
                data: None,
            })
        };
        let after = Duration::ZERO;
        for (error, lesson) in [
            (rpc(-32603), Lesson::Lost),
            (rpc(-32602), Lesson::Sound),
            (
                CallError::TimedOut {
                    after,
                    sent: Sent::Unknown,
                },
                Lesson::Lost,
            ),
            (
                CallError::TimedOut {
                    after,
                    sent: Sent::No,
                },
                Lesson::None,
            ),
            (
                CallError::Cancelled {
                    sent: Sent::Unknown,
                },
                Lesson::None,
            ),
            (CallError::ShuttingDown, Lesson::None),
        ] {
            assert_eq!(Lesson::of(Some(&error)), lesson, "{error:?}");
        }
        assert_eq!(Lesson::of(None), Lesson::Sound);
    }

    /// Something that happens to a breaker, and how much later.
    #[derive(Clone, Debug)]
    enum Happening {
        Call,
        End(u8, u8),
        Ready,
    }

    fn happenings() -> impl Strategy<Value = Vec<(u64, Happening)>> {
        let one = prop_oneof![
            Just(Happening::Call),
            (0..8_u8, 0..4_u8).prop_map(|(call, lesson)| Happening::End(call, lesson)),
            Just(Happening::Ready),
        ];
        proptest::collection::vec((0..60_u64, one), 0..200)
    }

    proptest! {
        #[test]
        fn while_it_is_not_closed_at_most_one_new_call_is_under_way(
            happenings in happenings(), failures in 0..4_u32, percent in 0..100_u32,
        ) {
            let limits = limits(failures, percent);
            let mut breaker = Breaker::default();
            let (mut now, mut next) = (0, 0);
            // Calls under way: id, the period they were sent in, whether it was closed then.
            let mut open: Vec<(u64, u64, bool)> = Vec::new();
            for (pause, happening) in happenings {
                now += pause;
                let refused = breaker.refuses(at(now), &limits).is_some();
                match happening {
                    Happening::Call if refused => {
                        prop_assert!(breaker.state() != BreakerState::Closed);
                    }
                    Happening::Call => {
                        next += 1;
                        breaker.admit(at(now), CallId(next), at(now + 500));
                        let closed = breaker.state() == BreakerState::Closed;
                        open.push((next, breaker.period(), closed));
                    }
                    Happening::End(place, lesson) if !open.is_empty() => {
                        let place = usize::from(place) % open.len();
                        let (call, period, _) = open.remove(place);
                        let lesson = match lesson {
                            0 => Lesson::Sound,
                            1 => Lesson::Lost,
                            2 => Lesson::Ended(u32::try_from(now / 300).unwrap()),
                            _ => Lesson::None,
                        };
                        breaker.learn(at(now), CallId(call), period, lesson, &limits);
                    }
                    Happening::End(..) => {}
                    Happening::Ready => {
                        breaker.on_ready();
                    }
                }
                let trials = open.iter().filter(|(_, _, closed)| !closed).count();
                prop_assert!(trials <= 1, "{open:?}");
                if failures == 0 && percent == 0 {
                    prop_assert_eq!(breaker.state(), BreakerState::Closed);
                }
            }
            // A sound call always closes it, once it is let through.
            now += 100;
            open.clear();
            if let Mode::HalfOpen(Some(trial)) = breaker.mode {
                breaker.learn(at(now), trial.call, 0, Lesson::None, &limits);
            }
            breaker.admit(at(now), CallId(next + 1), at(now + 500));
            let period = breaker.period();
            breaker.learn(at(now), CallId(next + 1), period, Lesson::Sound, &limits);
            prop_assert_eq!(breaker.state(), BreakerState::Closed);
        }
    }
}
