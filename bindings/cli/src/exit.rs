//! How a run ends, and what is said about a failure.

use std::{fmt, io, process::ExitCode};

use mcp_fleet_core::{CallError, CommandError, Failure, ServerName};
use mcp_fleet_driver::{ExecuteError, ManageError};

use crate::output::{self, style};

/// The exit code of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Success,
    /// The tool or its server answered with an error.
    ToolError,
    /// The command line or the configuration is wrong.
    Usage,
    Unavailable,
    TimedOut,
    /// The number of the signal that ended the run.
    Signal(u8),
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::ToolError => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::TimedOut => 4,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed, for people.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The server whose last words these are, and the words.
    pub(crate) stderr: Option<(String, String)>,
}

impl Problem {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            hint: None,
            stderr: None,
        }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Nobody reads standard output any more, which is no failure.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Exit::Success, "")
        } else {
            Self::new(
                Exit::Usage,
                format!("cannot write to standard output: {error}"),
            )
        }
    }

    fn last_words(mut self, server: &ServerName, tail: &str) -> Self {
        if !tail.trim().is_empty() {
            self.stderr = Some((server.to_string(), tail.trim_end().to_owned()));
        }
        self
    }

    /// Says on standard error what to do next.
    pub(crate) fn say_hint(hint: &str) {
        let accent = style::HINT;
        output::note(&format!(
            "\n{accent}hint{accent:#}: {}",
            output::plain(hint)
        ));
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) {
        if self.message.is_empty() {
            return;
        }
        let error = style::ERROR;
        let message = output::plain(&self.message);
        output::note(&format!("{error}error{error:#}: {message}"));
        if let Some((server, tail)) = &self.stderr {
            output::note(&format!("  standard error of {server:?} ends with:"));
            for line in tail.lines() {
                output::note(&format!("    {}", output::plain(line)));
            }
        }
        if let Some(hint) = &self.hint {
            Self::say_hint(hint);
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::output(&error)
    }
}

/// What a failure of a server means for the run.
fn of_failure(server: &ServerName, failure: &Failure) -> Problem {
    match failure {
        // The message says what to check.
        Failure::CannotStart { message, .. } => Problem::new(
            Exit::Unavailable,
            format!("{server:?} cannot start: {message}"),
        ),
        Failure::EndedEarly { exit, stderr_tail } => {
            let how = exit.map(|exit| format!(" ({exit})")).unwrap_or_default();
            let message = format!("{server:?} ended before it was ready{how}");
            let problem = Problem::new(Exit::Unavailable, message)
                .hint("check `command` and `args`, or run the command by hand");
            problem.last_words(server, stderr_tail)
        }
        Failure::StartTimedOut {
            after,
            probe,
            stderr_tail,
        } => {
            let message = format!("{server:?} was not ready within {}", output::span(*after));
            let problem = match probe {
                Some(why) => Problem::new(
                    Exit::TimedOut,
                    format!("{message}: its startup probe never succeeded: {why}"),
                )
                .hint("raise `startTimeoutMs` of the server, or check its `startupProbe`"),
                None => Problem::new(Exit::TimedOut, message).hint(
                    "raise `startTimeoutMs` of the server, or check that it speaks MCP on stdout",
                ),
            };
            problem.last_words(server, stderr_tail)
        }
        Failure::Crashed { exit, stderr_tail } => {
            let how = exit.map(|exit| format!(" ({exit})")).unwrap_or_default();
            let problem = Problem::new(
                Exit::Unavailable,
                format!("{server:?} ended unexpectedly{how}"),
            );
            problem.last_words(server, stderr_tail)
        }
        Failure::Incompatible { .. } | Failure::Handshake { .. } | Failure::Protocol { .. } | _ => {
            Problem::new(Exit::Unavailable, format!("{server:?} {failure}"))
        }
    }
}

/// What a failed command means for the run.
fn of_command(error: &CommandError) -> Problem {
    match error {
        CommandError::Failed { server, failure } => of_failure(server, failure),
        CommandError::NotFound { .. }
        | CommandError::AlreadyDeployed { .. }
        | CommandError::FleetFull { .. }
        | CommandError::Invalid { .. } => Problem::usage(error),
        CommandError::Blocked {
            server,
            dependency,
            obstacle,
        } => {
            let message = format!("{server:?} waits for {dependency:?}, which {obstacle}");
            Problem::new(Exit::Unavailable, message)
        }
        CommandError::Catalog { server, message } => {
            Problem::new(Exit::Unavailable, format!("{server:?}: {message}"))
        }
        CommandError::Overloaded { .. }
        | CommandError::Superseded { .. }
        | CommandError::NoSuchInput
        | CommandError::ShuttingDown
        | _ => Problem::new(Exit::Unavailable, error),
    }
}

/// What a failed command of the manager means for the run.
pub(crate) fn of_manage(error: &ManageError) -> Problem {
    match error {
        ManageError::Command(error) => of_command(error),
        ManageError::Name(error) => Problem::usage(error),
        ManageError::RuntimeGone | ManageError::OtherReply | _ => {
            Problem::new(Exit::Unavailable, error)
        }
    }
}

/// What a failed call of the manager means for the run.
pub(crate) fn of_execute(error: &ExecuteError) -> Problem {
    match error {
        ExecuteError::Call(error) => of_call(error),
        ExecuteError::Arguments { .. } => Problem::usage(error),
        ExecuteError::RuntimeGone | _ => Problem::new(Exit::Unavailable, error),
    }
}

/// What a failed call means for the run.
fn of_call(error: &CallError) -> Problem {
    match error {
        CallError::NotFound { .. } | CallError::InvalidRequest { .. } => Problem::usage(error),
        CallError::TimedOut { after, sent } => {
            let message = format!("the call timed out after {}; {sent}", output::span(*after));
            Problem::new(Exit::TimedOut, message)
                .hint(
                "allow more time with `--timeout DURATION`, or with `timeoutMs` and `timeoutMaxMs` of \
                 the server",
            )
        }
        CallError::ServerGone {
            server,
            reason,
            exit,
            stderr_tail,
            sent,
        } => {
            let why = reason.as_ref().map(|reason| format!(": {reason}"));
            let how = exit.map(|exit| format!(" ({exit})"));
            let (why, how) = (why.unwrap_or_default(), how.unwrap_or_default());
            let message = format!("{server:?} is gone{why}{how}; {sent}");
            Problem::new(Exit::Unavailable, message).last_words(server, stderr_tail)
        }
        CallError::Rpc(error) => {
            Problem::new(Exit::ToolError, format!("the server answered with {error}"))
        }
        CallError::InputRefused { .. } => Problem::new(Exit::ToolError, error)
            .hint("the command line cannot answer questions of servers"),
        CallError::Unavailable { server, reason } => Problem::new(
            Exit::Unavailable,
            format!("{server:?} is unavailable: {reason}"),
        ),
        CallError::Overloaded { .. }
        | CallError::Cancelled { .. }
        | CallError::Protocol { .. }
        | CallError::ShuttingDown
        | _ => Problem::new(Exit::Unavailable, error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcp_fleet_core::{Exit as ProcessExit, RpcError, Sent};

    use super::*;

    fn name() -> ServerName {
        ServerName::new("files").unwrap()
    }

    #[test]
    fn every_call_error_has_its_exit_code() {
        let gone = CallError::ServerGone {
            server: name(),
            reason: None,
            exit: Some(ProcessExit::Code(9)),
            stderr_tail: "boom\n".to_owned(),
            sent: Sent::Unknown,
        };
        let problem = of_call(&gone);
        assert_eq!(problem.exit.code(), 3);
        assert_eq!(
            problem.message,
            "\"files\" is gone (exit status 9); it may have run"
        );
        assert_eq!(
            problem.stderr,
            Some(("files".to_owned(), "boom".to_owned()))
        );
        let timed_out = CallError::TimedOut {
            after: Duration::from_millis(1500),
            sent: Sent::Unknown,
        };
        assert_eq!(of_call(&timed_out).exit.code(), 4);
        assert!(of_call(&timed_out).hint.is_some());
        let rpc = RpcError {
            code: -32602,
            message: "no tool".to_owned(),
            data: None,
        };
        assert_eq!(of_call(&CallError::Rpc(rpc)).exit.code(), 1);
        assert_eq!(of_call(&CallError::ShuttingDown).exit.code(), 3);
        let missing = CallError::NotFound {
            server: "x".to_owned(),
            near: None,
        };
        assert_eq!(of_call(&missing).exit.code(), 2);
    }

    #[test]
    fn every_failure_to_start_has_its_exit_code() {
        let late = Failure::StartTimedOut {
            after: Duration::from_secs(60),
            probe: None,
            stderr_tail: "downloading".to_owned(),
        };
        let problem = of_command(&CommandError::Failed {
            server: name(),
            failure: late,
        });
        assert_eq!(
            (problem.exit.code(), problem.message.as_str()),
            (4, "\"files\" was not ready within 60 s")
        );
        let cold = Failure::StartTimedOut {
            after: Duration::from_secs(60),
            probe: Some("up failed".to_owned()),
            stderr_tail: String::new(),
        };
        let problem = of_command(&CommandError::Failed {
            server: name(),
            failure: cold,
        });
        assert_eq!(
            problem.message,
            "\"files\" was not ready within 60 s: its startup probe never succeeded: up failed"
        );
        let early = Failure::EndedEarly {
            exit: None,
            stderr_tail: String::new(),
        };
        let problem = of_failure(&name(), &early);
        assert_eq!((problem.exit.code(), problem.stderr), (3, None));
        assert_eq!(
            of_command(&CommandError::FleetFull { limit: 1 })
                .exit
                .code(),
            2
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let problem = Problem::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!(problem.exit, Exit::Success);
        assert_eq!(
            Problem::output(&io::ErrorKind::StorageFull.into()).exit,
            Exit::Usage
        );
    }

    #[test]
    fn signals_end_as_shells_expect() {
        assert_eq!(
            (Exit::Signal(2).code(), Exit::Signal(15).code()),
            (130, 143)
        );
    }
}
