//! What the actor told its machine, written down so that it can be replayed.

use std::{
    fmt,
    io::{self, BufWriter, Write},
};

use mcp_fleet_core::{
    config::FleetConfig,
    journal::{Entry, Header},
};

/// A sink for the journal of one fleet: a header and then one JSON line per turn, as
/// [`mcp_fleet_core::journal`] describes. Results and arguments of tools are in it.
///
/// It is written by the actor itself and flushed whenever the actor is idle, so it should not block
/// for long: a file or a buffer rather than a socket.
pub struct Journal(BufWriter<Box<dyn Write + Send>>);

impl Journal {
    /// Writes to `sink`.
    pub fn new(sink: impl Write + Send + 'static) -> Self {
        Self(BufWriter::new(Box::new(sink)))
    }

    pub(crate) fn begin(&mut self, config: FleetConfig, seed: u64) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, &Header::new(config, seed))?;
        self.0.write_all(b"\n")
    }

    pub(crate) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, entry)?;
        self.0.write_all(b"\n")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}
