//! When a server must be spared calls, by counting for oneself.

use std::time::Duration;

use mcp_fleet_core::{BreakerState, CallError, CallId, RawJson, Time, config::ServerLimits};

/// The breaker of one server.
#[derive(Debug, Default)]
pub(super) struct BreakerBook {
    state: State,
    /// Sound calls and lost ones since it was last closed, with their times.
    heard: Vec<(u64, bool)>,
    window: Duration,
    period: u64,
    /// The incarnation whose end was counted last.
    buried: Option<u32>,
    /// What it must have told in this turn, in order.
    pub(super) expected: Vec<BreakerState>,
    /// It opened in this turn.
    pub(super) opened: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Time),
    HalfOpen(Option<CallId>),
}

/// What an outcome says of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lesson {
    Sound,
    Lost,
    Ended,
}

impl BreakerBook {
    pub(super) fn begin_turn(&mut self) {
        self.expected.clear();
        self.opened = false;
    }

    pub(super) fn refuses(&self, now: Time) -> bool {
        match self.state {
            State::Closed | State::HalfOpen(None) => false,
            State::Open(until) => now < until,
            State::HalfOpen(Some(_)) => true,
        }
    }

    /// Whether this new call may be sent, or wait to be.
    pub(super) fn lets_through(&self, call: CallId) -> bool {
        match self.state {
            State::Closed => true,
            State::Open(_) => false,
            State::HalfOpen(trial) => trial == Some(call),
        }
    }

    pub(super) const fn period(&self) -> u64 {
        self.period
    }

    /// A call was taken.
    pub(super) fn on_taken(&mut self, now: Time, call: CallId) {
        match self.state {
            State::Open(until) if until <= now => self.go(State::HalfOpen(Some(call))),
            State::HalfOpen(None) => self.go(State::HalfOpen(Some(call))),
            State::Closed | State::Open(_) | State::HalfOpen(Some(_)) => {}
        }
    }

    /// A call ended; `period` is that in which it was last sent, `incarnation` where to, and
    /// `waited` whether for an answer of the server.
    pub(super) fn on_ended(
        &mut self,
        now: Time,
        call: CallId,
        (period, incarnation, waited): (u64, Option<u32>, bool),
        outcome: &Result<RawJson, CallError>,
        limits: &ServerLimits,
    ) {
        self.learn(
            now,
            call,
            period,
            incarnation,
            lesson(outcome, waited),
            limits,
        );
    }

    /// A call was lost with its server, whether or not it is made again.
    pub(super) fn on_lost(
        &mut self,
        now: Time,
        call: CallId,
        (period, incarnation): (u64, Option<u32>),
        limits: &ServerLimits,
    ) {
        self.learn(now, call, period, incarnation, Some(Lesson::Ended), limits);
    }

    fn learn(
        &mut self,
        now: Time,
        call: CallId,
        period: u64,
        incarnation: Option<u32>,
        lesson: Option<Lesson>,
        limits: &ServerLimits,
    ) {
        if self.state == State::HalfOpen(Some(call)) {
            match lesson {
                Some(Lesson::Sound) => self.go(State::Closed),
                Some(Lesson::Lost | Lesson::Ended) => {
                    if lesson == Some(Lesson::Ended) {
                        self.buried = incarnation;
                    }
                    self.go(State::Open(now.after(limits.breaker_open)));
                }
                None => self.go(State::HalfOpen(None)),
            }
            return;
        }
        let Some(lesson) = lesson else { return };
        if self.state != State::Closed || period != self.period {
            return;
        }
        if lesson == Lesson::Ended {
            if self.buried == incarnation {
                return;
            }
            self.buried = incarnation;
        }
        if self.window != limits.breaker_window {
            // Only the last losses in a row are still of interest.
            self.window = limits.breaker_window;
            for (at, _) in &mut self.heard {
                *at = u64::MAX;
            }
        }
        let newest = self.heard.iter().rev().find(|(at, _)| *at < u64::MAX);
        let at = newest.map_or(0, |(at, _)| *at).max(now.as_nanos());
        self.heard.push((at, lesson != Lesson::Sound));
        if lesson != Lesson::Sound && (self.lost_in_a_row(limits) || self.lost_too_many(limits)) {
            self.go(State::Open(now.after(limits.breaker_open)));
        }
    }

    /// The server is ready after a start.
    pub(super) fn on_ready(&mut self) {
        if matches!(self.state, State::Open(_)) {
            self.go(State::HalfOpen(None));
        }
    }

    pub(super) fn reset(&mut self) {
        self.go(State::Closed);
    }

    fn lost_in_a_row(&self, limits: &ServerLimits) -> bool {
        let row = self
            .heard
            .iter()
            .rev()
            .take_while(|(_, lost)| *lost)
            .count();
        let bound = usize::try_from(limits.breaker_failures).unwrap_or(usize::MAX);
        bound > 0 && row >= bound
    }

    /// Outcomes are forgotten by tenths of the window.
    fn lost_too_many(&self, limits: &ServerLimits) -> bool {
        let tenth = u64::try_from(limits.breaker_window.as_nanos() / 10)
            .unwrap_or(u64::MAX)
            .max(1);
        let timed = || self.heard.iter().filter(|(at, _)| *at < u64::MAX);
        let newest = timed().map(|(at, _)| at / tenth).max().unwrap_or(0);
        let fresh: Vec<_> = timed().filter(|(at, _)| at / tenth + 10 > newest).collect();
        let lost = fresh.iter().filter(|(_, lost)| *lost).count() as u64;
        let calls = fresh.len() as u64;
        limits.breaker_percent > 0
            && calls >= u64::from(limits.breaker_calls)
            && lost * 100 >= calls * u64::from(limits.breaker_percent)
    }

    fn go(&mut self, state: State) {
        let before = word(self.state);
        self.state = state;
        self.heard.clear();
        self.period += 1;
        if before != word(state) {
            self.expected.push(word(state));
        }
        self.opened |= matches!(state, State::Open(_));
    }
}

const fn word(state: State) -> BreakerState {
    match state {
        State::Closed => BreakerState::Closed,
        State::Open(_) => BreakerState::Open,
        State::HalfOpen(_) => BreakerState::HalfOpen,
    }
}

fn lesson(outcome: &Result<RawJson, CallError>, waited: bool) -> Option<Lesson> {
    match outcome {
        Ok(_) => Some(Lesson::Sound),
        Err(CallError::Rpc(error)) if error.code != -32603 => Some(Lesson::Sound),
        Err(CallError::Rpc(_) | CallError::Protocol { .. }) => Some(Lesson::Lost),
        Err(CallError::TimedOut { .. }) if waited => Some(Lesson::Lost),
        Err(_) => None,
    }
}
