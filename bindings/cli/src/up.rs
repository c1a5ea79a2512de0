//! `mcp-fleet up`: starts the servers of a file, and looks after them and the file.

mod line;
mod reloaded;

use std::{path::Path, sync::Arc};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use mcp_fleet_core::{
    ReloadReport,
    config::{ConfigErrors, FleetConfig, Loaded},
};
use mcp_fleet_driver::{Events, ManageError, Update};
use tokio::select;

use self::{
    line::{Line, Problem as FileProblem},
    reloaded::Reloaded,
};
use crate::{
    args::{Global, UpArgs},
    exit::{self, Exit, Problem},
    file,
    host::{Ended, Host, Stopped},
    output::{self, lines::Lines},
    signals::Signals,
    watch::{Look, Watch},
};

/// Reloads under way at once: one may be held up by a server that does not start, and the next
/// one may be what helps.
const RELOADS_MAX: usize = 4;
/// Names of servers line up from this width on.
const NAME_WIDTH_MIN: usize = 8;
/// One long name is no reason to push everything to the right.
const NAME_WIDTH_MAX: usize = 24;

pub(crate) async fn run(
    args: &UpArgs,
    global: &Global,
    signals: &mut Signals,
) -> Result<Exit, Problem> {
    let text = file::read_text(&args.file)?;
    let loaded = file::judge_text(&args.file, &text);
    let (Loaded { config, warnings }, secrets) =
        loaded.map_err(|errors| file::unusable(&args.file, &errors))?;
    for warning in &warnings {
        output::warn(&warning.to_string());
    }
    let watch = if args.no_watch {
        None
    } else {
        watch(&args.file, text)
    };
    let limits = FleetConfig {
        servers: Vec::new(),
        ..config.clone()
    };
    let host = Host::new(limits, secrets, global)?;
    let mut up = Up {
        path: &args.file,
        teller: Teller::new(host.events(), args.json)?,
        watch,
        under_way: FuturesUnordered::new(),
        begun: 0,
        next: Some(config),
        host: &host,
    };
    let ended = host.until(signals, up.supervise()).await;
    let teller = &mut up.teller;
    let stopped = match &ended {
        Ended::Signal(Exit::Signal(number)) => {
            teller.say(&Line::Stopping {
                signal: Signals::name(*number),
            });
            host.stop(signals, true, teller.listen()).await
        }
        Ended::Signal(_) | Ended::Work(_) => host.stop(signals, false, teller.listen()).await,
    };
    if let Stopped::InOrder(_) = &stopped {
        up.teller.finish().await;
    }
    match (stopped, ended) {
        (Stopped::Killed(exit), _) => Ok(exit),
        (Stopped::InOrder(_), Ended::Work(outcome)) => outcome,
        // To be stopped is how it is to end.
        (Stopped::InOrder(_), Ended::Signal(_)) => Ok(Exit::Success),
    }
}

/// Watches a file that can change.
fn watch(path: &Path, text: String) -> Option<Watch> {
    if !path.is_file() {
        output::warn(&format!(
            "{} is no file, so changes to it are not noticed",
            path.display()
        ));
        return None;
    }
    let judged = path.to_owned();
    let is_sound = move |text: &str| file::judge_text(&judged, text).is_ok();
    Some(Watch::start(path.to_owned(), text, is_sound))
}

/// A fleet that follows its file.
struct Up<'a> {
    path: &'a Path,
    host: &'a Host,
    teller: Teller,
    watch: Option<Watch>,
    /// The start of all, and reloads.
    under_way: FuturesUnordered<BoxFuture<'a, Settled>>,
    /// How many there were.
    begun: u64,
    /// What the file says, where it waits for a place among those under way.
    next: Option<FleetConfig>,
}

/// What became of one of them.
struct Settled {
    /// 1 is the start of all.
    number: u64,
    outcome: Result<ReloadReport, ManageError>,
}

impl Up<'_> {
    /// Goes on until nobody reads what is told, or the fleet is gone.
    async fn supervise(&mut self) -> Result<Exit, Problem> {
        loop {
            if self.under_way.len() < RELOADS_MAX
                && let Some(config) = self.next.take()
            {
                self.begin(config);
            }
            select! {
                // What happened is told before what came of it.
                biased;
                told = self.teller.tell_next() => if !told? {
                    return Err(Problem::new(Exit::Unavailable, ManageError::RuntimeGone));
                },
                look = found(self.watch.as_mut()) => self.take(&look),
                Some(settled) = self.under_way.next() => self.conclude(settled),
            }
        }
    }

    /// Brings the fleet to what the file says. What is still under way is superseded.
    fn begin(&mut self, config: FleetConfig) {
        self.begun += 1;
        let number = self.begun;
        if number > 1 {
            self.teller.say(&Line::Reloading);
        }
        self.teller.fit(&config);
        let host = self.host;
        let settling = async move {
            let outcome = host.reload(config).await;
            Settled { number, outcome }
        };
        self.under_way.push(settling.boxed());
    }

    /// Judges what the file says now.
    fn take(&mut self, look: &Arc<Look>) {
        let text = match look.as_ref() {
            Ok(text) => text,
            Err(why) => {
                let why = format!("cannot read {}: {why}", self.path.display());
                self.teller.say(&Line::Unreadable { why });
                return;
            }
        };
        match file::judge_text(self.path, text) {
            Ok((Loaded { config, warnings }, _)) => {
                if !warnings.is_empty() {
                    let problems = warnings.iter().map(FileProblem::from).collect();
                    self.teller.say(&Line::Warned { problems });
                }
                self.next = Some(config);
            }
            Err(ConfigErrors { errors, warnings }) => {
                // What waits is not what the file says any more. What is under way goes on.
                self.next = None;
                self.teller.say(&Line::Invalid {
                    errors: errors.iter().map(FileProblem::from).collect(),
                    warnings: warnings.iter().map(FileProblem::from).collect(),
                });
            }
        }
    }

    fn conclude(&mut self, settled: Settled) {
        let Settled { number, outcome } = settled;
        let reloaded = outcome.map(|report| Reloaded::of(report, number < self.begun));
        match reloaded {
            // The states of the servers said it all.
            Ok(reloaded) if number == 1 => {
                for failed in reloaded.failed {
                    if !failed.is_told {
                        self.teller.say(&Line::Refused {
                            server: failed.server,
                            why: failed.why,
                        });
                    }
                }
            }
            Ok(reloaded) => self.teller.say(&Line::Reloaded(reloaded)),
            Err(error) => self.teller.say(&Line::NotReloaded {
                why: exit::of_manage(&error).message,
            }),
        }
    }
}

async fn found(watch: Option<&mut Watch>) -> Arc<Look> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// Tells what happens, to people or to programs.
struct Teller {
    events: Events,
    lines: Lines,
    json: bool,
    width: usize,
    /// Lines that there was no place for since the last one.
    missed: u64,
}

impl Teller {
    fn new(events: Events, json: bool) -> Result<Self, Problem> {
        let print = if json {
            output::print_raw
        } else {
            output::print
        };
        Ok(Self {
            events,
            lines: Lines::start(print)?,
            json,
            width: NAME_WIDTH_MIN,
            missed: 0,
        })
    }

    /// Makes room for the names of these servers.
    fn fit(&mut self, config: &FleetConfig) {
        let names = config.servers.iter().map(|server| server.name.as_str());
        let longest = names.map(str::len).max().unwrap_or_default();
        self.width = self.width.max(longest).min(NAME_WIDTH_MAX);
    }

    /// Waits for the next event and tells it. Returns whether there was one. Nothing is lost where
    /// it is dropped and called again.
    ///
    /// # Errors
    /// Where nobody can be told any more, once.
    async fn tell_next(&mut self) -> Result<bool, Problem> {
        let update = select! {
            biased;
            error = self.lines.closed() => return Err(Problem::output(&error)),
            update = self.events.next() => update,
        };
        match update {
            Some(Update::Event(event)) => {
                if let Some(line) = Line::of(event) {
                    self.say(&line);
                }
                Ok(true)
            }
            Some(Update::Missed(count)) => {
                self.missed += count;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Tells all events up to the last, to whoever is still there.
    async fn listen(&mut self) {
        while self.tell_next().await.unwrap_or(true) {}
    }

    fn say(&mut self, line: &Line) {
        let count = self.missed;
        if count > 0 && !self.try_say(&Line::Missed { count }) {
            self.missed += 1;
            return;
        }
        self.missed = if self.try_say(line) { 0 } else { 1 };
    }

    /// Returns whether there was a place for the line.
    fn try_say(&self, line: &Line) -> bool {
        let text = if self.json {
            Some(line.json())
        } else {
            line.text(self.width)
        };
        text.is_none_or(|text| self.lines.try_say(text + "\n"))
    }

    async fn finish(self) {
        self.lines.finish().await;
    }
}
