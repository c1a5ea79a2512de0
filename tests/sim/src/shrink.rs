//! A failing life made small: fewer turns, fewer faults, fewer acts, and the same promise broken.

use std::collections::BTreeSet;

use crate::{
    fault::Fault,
    life::{Outcome, Witness},
    plan::Plan,
    run::live_guarded,
};

/// Lives tried at the most.
const TRIES: u32 = 3000;

/// Makes a plan whose life breaks a promise as small as greed can. Returns it with its outcome;
/// the plan itself where its life breaks none.
pub fn shrink(plan: &Plan) -> (Plan, Outcome) {
    let outcome = live_guarded(plan, Witness::default());
    let Some(violation) = &outcome.violation else {
        return (plan.clone(), outcome);
    };
    let mut search = Search {
        promise: violation.promise,
        best: plan.clone(),
        outcome: outcome.clone(),
        tries: TRIES,
    };
    loop {
        let before = search.size();
        search.drop_steps();
        search.drop_faults();
        search.drop_acts();
        if search.size() == before || search.tries == 0 {
            return (search.best, search.outcome);
        }
    }
}

struct Search {
    promise: &'static str,
    best: Plan,
    outcome: Outcome,
    tries: u32,
}

impl Search {
    fn size(&self) -> (u64, usize, usize) {
        let kept = Fault::ALL.len() - self.best.without.len();
        let skipped = self.best.skip.len();
        (self.best.steps, kept, usize::MAX - skipped)
    }

    /// Takes the plan where its life breaks the same promise.
    fn take(&mut self, plan: Plan) -> bool {
        if self.tries == 0 {
            return false;
        }
        self.tries -= 1;
        let outcome = live_guarded(&plan, Witness::default());
        let same = outcome
            .violation
            .as_ref()
            .is_some_and(|violation| violation.promise == self.promise);
        if same {
            self.best = plan;
            self.outcome = outcome;
        }
        same
    }

    fn drop_steps(&mut self) {
        if let Some(violation) = &self.outcome.violation
            && violation.turns < self.best.steps
        {
            let steps = violation.turns;
            self.take(Plan {
                steps,
                ..self.best.clone()
            });
        }
        let mut cut = self.best.steps / 2;
        while cut > 0 {
            let steps = self.best.steps.saturating_sub(cut);
            let taken = self.take(Plan {
                steps,
                ..self.best.clone()
            });
            if !taken {
                cut /= 2;
            }
        }
    }

    fn drop_faults(&mut self) {
        for fault in Fault::ALL {
            let mut plan = self.best.clone();
            if plan.without.insert(fault) {
                self.take(plan);
            }
        }
    }

    /// Leaves out acts, first many at once, then one by one.
    fn drop_acts(&mut self) {
        let mut chunk = self.outcome.acts.max(1);
        while chunk > 0 {
            let mut first = 1;
            while first <= self.outcome.acts {
                let mut plan = self.best.clone();
                let acts: BTreeSet<u64> = (first..first + chunk).collect();
                let before = plan.skip.len();
                plan.skip.extend(acts);
                if plan.skip.len() > before {
                    self.take(plan);
                }
                first += chunk;
            }
            chunk /= 2;
        }
        // What lies beyond the last act was never lived.
        let acts = self.outcome.acts;
        self.best.skip.retain(|act| *act <= acts);
    }
}
