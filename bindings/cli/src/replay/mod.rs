//! `mcp-fleet replay`: a journal told to the machine again.

mod lines;
mod words;

use std::path::Path;

use mcp_fleet_core::{
    CommandId, Deadline, Effect, Event, Fleet, McpCommand, Reply, ServerInfo, Time,
    journal::{Entry, Header, Mark, Redaction, replay},
};
use serde::Serialize;

use self::{
    lines::{Beginning, Lines, Next},
    words::{Names, Said, shortened},
};
use crate::{
    args::{Point, ReplayArgs},
    exit::{Exit, Problem},
    journal,
    output::{
        self, style,
        table::{Table, terminal_width},
    },
};

/// Text is handed over in pieces of about this size.
const TEXT_BYTES: usize = 64 << 10;
/// The command that asks for the state in the end. Handles count from 1, so it is nobody's.
const OWN: CommandId = CommandId(u64::MAX);

/// Reads a file and shows it.
///
/// # Errors
/// Where the file cannot be read or is no journal.
pub(crate) fn run(args: &ReplayArgs) -> Result<Exit, Problem> {
    let (lines, beginning) = Lines::open(&args.file)?;
    let mut show = Show {
        args,
        names: Names::default(),
        text: String::new(),
    };
    match beginning {
        Beginning::Header(header) => again(&mut show, lines, *header),
        Beginning::Continues(_) if args.verify => {
            let message = format!(
                "{} does not begin with the fleet, so that it cannot be replayed",
                args.file.display()
            );
            Err(Problem::usage(message).hint("verify the file without `.tail` in its name"))
        }
        Beginning::Continues(turn) => as_recorded(&mut show, lines, turn),
    }
}

/// A journal that is told again.
struct Replay {
    fleet: Fleet,
    now: Time,
    steps: u64,
    /// The first step at which the fleet wants other things done than it did.
    differs: Option<Difference>,
}

#[derive(Debug)]
struct Difference {
    step: u64,
    recorded: String,
    now: String,
}

/// What is printed, as it grows.
struct Show<'a> {
    args: &'a ReplayArgs,
    names: Names,
    text: String,
}

/// One step for programs.
#[derive(Serialize)]
struct Step<'a> {
    step: u64,
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a mcp_fleet_core::Input>,
    effects: &'a [Effect],
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a [Event]>,
    /// The effects that were recorded, where they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<&'a [Effect]>,
}

/// The end for programs.
#[derive(Serialize)]
struct End {
    steps: u64,
    at: Time,
    servers: Vec<ServerInfo>,
    next_deadline: Option<Deadline>,
    first_difference: Option<u64>,
}

fn again(show: &mut Show<'_>, mut lines: Lines, header: Header) -> Result<Exit, Problem> {
    if !header.is_of_this_version() {
        output::warn(&format!(
            "the journal was written by version {}, and this is {}: it may be replayed otherwise",
            header.version,
            env!("CARGO_PKG_VERSION")
        ));
    }
    let redaction = header.redaction;
    let mut told = Replay {
        fleet: Fleet::new(header.config, header.seed),
        now: Time::ZERO,
        steps: 0,
        differs: None,
    };
    let mut mark = None;
    while !is_past(show.args.until, told.steps.saturating_add(1), None) {
        let entry = match lines.next()? {
            Some(Next::Entry(entry)) => *entry,
            Some(Next::Mark(found)) => {
                mark = Some(found);
                break;
            }
            None => break,
        };
        if is_past(show.args.until, told.steps, Some(entry.at)) {
            break;
        }
        told.step(show, entry)?;
    }
    show.flush()?;
    if let Some(mark) = &mark {
        note_mark(mark, &show.args.file, told.steps);
    }
    if lines.is_cut {
        note_cut(told.steps);
    }
    told.end(show, redaction)
}

impl Replay {
    fn step(&mut self, show: &mut Show<'_>, entry: Entry) -> Result<(), Problem> {
        self.steps += 1;
        self.now = entry.at;
        let due = self.fleet.poll_timeout().filter(|due| due.at <= entry.at);
        let (effects, events) = replay(&mut self.fleet, &entry);
        let same = effects == entry.effects;
        show.names.learn(entry.input.as_ref(), &effects);
        if !same && self.differs.is_none() {
            self.differs = Some(difference(
                self.steps,
                &show.names,
                &entry.effects,
                &effects,
            ));
        }
        if show.args.verify || is_before(show.args.from, self.steps, entry.at) {
            return Ok(());
        }
        if show.args.json {
            let step = Step {
                step: self.steps,
                at: entry.at,
                input: entry.input.as_ref(),
                effects: &effects,
                events: Some(&events),
                recorded: (!same).then_some(&entry.effects),
            };
            return show.json(&step);
        }
        let names = &show.names;
        let input = names.input(entry.input.as_ref(), due);
        let mut rest: Vec<(char, Said)> = Vec::new();
        rest.extend(effects.iter().map(|effect| ('>', names.effect(effect))));
        if !same {
            let recorded = entry.effects.iter();
            rest.extend(recorded.map(|effect| ('!', names.effect(effect))));
        }
        rest.extend(events.iter().map(|event| ('*', names.event(event))));
        show.step(self.steps, entry.at, &input, &rest)
    }

    /// Says where the fleet is, and whether it is where it was.
    fn end(mut self, show: &mut Show<'_>, redaction: Redaction) -> Result<Exit, Problem> {
        let exit = match &self.differs {
            Some(_) => Exit::ToolError,
            None => Exit::Success,
        };
        let next_deadline = self.fleet.poll_timeout();
        if show.args.verify {
            if self.differs.is_none() {
                let good = style::GOOD;
                let steps =
                    output::count(usize::try_from(self.steps).unwrap_or(usize::MAX), "step");
                output::print(&format!(
                    "{good}ok{good:#}: {}: {steps}, the fleet does the same again\n",
                    show.args.file.display()
                ))?;
            }
        } else if show.args.json {
            let end = End {
                steps: self.steps,
                at: self.now,
                servers: self.servers(),
                next_deadline,
                first_difference: self.differs.as_ref().map(|differs| differs.step),
            };
            show.json(&end)?;
            show.flush()?;
        } else {
            let text = self.state(&show.names, next_deadline);
            output::print(&text)?;
        }
        if let Some(differs) = &self.differs {
            tell_difference(differs, redaction);
        }
        Ok(exit)
    }

    fn servers(&mut self) -> Vec<ServerInfo> {
        let command = McpCommand::ListServers { id: OWN };
        self.fleet.handle_input(self.now, command.into());
        let told = std::iter::from_fn(|| self.fleet.poll_event());
        let servers = told.filter_map(|event| {
            if let Event::CommandEnded {
                id: OWN,
                outcome: Ok(Reply::Servers(servers)),
            } = event
            {
                Some(servers)
            } else {
                None
            }
        });
        servers.flatten().collect()
    }

    fn state(&mut self, names: &Names, next_deadline: Option<Deadline>) -> String {
        let mut table = Table::new(&[
            "SERVER",
            "STATE",
            ">LIFE",
            ">PID",
            ">IN FLIGHT",
            ">QUEUED",
            ">CALLS",
            ">CRASHES",
            "WHY",
        ]);
        let servers = self.servers();
        for server in &servers {
            let number = |number: u64| number.to_string();
            table.row([
                server.name.to_string(),
                server.state.to_string(),
                server.incarnation.to_string(),
                server
                    .pid
                    .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                server.stats.in_flight.to_string(),
                server.stats.queued.to_string(),
                number(server.stats.calls),
                number(server.stats.crashes),
                server
                    .failure
                    .as_ref()
                    .map_or_else(String::new, |failure| shortened(&failure.to_string())),
            ]);
        }
        let mut text = format!("\nafter step {} at {}\n", self.steps, clock(self.now));
        if servers.is_empty() {
            text.push_str("no servers\n");
        } else {
            text.push_str(&table.render(terminal_width()));
        }
        if let Some(next) = next_deadline {
            let deadline = names.deadline(next);
            text.push_str(&format!(
                "next deadline at {}: {deadline}\n",
                clock(next.at)
            ));
        }
        text
    }
}

/// A part that does not begin with the fleet: what was recorded, and no more.
fn as_recorded(show: &mut Show<'_>, mut lines: Lines, first: u64) -> Result<Exit, Problem> {
    output::note(&format!(
        "this is a part of a journal from step {first} on: it is shown as it was recorded, without \
         states and events"
    ));
    let mut step = first;
    while !is_past(show.args.until, step, None) {
        match lines.next()? {
            Some(Next::Entry(entry)) if is_past(show.args.until, 0, Some(entry.at)) => break,
            Some(Next::Entry(entry)) => {
                let Entry { at, input, effects } = *entry;
                show.names.learn(input.as_ref(), &effects);
                if !is_before(show.args.from, step, at) {
                    if show.args.json {
                        show.json(&Step {
                            step,
                            at,
                            input: input.as_ref(),
                            effects: &effects,
                            events: None,
                            recorded: None,
                        })?;
                    } else {
                        let names = &show.names;
                        let words = names.input(input.as_ref(), None);
                        let rest: Vec<_> = effects
                            .iter()
                            .map(|effect| ('>', names.effect(effect)))
                            .collect();
                        show.step(step, at, &words, &rest)?;
                    }
                }
                step += 1;
            }
            Some(Next::Mark(Mark::Gap { turns })) => {
                show.flush()?;
                output::warn(&format!(
                    "steps {step} to {} are missing",
                    step.saturating_add(turns).saturating_sub(1)
                ));
                step = step.saturating_add(turns);
            }
            Some(Next::Mark(Mark::Full { .. } | Mark::Continues { .. })) => {}
            None => break,
        }
    }
    show.flush()?;
    if lines.is_cut {
        note_cut(step.saturating_sub(1));
    }
    Ok(Exit::Success)
}

impl Show<'_> {
    fn step(
        &mut self,
        step: u64,
        at: Time,
        input: &Said,
        rest: &[(char, Said)],
    ) -> Result<(), Problem> {
        if let Some(wanted) = &self.args.server {
            let concerns = |said: &Said| said.server.as_ref() == Some(wanted);
            if !concerns(input) && !rest.iter().any(|(_, said)| concerns(said)) {
                return Ok(());
            }
        }
        let strong = style::STRONG;
        self.text.push_str(&format!(
            "{step:>6}  {:>13}  {strong}{}{strong:#}\n",
            clock(at),
            input.words
        ));
        for (sign, said) in rest {
            let colour = match sign {
                '!' => style::ERROR,
                '*' => style::GOOD,
                _ => style::PLAIN,
            };
            let note = if *sign == '!' { " was recorded" } else { "" };
            self.text.push_str(&format!(
                "{:>23}{colour}{sign}{colour:#} {}{note}\n",
                "", said.words
            ));
        }
        self.flush_if_long()
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), Problem> {
        let line = serde_json::to_string(value).map_err(Problem::usage)?;
        self.text.push_str(&line);
        self.text.push('\n');
        self.flush_if_long()
    }

    fn flush_if_long(&mut self) -> Result<(), Problem> {
        if self.text.len() >= TEXT_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Problem> {
        let text = std::mem::take(&mut self.text);
        if self.args.json {
            output::print_raw(&text)?;
        } else {
            output::print(&text)?;
        }
        Ok(())
    }
}

/// Whether a step, or one at this time, lies behind the point to stop at.
fn is_past(until: Option<Point>, step: u64, at: Option<Time>) -> bool {
    match (until, at) {
        (Some(Point::Step(last)), None) => step > last,
        (Some(Point::At(last)), Some(at)) => at.since(Time::ZERO) > last,
        (Some(Point::Step(_)), Some(_)) | (Some(Point::At(_)), None) | (None, _) => false,
    }
}

fn is_before(from: Option<Point>, step: u64, at: Time) -> bool {
    match from {
        Some(Point::Step(first)) => step < first,
        Some(Point::At(first)) => at.since(Time::ZERO) < first,
        None => false,
    }
}

/// Seconds since the beginning.
fn clock(at: Time) -> String {
    format!("{:.6} s", at.since(Time::ZERO).as_secs_f64())
}

fn difference(step: u64, names: &Names, recorded: &[Effect], now: &[Effect]) -> Difference {
    let place = recorded
        .iter()
        .zip(now)
        .position(|(recorded, now)| recorded != now)
        .unwrap_or_else(|| recorded.len().min(now.len()));
    let words = |effects: &[Effect]| {
        effects
            .get(place)
            .map_or_else(|| "nothing".to_owned(), |effect| names.effect(effect).words)
    };
    Difference {
        step,
        recorded: words(recorded),
        now: words(now),
    }
}

fn tell_difference(differs: &Difference, redaction: Redaction) {
    let message = format!(
        "at step {} the fleet does something else:\n  recorded: {}\n  now:      {}",
        differs.step, differs.recorded, differs.now
    );
    let problem = Problem::new(Exit::ToolError, message);
    match redaction {
        Redaction::Nothing => problem,
        Redaction::Secrets | Redaction::Payloads => problem.hint(
            "if both are the same version, what was left out of the journal may matter: record it \
             with `--journal-redact nothing`",
        ),
    }
    .report();
}

fn note_mark(mark: &Mark, path: &Path, steps: u64) {
    match mark {
        Mark::Full { bytes, tail } => {
            output::note(&format!(
                "the journal reached its limit of {bytes} bytes after step {steps}"
            ));
            let (newer, older) = (journal::tail_of(path), journal::older_tail_of(path));
            if *tail {
                let files = if older.exists() {
                    format!("{} and then {}", older.display(), newer.display())
                } else {
                    newer.display().to_string()
                };
                output::note(&format!(
                    "  its newest steps can be shown, but not replayed: {files}"
                ));
            }
        }
        Mark::Gap { turns } => output::note(&format!(
            "{turns} steps after step {steps} were not recorded; what follows cannot be replayed"
        )),
        Mark::Continues { .. } => {}
    }
}

fn note_cut(steps: u64) {
    output::note(&format!(
        "the last line is cut off, as when the host was killed; {steps} steps are whole"
    ));
}
