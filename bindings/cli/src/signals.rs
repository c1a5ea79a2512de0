//! SIGINT and SIGTERM: the first asks for an orderly end, the second does not ask.

use std::{future::pending, io};

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::exit::Exit;

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// The signals that end a run.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
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
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Exit {
        select! {
            Some(()) = self.interrupt.recv() => Exit::Signal(SIGINT),
            Some(()) = self.terminate.recv() => Exit::Signal(SIGTERM),
            else => pending().await,
        }
    }
}
