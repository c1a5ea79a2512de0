//! Many lives, on as many threads as are given.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    fault::Fault,
    life::{Outcome, Witness, live},
    plan::{Plan, Strikes},
    violation::Violation,
};

/// What came of many lives.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Lives that were lived.
    pub seeds: u64,
    /// Turns of the machine in all of them.
    pub turns: u64,
    /// How often each fault struck in all of them.
    pub strikes: Vec<u64>,
    /// In how many lives each fault struck.
    pub lives: Vec<u64>,
    /// The seeds that broke a promise, the least first.
    pub violations: Vec<(u64, Violation)>,
}

impl Summary {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.turns += outcome.turns;
        self.strikes.resize(Fault::ALL.len(), 0);
        self.lives.resize(Fault::ALL.len(), 0);
        for (place, count) in outcome.strikes.iter().enumerate() {
            self.strikes[place] += count;
            self.lives[place] += u64::from(*count > 0);
        }
        self.violations
            .extend(outcome.violation.map(|violation| (seed, violation)));
    }

    fn join(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.turns += other.turns;
        self.strikes.resize(Fault::ALL.len(), 0);
        self.lives.resize(Fault::ALL.len(), 0);
        for (place, count) in other.strikes.iter().enumerate() {
            self.strikes[place] += count;
        }
        for (place, count) in other.lives.iter().enumerate() {
            self.lives[place] += count;
        }
        self.violations.extend(other.violations);
        self.violations.sort_by_key(|(seed, _)| *seed);
    }
}

/// Lives the lives of `seeds`, of `steps` turns each, on `jobs` threads. Stops soon after the
/// `stop_after`th violation.
pub fn live_many(
    seeds: std::ops::Range<u64>,
    steps: u64,
    jobs: usize,
    stop_after: usize,
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let enough = AtomicBool::new(false);
    let all = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let mut own = Summary::default();
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    own.add(
                        seed,
                        live_guarded(&Plan::new(seed, steps), Witness::default()),
                    );
                    if own.violations.len() >= stop_after {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
                all.lock().unwrap().join(own);
            });
        }
    });
    all.into_inner().unwrap()
}

/// Lives a life; a panic of the machine is a violation like any other.
pub fn live_guarded(plan: &Plan, witness: Witness) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| live(plan, witness))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let strikes: Strikes = [0; Fault::ALL.len()];
        Outcome {
            turns: 0,
            acts: plan.steps,
            strikes,
            violation: Some(Violation::new("no panic", text.unwrap_or_default())),
            journal: None,
        }
    })
}
