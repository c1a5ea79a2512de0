//! The simulator's command line.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "it tells people what it found"
)]

use std::{io::Write, process::ExitCode, time::Instant};

use mcp_fleet_sim::{
    Fault, Outcome, Plan, Summary, Violation, Witness, live_guarded, live_many, live_tape, shrink,
};

const USAGE: &str = "\
Lives many random lives of a fleet, and compares each with a model.

usage: mcp-fleet-sim [--seeds N] [--from N] [--steps N] [--jobs N] [--stop-after N]
       mcp-fleet-sim --seed N [--steps N] [--without FAULT,..] [--skip ACT,..]
                     [--trace] [--journal FILE] [--shrink]
       mcp-fleet-sim --tape FILE [--trace] [--journal FILE]
       mcp-fleet-sim --faults

  --seeds N      how many lives (10000)
  --from N       the first seed (0)
  --steps N      turns of the machine before the faults of a life stop (200)
  --jobs N       threads (as many as there are processors)
  --stop-after N violations after which the search stops (5)
  --seed N       one life alone
  --without ..   faults that never strike, by name
  --skip ..      acts of the clients that are left out, by number
  --trace        print every turn
  --journal FILE write the journal of the life
  --tape FILE    the life that these bytes decide, as those which the fuzzer finds
  --shrink       make a failing life small, and write its journal to mcp-fleet-sim-N.journal
  --faults       print the faults, where they strike, and what must come of them

Exit code 0 where every promise was kept, 1 where one was broken, 2 for a wrong option.";

/// Violations after which a search stops.
const VIOLATIONS_MAX: usize = 5;

#[derive(Default)]
struct Options {
    seeds: Option<u64>,
    from: u64,
    steps: Option<u64>,
    jobs: Option<usize>,
    stop_after: Option<usize>,
    seed: Option<u64>,
    without: Vec<Fault>,
    skip: Vec<u64>,
    trace: bool,
    journal: Option<String>,
    tape: Option<String>,
    shrink: bool,
    faults: bool,
    help: bool,
}

fn main() -> ExitCode {
    let options = match read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("mcp-fleet-sim: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if options.faults {
        print_faults();
        return ExitCode::SUCCESS;
    }
    let kept = match (&options.tape, options.seed) {
        (Some(tape), _) => taped(tape, &options),
        (None, Some(seed)) => one(seed, &options),
        (None, None) => many(&options),
    };
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| {
            text.parse::<u64>()
                .map_err(|error| format!("{text}: {error}"))
        };
        match word.as_str() {
            "--seeds" => options.seeds = Some(number(value()?)?),
            "--from" => options.from = number(value()?)?,
            "--steps" => options.steps = Some(number(value()?)?),
            "--jobs" => options.jobs = usize::try_from(number(value()?)?).ok(),
            "--stop-after" => options.stop_after = usize::try_from(number(value()?)?).ok(),
            "--seed" => options.seed = Some(number(value()?)?),
            "--without" => {
                for name in value()?.split(',') {
                    let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
                    options
                        .without
                        .push(fault.ok_or_else(|| format!("no fault is called {name}"))?);
                }
            }
            "--skip" => {
                for act in value()?.split(',') {
                    options.skip.push(number(act.to_owned())?);
                }
            }
            "--trace" => options.trace = true,
            "--journal" => options.journal = Some(value()?),
            "--tape" => options.tape = Some(value()?),
            "--shrink" => options.shrink = true,
            "--faults" => options.faults = true,
            "--help" | "-h" => options.help = true,
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(options)
}

impl Options {
    fn steps(&self) -> u64 {
        self.steps.unwrap_or(200)
    }
}

/// One life. `true` where it kept every promise.
fn one(seed: u64, options: &Options) -> bool {
    let mut plan = Plan::new(seed, options.steps());
    plan.without.extend(&options.without);
    plan.skip.extend(&options.skip);
    let mut journal = options.journal.clone();
    if options.shrink {
        let (small, outcome) = shrink(&plan);
        if outcome.violation.is_some() {
            journal = journal.or_else(|| Some(format!("mcp-fleet-sim-{seed}.journal")));
        }
        plan = small;
    }
    let witness = Witness {
        journal: journal.is_some(),
        trace: options.trace,
    };
    let outcome = live_guarded(&plan, witness);
    keep_journal(journal.as_deref(), &outcome);
    println!("{} turns, {} acts", outcome.turns, outcome.acts);
    if let Some(violation) = &outcome.violation {
        tell(&plan, violation);
    }
    outcome.violation.is_none()
}

/// The life that the bytes of a file decide. `true` where it kept every promise.
fn taped(tape: &str, options: &Options) -> bool {
    let bytes = match std::fs::read(tape) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("mcp-fleet-sim: cannot read {tape}: {error}");
            return false;
        }
    };
    let witness = Witness {
        journal: options.journal.is_some(),
        trace: options.trace,
    };
    let outcome = live_tape(&bytes, witness);
    keep_journal(options.journal.as_deref(), &outcome);
    println!("{} turns, {} acts", outcome.turns, outcome.acts);
    if let Some(violation) = &outcome.violation {
        println!("VIOLATION {violation}");
    }
    outcome.violation.is_none()
}

fn keep_journal(path: Option<&str>, outcome: &Outcome) {
    if let (Some(path), Some((header, entries))) = (path, &outcome.journal) {
        let mut lines = vec![serde_json::to_string(header)];
        lines.extend(entries.iter().map(serde_json::to_string));
        let text: Result<Vec<String>, _> = lines.into_iter().collect();
        let written = text
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(path, text.join("\n") + "\n"));
        match written {
            Ok(()) => println!("the journal is in {path}"),
            Err(error) => eprintln!("mcp-fleet-sim: cannot write {path}: {error}"),
        }
    }
}

/// Many lives. `true` where all kept every promise.
fn many(options: &Options) -> bool {
    let begun = Instant::now();
    let first = options.from;
    let seeds = first..first.saturating_add(options.seeds.unwrap_or(10_000));
    let jobs = options
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let summary = live_many(
        seeds,
        options.steps(),
        jobs,
        options.stop_after.unwrap_or(VIOLATIONS_MAX),
    );
    let took = begun.elapsed();
    print_strikes(&summary);
    #[allow(clippy::cast_precision_loss, reason = "rates are told to people")]
    let rate = |count: u64| count as f64 / took.as_secs_f64();
    println!(
        "{} seeds, {} turns of the machine in {:.1} s: {:.0} seeds/s, {:.0} steps/s, {jobs} jobs",
        summary.seeds,
        summary.turns,
        took.as_secs_f64(),
        rate(summary.seeds),
        rate(summary.turns),
    );
    for (seed, violation) in &summary.violations {
        tell(&Plan::new(*seed, options.steps()), violation);
    }
    if summary.violations.is_empty() {
        println!("no violation");
    }
    summary.violations.is_empty()
}

fn tell(plan: &Plan, violation: &Violation) {
    println!("VIOLATION {violation}");
    println!(
        "    replay: cargo run --release -p mcp-fleet-sim -- {} --trace",
        plan.options()
    );
    // Whoever reads both streams reads them in order.
    drop(std::io::stdout().flush());
}

fn print_strikes(summary: &Summary) {
    println!(
        "{:<4} {:<14} {:>12} {:>10}",
        "", "fault", "strikes", "lives"
    );
    for fault in Fault::ALL {
        let place = fault as usize;
        println!(
            "{:<4} {:<14} {:>12} {:>10}",
            fault.number(),
            fault.name(),
            summary.strikes.get(place).unwrap_or(&0),
            summary.lives.get(place).unwrap_or(&0),
        );
    }
}

fn print_faults() {
    println!("| number | fault | where | what happens | what must come of it |");
    println!("|---|---|---|---|---|");
    for fault in Fault::ALL {
        println!(
            "| {} | `{}` | {} | {} | {} |",
            fault.number(),
            fault.name(),
            fault.place().as_str(),
            fault.what(),
            fault.outcome(),
        );
    }
}
