//! When a server that failed may start again.

use std::{collections::VecDeque, time::Duration};

use crate::{
    config::{Restart, ServerLimits},
    error::{Exit, Failure},
    planted::{Bug, planted},
    rng::Rng,
    time::Time,
};

/// Restarts so far: how many lately, and how many in a row.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// When restarts were granted, within the window.
    recent: VecDeque<Time>,
    /// Failures in a row, each of which doubles the pause.
    attempts: u32,
    ready_since: Option<Time>,
}

/// What becomes of a server that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It starts again after this pause.
    After(Duration),
    /// It has used up its restarts; one more try comes much later.
    Spent,
    /// Starting it again would not help, or is not wanted.
    Final,
}

impl Budget {
    /// The server takes calls from here on.
    pub(super) const fn on_ready(&mut self, now: Time) {
        self.ready_since = Some(now);
    }

    /// The operator wants a fresh start.
    pub(super) fn forgive(&mut self) {
        *self = Self::default();
    }

    /// Judges a failure, and counts the restart that it grants.
    pub(super) fn judge(
        &mut self,
        now: Time,
        failure: &Failure,
        policy: Restart,
        limits: &ServerLimits,
        rng: &mut Rng,
    ) -> Verdict {
        // A server that opens its session and dies at once was not stable.
        let since = self.ready_since.take();
        if since.is_some_and(|since| now.since(since) >= limits.stable) {
            self.attempts = 0;
        }
        if !helps(failure, policy) {
            return Verdict::Final;
        }
        if !self.grants(now, failure, policy, limits) {
            return Verdict::Spent;
        }
        while self
            .recent
            .front()
            .is_some_and(|at| now.since(*at) >= limits.restart_window)
        {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let doubled = limits.backoff.saturating_mul(1 << self.attempts.min(20));
        self.attempts = self.attempts.saturating_add(1);
        Verdict::After(rng.up_to(doubled.min(limits.backoff_max)))
    }

    /// Whether [`Budget::judge`] would let the server start again after a pause.
    pub(super) fn grants(
        &self,
        now: Time,
        failure: &Failure,
        policy: Restart,
        limits: &ServerLimits,
    ) -> bool {
        let past = |at: &&Time| now.since(**at) >= limits.restart_window;
        let recent = self.recent.iter().skip_while(past).count();
        let extra = usize::from(planted(Bug::BudgetOffByOne));
        helps(failure, policy) && recent < limits.restarts + extra
    }
}

/// Whether another start could end otherwise, and is wanted.
fn helps(failure: &Failure, policy: Restart) -> bool {
    let curable = match failure {
        Failure::CannotStart { transient, .. } => *transient,
        Failure::Incompatible { .. } => false,
        Failure::EndedEarly { .. }
        | Failure::StartTimedOut { .. }
        | Failure::Handshake { .. }
        | Failure::Crashed { .. }
        | Failure::Unresponsive { .. }
        | Failure::Protocol { .. } => true,
    };
    let orderly = match failure {
        Failure::EndedEarly { exit, .. } | Failure::Crashed { exit, .. } => {
            *exit == Some(Exit::Code(0))
        }
        Failure::CannotStart { .. }
        | Failure::Incompatible { .. }
        | Failure::StartTimedOut { .. }
        | Failure::Handshake { .. }
        | Failure::Unresponsive { .. }
        | Failure::Protocol { .. } => false,
    };
    curable
        && match policy {
            Restart::Always => true,
            Restart::OnFailure => !orderly,
            Restart::Never => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(code: i32) -> Failure {
        Failure::Crashed {
            exit: Some(Exit::Code(code)),
            stderr_tail: String::new(),
        }
    }

    fn judge(budget: &mut Budget, millis: u64, failure: &Failure, policy: Restart) -> Verdict {
        let limits = ServerLimits::default();
        budget.judge(
            Time::from_millis(millis),
            failure,
            policy,
            &limits,
            &mut Rng::new(millis),
        )
    }

    #[test]
    fn pauses_grow_and_never_exceed_their_cap() {
        let limits = ServerLimits {
            restarts: 100,
            ..ServerLimits::default()
        };
        let mut rng = Rng::new(3);
        for round in 0..200 {
            let mut budget = Budget::default();
            for attempt in 0..40 {
                let now = Time::from_millis(round);
                let verdict = budget.judge(now, &crash(1), Restart::Always, &limits, &mut rng);
                let Verdict::After(pause) = verdict else {
                    panic!("{verdict:?}")
                };
                let cap = limits.backoff.saturating_mul(1 << attempt.min(20));
                assert!(pause <= cap.min(limits.backoff_max));
            }
        }
    }

    #[test]
    fn restarts_in_a_window_are_limited_and_the_window_moves_on() {
        let mut budget = Budget::default();
        for _ in 0..5 {
            let verdict = judge(&mut budget, 0, &crash(1), Restart::Always);
            assert!(matches!(verdict, Verdict::After(_)));
        }
        assert_eq!(
            judge(&mut budget, 59_999, &crash(1), Restart::Always),
            Verdict::Spent
        );
        let later = judge(&mut budget, 60_000, &crash(1), Restart::Always);
        assert!(matches!(later, Verdict::After(_)));
    }

    #[test]
    fn only_a_stable_time_forgives_failures() {
        let mut budget = Budget::default();
        for attempt in 1..=3 {
            budget.on_ready(Time::from_millis(attempt));
            judge(&mut budget, attempt + 1, &crash(1), Restart::Always);
            assert_eq!(
                u64::from(budget.attempts),
                attempt,
                "a short life forgives nothing"
            );
        }
        budget.on_ready(Time::from_millis(100_000));
        judge(&mut budget, 160_000, &crash(1), Restart::Always);
        assert_eq!(budget.attempts, 1);
    }

    #[test]
    fn what_another_start_cannot_cure_is_final() {
        let wrong = Failure::CannotStart {
            message: "no such program".into(),
            transient: false,
        };
        let scarce = Failure::CannotStart {
            message: "out of processes".into(),
            transient: true,
        };
        let mut budget = Budget::default();
        assert_eq!(
            judge(&mut budget, 0, &wrong, Restart::Always),
            Verdict::Final
        );
        assert!(matches!(
            judge(&mut budget, 0, &scarce, Restart::Always),
            Verdict::After(_)
        ));
        let alien = Failure::Incompatible { offered: vec![] };
        assert_eq!(
            judge(&mut budget, 0, &alien, Restart::Always),
            Verdict::Final
        );
    }

    #[test]
    fn policies_differ_in_what_they_take_for_a_failure() {
        for (policy, code, again) in [
            (Restart::Always, 0, true),
            (Restart::Always, 1, true),
            (Restart::OnFailure, 0, false),
            (Restart::OnFailure, 1, true),
            (Restart::Never, 1, false),
        ] {
            let verdict = judge(&mut Budget::default(), 0, &crash(code), policy);
            assert_eq!(
                matches!(verdict, Verdict::After(_)),
                again,
                "{policy:?} {code}"
            );
        }
    }
}
