//! The command line, environment and last preparations of a child.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio as Pipe},
};

use mcp_fleet_core::{ServerName, config::Stdio};
use rustix::{io::Errno, process};

use super::mark::{self, Mark};

/// Variables of the host that every child gets, beside all that begin with `LC_`.
const INHERITED: [&str; 7] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "SHELL"];

/// The variable by which a process tells that it descends from a fleet, and from which server.
const MARKER: &str = "MCP_FLEET_SERVER";

/// A child to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    server: ServerName,
    stdio: Stdio,
}

/// Why a child could not be started.
#[derive(Debug)]
pub(crate) struct LaunchError {
    /// For people: what happened, and what to check.
    pub(crate) message: String,
    /// Whether trying again without a change could help.
    pub(crate) transient: bool,
}

impl Launch {
    pub(crate) const fn new(server: ServerName, stdio: Stdio) -> Self {
        Self { server, stdio }
    }

    /// The command to start from the calling thread, which must outlive the child.
    pub(super) fn command(&self, mark: &Mark) -> Command {
        let mut command = Command::new(&self.stdio.command);
        command
            .args(&self.stdio.args)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_inherited(name)))
            .envs(&self.stdio.env)
            .env(MARKER, self.server.as_str())
            .env(mark::VARIABLE, mark.to_string())
            .stdin(Pipe::piped())
            .stdout(Pipe::piped())
            .stderr(Pipe::piped())
            .process_group(0);
        if let Some(cwd) = &self.stdio.cwd {
            command.current_dir(cwd);
        }
        let parent = process::getpid();
        let prepare = move || prepare_child(parent);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. `prepare_child`
        // makes system calls only; it neither allocates nor locks nor panics.
        #[allow(
            unsafe_code,
            reason = "a death signal can be asked for by the child only"
        )]
        unsafe {
            command.pre_exec(prepare);
        }
        command
    }

    /// What `error`, met when starting the command, means for whoever configured it.
    pub(crate) fn explain(&self, error: &io::Error) -> LaunchError {
        let command = &self.stdio.command;
        let errno = Errno::from_io_error(error);
        let transient = matches!(
            errno,
            Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY)
        );
        LaunchError {
            message: self.message(command, errno, error),
            transient,
        }
    }

    fn message(&self, command: &str, errno: Option<Errno>, error: &io::Error) -> String {
        if command.is_empty() {
            return "`command` is empty".to_owned();
        }
        if let Some(cwd) = &self.stdio.cwd
            && !Path::new(cwd).is_dir()
        {
            return format!("the working directory {cwd:?} does not exist; check `cwd`");
        }
        match errno {
            Some(Errno::NOENT) if !command.contains('/') => format!(
                "{command:?} was not found on PATH ({}); install it, or give its full path as \
                 `command`",
                self.search_path()
            ),
            Some(Errno::NOENT) if self.path_of(command).exists() => {
                format!("{command:?} exists, but the interpreter in its first line does not")
            }
            Some(Errno::NOENT) => format!("{command:?} does not exist; check `command`"),
            Some(Errno::ACCESS) if self.path_of(command).is_dir() => {
                format!("{command:?} is a directory; check `command`")
            }
            Some(Errno::ACCESS) => {
                format!("{command:?} is not executable for this user; try `chmod +x`")
            }
            Some(Errno::NOEXEC) => format!(
                "{command:?} is not a program of this machine: a script needs a first line \
                 `#!interpreter`"
            ),
            Some(Errno::TOOBIG) => {
                format!("cannot start {command:?}: arguments and environment are too long")
            }
            Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
                format!("cannot start {command:?}: the system is out of resources: {error}")
            }
            Some(_) | None => format!("cannot start {command:?}: {error}"),
        }
    }

    /// Where a command that is a path leads, as the child sees it.
    fn path_of(&self, command: &str) -> std::path::PathBuf {
        Path::new(self.stdio.cwd.as_deref().unwrap_or_default()).join(command)
    }

    fn search_path(&self) -> String {
        let inherited = || std::env::var("PATH").unwrap_or_default();
        self.stdio
            .env
            .get("PATH")
            .cloned()
            .unwrap_or_else(inherited)
    }
}

fn is_inherited(name: &OsString) -> bool {
    name.to_str()
        .is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
}

/// Runs in the child between fork and exec.
fn prepare_child(parent: process::Pid) -> io::Result<()> {
    default_dispositions();
    close_inherited_descriptors();
    #[cfg(target_os = "linux")]
    process::set_parent_process_death_signal(Some(process::Signal::KILL))?;
    // The parent may have died before the death signal was asked for.
    if process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(Errno::SRCH.into())
    }
}

/// Gives up what the host ignores: std resets the mask and SIGPIPE only, and a child that inherits
/// an ignored SIGTERM never leaves when asked to.
fn default_dispositions() {
    for signal in 1..32 {
        // SAFETY: `signal` changes the disposition in the child alone, is async-signal-safe, and
        // refuses numbers whose disposition cannot be changed.
        #[allow(unsafe_code, reason = "no safe interface changes a signal disposition")]
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Marks every descriptor beyond the three pipes to be closed by exec: libraries of the host may
/// have opened some without that mark.
fn close_inherited_descriptors() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes three integers and touches no memory. Where the kernel lacks it, it
    // fails, and the descriptors that std opened carry the mark anyway.
    #[allow(unsafe_code, reason = "no safe interface offers close_range")]
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::mark::FleetMark;

    fn explained(stdio: Stdio) -> LaunchError {
        let launch = Launch::new(ServerName::new("s").unwrap(), stdio);
        let mark = FleetMark::new().next(&0.into());
        launch.explain(&launch.command(&mark).spawn().unwrap_err())
    }

    fn command(command: &str) -> Stdio {
        Stdio {
            command: command.to_owned(),
            ..Stdio::default()
        }
    }

    #[test]
    fn a_missing_command_names_itself_and_the_path_that_was_searched() {
        let env = [("PATH".to_owned(), "/nowhere".to_owned())].into();
        let error = explained(Stdio {
            env,
            ..command("no-such-program")
        });
        assert_eq!(
            error.message,
            "\"no-such-program\" was not found on PATH (/nowhere); install it, or give its full \
             path as `command`"
        );
        assert!(!error.transient);
    }

    #[test]
    fn a_path_is_explained_by_what_is_there() {
        assert!(
            explained(command("/no/such"))
                .message
                .contains("does not exist")
        );
        assert!(explained(command("/dev/null")).message.contains("chmod +x"));
        assert!(explained(command("/")).message.contains("is a directory"));
        assert!(explained(command("")).message.contains("is empty"));
    }

    #[test]
    fn a_missing_working_directory_is_not_taken_for_a_missing_command() {
        let error = explained(Stdio {
            cwd: Some("/no/such/dir".to_owned()),
            ..command("sh")
        });
        assert!(
            error.message.contains("working directory \"/no/such/dir\""),
            "{}",
            error.message
        );
    }

    #[test]
    fn exhaustion_is_transient_and_a_wrong_command_is_not() {
        let launch = Launch::new(ServerName::new("s").unwrap(), command("sh"));
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE] {
            assert!(launch.explain(&errno.into()).transient, "{errno:?}");
        }
        assert!(!launch.explain(&Errno::NOEXEC.into()).transient);
    }
}
