//! Random lives of a fleet, and those that once went wrong.
//!
//! `MCP_FLEET_SIM_SEED=41 cargo test -p mcp-fleet-sim --test lives -- --nocapture` lives one life
//! alone and tells every turn.

use std::sync::OnceLock;

use mcp_fleet_core::{
    Fleet,
    journal::{self, Redaction, Redactor},
};
use mcp_fleet_sim::{Fault, Plan, Summary, Witness, live, live_many, shrink};

/// Some seconds without optimisation; `tests/run lives` lives many more.
const LIVES: u64 = 400;
const STEPS: u64 = 200;
/// A life in which many faults strike.
const SEED: u64 = 2;

fn lives() -> &'static Summary {
    static SUMMARY: OnceLock<Summary> = OnceLock::new();
    SUMMARY.get_or_init(|| {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        live_many(0..LIVES, STEPS, jobs, 1)
    })
}

#[test]
fn random_lives_keep_every_promise() {
    if let Ok(seed) = std::env::var("MCP_FLEET_SIM_SEED") {
        let witness = Witness {
            trace: true,
            ..Witness::default()
        };
        let outcome = live(&Plan::new(seed.parse().unwrap(), STEPS), witness);
        assert_eq!(outcome.violation, None);
        return;
    }
    if let Some((seed, violation)) = lives().violations.first() {
        panic!("{violation}\nrun it alone with MCP_FLEET_SIM_SEED={seed}");
    }
}

#[test]
fn every_fault_strikes_in_some_life() {
    let summary = lives();
    for fault in Fault::ALL {
        let strikes = summary.strikes[fault as usize];
        assert!(
            strikes > 0,
            "{} {} never struck",
            fault.number(),
            fault.name()
        );
    }
}

#[test]
fn lives_that_went_wrong_stay_right() {
    let text = include_str!("../regressions.txt");
    let mut count = 0;
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let mut words = line.split_whitespace();
        let mut number = || words.next().unwrap().parse().unwrap();
        let plan = Plan::new(number(), number());
        let outcome = live(&plan, Witness::default());
        assert_eq!(outcome.violation, None, "{line}");
        count += 1;
    }
    assert!(count > 0, "no regressions are listed");
}

#[test]
fn a_life_is_the_same_when_lived_or_told_again() {
    let witness = Witness {
        journal: true,
        ..Witness::default()
    };
    for seed in 0..40 {
        let plan = Plan::new(seed, STEPS);
        let (header, entries) = live(&plan, witness).journal.unwrap();
        let again = live(&plan, witness).journal.unwrap();
        assert!((&header, &entries) == (&again.0, &again.1), "seed {seed}");
        let mut fleet = Fleet::new(header.config, header.seed);
        for (turn, entry) in entries.iter().enumerate() {
            let told: journal::Entry =
                serde_json::from_str(&serde_json::to_string(entry).unwrap()).unwrap();
            let (effects, _) = journal::replay(&mut fleet, &told);
            assert_eq!(effects, entry.effects, "seed {seed}, turn {turn}");
        }
    }
}

#[test]
fn a_redacted_life_is_told_again_byte_for_byte() {
    let witness = Witness {
        journal: true,
        ..Witness::default()
    };
    let mut covered = 0;
    for seed in 0..40 {
        let plan = Plan::new(seed, STEPS);
        let (header, entries) = live(&plan, witness).journal.unwrap();
        for level in [Redaction::Secrets, Redaction::Payloads] {
            let mut redactor = Redactor::new(level);
            // Words that the servers of the simulator say, at times cut in two.
            for secret in ["\"again\":0", "1999-01-01", "tool-description"] {
                redactor.know(secret);
            }
            let header = redactor.header(header.clone());
            let mut lines = Vec::new();
            for (turn, entry) in entries.iter().enumerate() {
                redactor.push(turn as u64, entry.clone());
                while let Some((_, entry)) = redactor.pop() {
                    lines.push(redactor.line(&entry).unwrap());
                }
            }
            redactor.settle();
            while let Some((_, entry)) = redactor.pop() {
                lines.push(redactor.line(&entry).unwrap());
            }
            assert_eq!(lines.len(), entries.len(), "seed {seed}");
            let mut fleet = Fleet::new(header.config, header.seed);
            for (turn, line) in lines.iter().enumerate() {
                let told: journal::Entry = serde_json::from_slice(line).unwrap();
                let (effects, _) = journal::replay(&mut fleet, &told);
                assert_eq!(effects, told.effects, "seed {seed}, turn {turn}, {level:?}");
                covered += usize::from(told != entries[turn]);
            }
        }
    }
    assert!(covered > 1000, "{covered}");
}

#[test]
fn leaving_out_acts_and_faults_is_part_of_the_plan() {
    let whole = Plan::new(SEED, STEPS);
    let bare = Plan {
        seed: SEED,
        steps: STEPS,
        without: Fault::ALL.into(),
        skip: (0..1000).collect(),
    };
    let (whole_life, bare_life) = (
        live(&whole, Witness::default()),
        live(&bare, Witness::default()),
    );
    assert!(whole_life.strikes.iter().sum::<u64>() > 0);
    assert_eq!(bare_life.strikes, [0; Fault::ALL.len()]);
    assert!(bare.options().contains("--without NoSuchProgram,"));
    // Nothing is wrong, so nothing is made smaller.
    assert_eq!(shrink(&whole).0, whole);
}
