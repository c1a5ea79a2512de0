//! What is told of a fleet that is up, for people and for programs.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::{Timestamp, Zoned};
use mcp_fleet_core::{
    BreakerState, CatalogKind, CommandError, Event, Failure, ServerName, ServerState, config,
};
use serde::Serialize;

use super::reloaded::Reloaded;
use crate::output::{self, style};

/// Lines of standard error that are shown with a failure.
const TAIL_LINES: usize = 10;
/// The widest word; what follows lines up.
const WORD_WIDTH: usize = 11;
/// What stands in the place of a server where all are meant.
const FLEET: &str = "-";

/// One thing that happened.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line {
    /// A server is in another state.
    State {
        server: ServerName,
        replica: u32,
        incarnation: u32,
        state: ServerState,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// The new version of a server failed, and the one before it goes on.
    RolledBack {
        server: ServerName,
        why: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// The breaker of a server is in another state.
    Breaker {
        server: ServerName,
        replica: u32,
        state: BreakerState,
    },
    /// A list of a server was read.
    Catalog {
        server: ServerName,
        kind: CatalogKind,
        entries: usize,
    },
    /// A server did what it must not.
    Violation { server: ServerName, why: String },
    /// A server of the file is not part of the fleet.
    Refused { server: ServerName, why: String },
    /// The file looks wrong in places, and is used.
    Warned { problems: Vec<Problem> },
    /// The file is wrong, and not used.
    Invalid {
        errors: Vec<Problem>,
        warnings: Vec<Problem>,
    },
    /// The file cannot be read.
    Unreadable { why: String },
    /// The file changed, and the fleet follows.
    Reloading,
    /// The fleet is as the file says, as far as that is possible.
    Reloaded(Reloaded),
    /// The fleet does not follow the file.
    NotReloaded { why: String },
    /// The reader was too slow for so many events.
    Missed { count: u64 },
    /// A signal asked for the end.
    Stopping { signal: &'static str },
}

/// One thing that is wrong with the file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Problem {
    line: usize,
    column: usize,
    key: String,
    message: String,
    hint: String,
    #[serde(skip)]
    whole: String,
}

impl From<&config::Problem> for Problem {
    fn from(problem: &config::Problem) -> Self {
        Self {
            line: problem.line,
            column: problem.column,
            key: problem.key.clone(),
            message: problem.message.clone(),
            hint: problem.remedy.clone(),
            whole: problem.to_string(),
        }
    }
}

/// A line as JSON.
#[derive(Serialize)]
struct Dated<'a> {
    time: String,
    #[serde(flatten)]
    line: &'a Line,
}

impl Line {
    /// What an event of the fleet means, where it means anything to who watches it.
    pub(crate) fn of(event: Event) -> Option<Self> {
        match event {
            Event::ServerChanged {
                server,
                replica,
                incarnation,
                state,
                failure,
                waiting,
            } => Some(Self::State {
                server,
                replica,
                incarnation,
                state,
                why: failure
                    .as_ref()
                    .map(|failure| apart(failure).0)
                    .or_else(|| waiting.map(|waiting| format!("for {waiting}"))),
                failure,
            }),
            Event::RolledBack { server, error } => {
                let (why, failure) = if let CommandError::Failed { failure, .. } = error {
                    (apart(&failure).0, Some(failure))
                } else {
                    (error.to_string(), None)
                };
                Some(Self::RolledBack {
                    server,
                    why,
                    failure,
                })
            }
            Event::BreakerChanged {
                server,
                replica,
                state,
            } => Some(Self::Breaker {
                server,
                replica,
                state,
            }),
            Event::CatalogChanged {
                server,
                kind,
                entries,
            } => Some(Self::Catalog {
                server,
                kind,
                entries,
            }),
            Event::Violation { server, message } => Some(Self::Violation {
                server,
                why: message,
            }),
            Event::CommandEnded { .. }
            | Event::CallEnded { .. }
            | Event::CallProgress { .. }
            | Event::InputRequested { .. }
            | Event::InputWithdrawn { .. }
            | Event::Notified { .. }
            | _ => None,
        }
    }

    /// As one line of JSON.
    pub(crate) fn json(&self) -> String {
        let time = format!("{:.3}", Timestamp::now());
        let dated = Dated { time, line: self };
        // Plain data with keys of text: nothing that JSON could refuse.
        serde_json::to_string(&dated).unwrap_or_default()
    }

    /// For people; `None` for what would only distract them. Names of servers are `width` wide.
    pub(crate) fn text(&self, width: usize) -> Option<String> {
        let time = Zoned::now().strftime("%H:%M:%S").to_string();
        let text = self.undated(width)?;
        Some(format!("{time}  {text}"))
    }

    fn undated(&self, width: usize) -> Option<String> {
        let fleet = |style, word: &str, rest: &str| line(FLEET, width, style, word, rest);
        Some(match self {
            Self::State {
                server,
                replica,
                incarnation,
                state,
                why,
                failure,
            } => {
                let style = style_of(*state)?;
                let mut rest = why.clone().unwrap_or_default();
                if *state == ServerState::Ready && *incarnation > 1 {
                    rest = format!("incarnation {incarnation}");
                }
                let subject = one_of(server, *replica);
                let mut text = line(&subject, width, style, state.as_str(), &rest);
                if let Some(failure) = failure {
                    append_tail(&mut text, server, &apart(failure).1);
                }
                text
            }
            Self::RolledBack {
                server,
                why,
                failure,
            } => {
                let rest = format!("the version before it goes on: {why}");
                let name = server.as_str();
                let mut text = line(name, width, style::ERROR, "rolled back", &rest);
                if let Some(failure) = failure {
                    append_tail(&mut text, server, &apart(failure).1);
                }
                text
            }
            Self::Breaker {
                server,
                replica,
                state,
            } => {
                let style = match state {
                    BreakerState::Closed => style::GOOD,
                    BreakerState::Open => style::ERROR,
                    BreakerState::HalfOpen => style::WARNING,
                };
                let rest = format!("is {state}");
                line(&one_of(server, *replica), width, style, "breaker", &rest)
            }
            Self::Catalog {
                server,
                kind,
                entries,
            } => {
                let noun = match kind {
                    CatalogKind::Tools => "tool",
                    CatalogKind::Resources => "resource",
                    CatalogKind::Templates => "template",
                    CatalogKind::Prompts => "prompt",
                };
                let rest = output::count(*entries, noun);
                line(server.as_str(), width, style::PLAIN, "lists", &rest)
            }
            Self::Violation { server, why } => {
                line(server.as_str(), width, style::WARNING, "violation", why)
            }
            Self::Refused { server, why } => {
                line(server.as_str(), width, style::ERROR, "refused", why)
            }
            Self::Warned { problems } => {
                let mut text = fleet(style::WARNING, "warned", "the file looks wrong in places");
                append_problems(&mut text, "warning", style::WARNING, problems);
                text
            }
            Self::Invalid { errors, warnings } => {
                let rest = "the file is wrong; the servers go on as they are";
                let mut text = fleet(style::ERROR, "invalid", rest);
                append_problems(&mut text, "warning", style::WARNING, warnings);
                append_problems(&mut text, "error", style::ERROR, errors);
                text
            }
            Self::Unreadable { why } => {
                let rest = format!("{why}; the servers go on as they are");
                fleet(style::ERROR, "unreadable", &rest)
            }
            Self::Reloading => fleet(style::PLAIN, "reloading", "the file changed"),
            Self::Reloaded(reloaded) => {
                let style = if reloaded.failed.is_empty() {
                    style::GOOD
                } else {
                    style::WARNING
                };
                let mut text = fleet(style, "reloaded", &reloaded.summary());
                for failed in &reloaded.failed {
                    let failed = line(
                        failed.server.as_str(),
                        width,
                        style::ERROR,
                        "failed",
                        &failed.why,
                    );
                    let indent = " ".repeat("00:00:00  ".len());
                    text.push_str(&format!("\n{indent}{failed}"));
                }
                text
            }
            Self::NotReloaded { why } => {
                let rest = format!("{why}; the servers go on as they are");
                fleet(style::ERROR, "refused", &rest)
            }
            Self::Missed { count } => {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                let rest = format!("{} left out here", output::count(count, "line"));
                fleet(style::WARNING, "missed", &rest)
            }
            Self::Stopping { signal } => {
                let rest = format!("{signal}; a second signal kills the servers");
                fleet(style::PLAIN, "stopping", &rest)
            }
        })
    }
}

/// A server, or one of its replicas.
fn one_of(server: &ServerName, replica: u32) -> String {
    match replica {
        0 => server.to_string(),
        replica => format!("{server}/{replica}"),
    }
}

/// How a state looks; `None` for one that is on the way to another.
fn style_of(state: ServerState) -> Option<Style> {
    match state {
        ServerState::Ready => Some(style::GOOD),
        ServerState::Backoff | ServerState::Unready => Some(style::WARNING),
        ServerState::Failed => Some(style::ERROR),
        ServerState::Probing | ServerState::Handshaking | ServerState::Closing => None,
        ServerState::Stopped
        | ServerState::Waiting
        | ServerState::Starting
        | ServerState::Draining
        | _ => Some(style::PLAIN),
    }
}

/// A failure in few words, and the end of what the server wrote to standard error.
fn apart(failure: &Failure) -> (String, String) {
    let mut short = failure.clone();
    let tail = match &mut short {
        Failure::EndedEarly { stderr_tail, .. }
        | Failure::StartTimedOut { stderr_tail, .. }
        | Failure::Crashed { stderr_tail, .. } => std::mem::take(stderr_tail),
        Failure::CannotStart { .. }
        | Failure::Incompatible { .. }
        | Failure::Handshake { .. }
        | Failure::Unresponsive { .. }
        | Failure::Protocol { .. }
        | _ => String::new(),
    };
    (short.to_string(), tail)
}

fn line(subject: &str, width: usize, style: Style, word: &str, rest: &str) -> String {
    // Padding outside the colour, so that it is counted.
    let padding = " ".repeat(WORD_WIDTH.saturating_sub(word.len()));
    let rest = output::plain(rest).replace(['\n', '\t'], " ");
    let text = format!("{subject:width$}  {style}{word}{style:#}{padding}  {rest}");
    text.trim_end().to_owned()
}

fn append_tail(text: &mut String, server: &ServerName, tail: &str) {
    let lines: Vec<&str> = tail.trim_end().lines().collect();
    if tail.trim().is_empty() {
        return;
    }
    text.push_str(&format!("\n  standard error of {server:?} ends with:"));
    for line in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
        text.push_str("\n    ");
        text.push_str(&output::plain(line));
    }
}

fn append_problems(text: &mut String, word: &str, style: Style, problems: &[Problem]) {
    for problem in problems {
        let whole = output::plain(&problem.whole).replace('\n', "\n  ");
        // A `String` takes all that is written to it.
        write!(text, "\n  {style}{word}{style:#}: {whole}").ok();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::up::reloaded::Failed;

    fn name(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    fn state(state: ServerState, failure: Option<Failure>) -> Line {
        let why = failure.as_ref().map(|failure| apart(failure).0);
        Line::State {
            server: name("files"),
            replica: 0,
            incarnation: 1,
            state,
            why,
            failure,
        }
    }

    fn crashed(stderr_tail: &str) -> Failure {
        Failure::Crashed {
            exit: Some(mcp_fleet_core::Exit::Code(3)),
            stderr_tail: stderr_tail.to_owned(),
        }
    }

    fn shown(line: &Line) -> Option<String> {
        let text = line.undated(8)?;
        Some(anstream::adapter::strip_str(&text).to_string())
    }

    #[test]
    fn columns_line_up_whatever_the_word() {
        for (line, text) in [
            (state(ServerState::Starting, None), "files     starting"),
            (
                state(ServerState::Failed, Some(crashed(""))),
                "files     failed       ended unexpectedly (exit status 3)",
            ),
            (
                Line::Stopping { signal: "SIGINT" },
                "-         stopping     SIGINT; a second signal kills the servers",
            ),
            (
                Line::Missed { count: 1 },
                "-         missed       1 line left out here",
            ),
        ] {
            assert_eq!(shown(&line).unwrap(), text);
        }
    }

    #[test]
    fn states_on_the_way_to_another_are_for_programs() {
        for passing in [
            ServerState::Probing,
            ServerState::Handshaking,
            ServerState::Closing,
        ] {
            let line = state(passing, None);
            assert_eq!(shown(&line), None);
            let told: Value = serde_json::from_str(&line.json()).unwrap();
            assert_eq!(told["state"], passing.as_str());
        }
    }

    #[test]
    fn the_end_of_standard_error_follows_a_failure_and_plays_no_tricks() {
        let tail: String = (1..=20).map(|n| format!("line {n}\u{1b}[2J\n")).collect();
        let text = shown(&state(ServerState::Backoff, Some(crashed(&tail)))).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "files     backoff      ended unexpectedly (exit status 3)",
                "  standard error of \"files\" ends with:",
                "    line 11\u{fffd}[2J",
            ]
        );
        assert_eq!(lines.len(), 2 + TAIL_LINES);
    }

    #[test]
    fn what_a_server_says_is_one_line() {
        let line = Line::Violation {
            server: name("files"),
            why: "a\nb\tc".to_owned(),
        };
        assert_eq!(shown(&line).unwrap(), "files     violation    a b c");
    }

    #[test]
    fn a_reload_names_what_failed() {
        let reloaded = Reloaded {
            replaced: vec![name("a")],
            failed: vec![Failed {
                server: name("files"),
                why: "cannot start".to_owned(),
                is_told: false,
            }],
            ..Reloaded::default()
        };
        let text = shown(&Line::Reloaded(reloaded)).unwrap();
        let expected = "\
-         reloaded     replaced a; failed files
          files     failed       cannot start";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_flat_and_dated() {
        let line = Line::Catalog {
            server: name("files"),
            kind: CatalogKind::Tools,
            entries: 3,
        };
        let mut told: Value = serde_json::from_str(&line.json()).unwrap();
        let time = told["time"].take();
        let time: Timestamp = time.as_str().unwrap().parse().unwrap();
        assert!(Timestamp::now().duration_since(time).as_secs() < 60);
        let expected = json!({
            "time": null,
            "event": "catalog",
            "server": "files",
            "kind": "tools",
            "entries": 3,
        });
        assert_eq!(told, expected);
    }
}
