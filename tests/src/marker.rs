//! Processes found by a variable that only they have.

use std::{
    fs, process,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{Launch, PATIENCE, Result};

const VARIABLE: &str = "MCP_FLEET_TEST_MARKER";

/// A value that no process has but those started with it, and their descendants.
#[derive(Debug)]
pub struct Marker(String);

/// A process with the marker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line, words apart by spaces.
    pub command: String,
}

impl Marker {
    /// A new one.
    #[allow(
        clippy::new_without_default,
        reason = "every marker differs from every other"
    )]
    pub fn new() -> Self {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        Self(format!(
            "{}-{}",
            process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        ))
    }

    /// The launch with the marker in its environment.
    pub fn mark(&self, launch: Launch) -> Launch {
        launch.env(VARIABLE, &self.0)
    }

    /// The variable that marks a process, and its value.
    pub fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// The processes that have it and are no zombies, in order of their ids.
    ///
    /// # Errors
    /// Where `/proc` cannot be read. A process that ends meanwhile is none.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let wanted = format!("{VARIABLE}={}", self.0);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // A zombie has no environment left.
            let Ok(environment) = fs::read(entry.path().join("environ")) else {
                continue;
            };
            if environment
                .split(|byte| *byte == 0)
                .any(|pair| pair == wanted.as_bytes())
            {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                found.push(Process {
                    pid,
                    command: command.trim_end().to_owned(),
                });
            }
        }
        found.sort_by_key(|process| process.pid);
        Ok(found)
    }

    /// Waits until no process has the marker.
    ///
    /// # Errors
    /// Where some are left after `patience`: who they are. They are killed.
    pub fn gone(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let left = self.processes()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                self.kill();
                return Err(format!("left after {patience:?}: {left:#?}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until `count` processes or more have the marker.
    ///
    /// # Errors
    /// Where they do not come.
    pub fn present(&self, count: usize) -> Result<Vec<Process>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.processes()?;
            if found.len() >= count {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(format!("expected {count} processes, found {found:#?}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&self) {
        for process in self.processes().unwrap_or_default() {
            // It may have ended by itself at last.
            drop(signal(process.pid, "KILL"));
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal, such as `TERM`, to one process.
///
/// # Errors
/// Where the process does not exist.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    // The shell's own `kill`: the program of that name is not on every machine.
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("no process {pid} for {name}").into())
    }
}
