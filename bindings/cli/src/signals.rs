//! SIGINT, SIGTERM and SIGHUP: the first asks for an orderly end, the second does not ask.

use std::{future::pending, io};

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::exit::Exit;

const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// The signals that end a run.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Absent where whoever started the program wants it to survive its terminal, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    /// Listens from here on.
    ///
    /// # Errors
    /// Where the operating system has no handler to spare.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if is_ignored(SIGHUP) {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// What the number of one of them is called.
    pub(crate) const fn name(number: u8) -> &'static str {
        match number {
            SIGHUP => "SIGHUP",
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            _ => "signal",
        }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Exit {
        select! {
            Some(()) = self.interrupt.recv() => Exit::Signal(SIGINT),
            Some(()) = self.terminate.recv() => Exit::Signal(SIGTERM),
            Some(()) = of(&mut self.hangup) => Exit::Signal(SIGHUP),
            else => pending().await,
        }
    }
}

async fn of(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => pending().await,
    }
}

/// Whether the program was started with `number` ignored, where the system tells.
fn is_ignored(number: u8) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_from_the_start_is_known() {
        // As in every Rust program.
        const SIGPIPE: u8 = 13;
        assert_eq!(is_ignored(SIGPIPE), cfg!(target_os = "linux"));
        assert!(!is_ignored(SIGTERM));
    }
}
