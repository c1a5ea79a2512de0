//! What one life is made of: a seed, and what is left out of it.

use std::collections::BTreeSet;

use crate::{
    dice::{Dice, Fate},
    fault::Fault,
};

/// Which life to live, and what to leave out of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Decides everything else.
    pub seed: u64,
    /// Turns of the machine before the faults stop.
    pub steps: u64,
    /// Faults that never strike.
    pub without: BTreeSet<Fault>,
    /// Acts of the clients that are left out, by their numbers.
    pub skip: BTreeSet<u64>,
}

impl Plan {
    /// The whole life of a seed.
    pub const fn new(seed: u64, steps: u64) -> Self {
        Self {
            seed,
            steps,
            without: BTreeSet::new(),
            skip: BTreeSet::new(),
        }
    }

    /// The options that replay it.
    pub fn options(&self) -> String {
        let mut options = format!("--seed {} --steps {}", self.seed, self.steps);
        if !self.without.is_empty() {
            let names: Vec<_> = self.without.iter().map(|fault| fault.name()).collect();
            options.push_str(&format!(" --without {}", names.join(",")));
        }
        if !self.skip.is_empty() {
            let acts: Vec<_> = self.skip.iter().map(u64::to_string).collect();
            options.push_str(&format!(" --skip {}", acts.join(",")));
        }
        options
    }
}

/// How often each fault struck, in the order of [`Fault::ALL`].
pub type Strikes = [u64; Fault::ALL.len()];

/// The mix of faults of one life: most seeds know only some of them, each at a rate of its own.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// Of 256 chances.
    rates: [u8; Fault::ALL.len()],
    strikes: Strikes,
    stopped: bool,
}

impl Faults {
    pub(crate) fn new(plan: &Plan, fate: &Fate) -> Self {
        let mut dice = fate.dice(0xfa);
        // A few lives without any fault show what is due to the faults in the others.
        let share = dice.pick(&[0, 16, 40, 40, 64, 64, 100, 160]);
        let rates = Fault::ALL.map(|fault| {
            let rate = dice.pick(&[4_u8, 12, 30, 80, 200]);
            let chosen = dice.below(256) < share;
            if chosen && !plan.without.contains(&fault) {
                rate
            } else {
                0
            }
        });
        Self {
            rates,
            strikes: [0; Fault::ALL.len()],
            stopped: false,
        }
    }

    /// Whether the fault strikes at this chance. The dice are thrown in any case.
    pub(crate) fn strikes(&mut self, fault: Fault, dice: &mut Dice) -> bool {
        let place = fault as usize;
        let struck = dice.below(256) < u64::from(self.rates[place]) && !self.stopped;
        self.strikes[place] += u64::from(struck);
        struck
    }

    /// From here on nothing goes wrong any more.
    pub(crate) const fn stop(&mut self) {
        self.stopped = true;
    }

    pub(crate) const fn have_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) const fn counts(&self) -> &Strikes {
        &self.strikes
    }
}
