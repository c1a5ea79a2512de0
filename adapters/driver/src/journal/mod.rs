//! What the actor told its machine, written down so that it can be replayed.

mod recorder;
mod writer;

use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

use mcp_fleet_core::journal::Redaction;

pub(crate) use self::recorder::Recorder;

/// What a journal may grow to where nobody says: 128 MiB.
pub const JOURNAL_BYTES_MAX: u64 = 128 << 20;
/// How long the end of a shutdown waits where nobody says for a journal that takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Turns that wait to be written. Beyond it the journal is too far behind, and leaves turns out.
pub const JOURNAL_QUEUE_MAX: usize = 8192;
/// The same for the bytes that these turns hold.
pub const JOURNAL_QUEUE_BYTES_MAX: usize = 32 << 20;

/// A part of a journal.
pub(crate) type Sink = Box<dyn Write + Send>;
/// Makes the sink of the next part of the tail.
pub(crate) type NextSink = Box<dyn FnMut() -> io::Result<Sink> + Send>;

/// The journal of one fleet: where it goes, what is left out of it, and how long it may grow.
///
/// It is a header and then one JSON line per turn, as [`mcp_fleet_core::journal`] describes. Secrets
/// and payloads are left out ([`Journal::redaction`]). A thread of its own writes it, so that a sink
/// that blocks does not hold up the fleet: where more than [`JOURNAL_QUEUE_MAX`] turns or
/// [`JOURNAL_QUEUE_BYTES_MAX`] bytes wait, turns are left out, which ends what can be replayed and
/// is marked. What is written is flushed whenever nothing waits, and before the end of a shutdown
/// is told. A sink that fails ends the journal, and is logged.
pub struct Journal {
    sink: Sink,
    tail: Option<NextSink>,
    bytes_max: u64,
    redaction: Redaction,
    secrets: Vec<String>,
    patience: Duration,
}

impl Journal {
    /// Writes to `sink`.
    pub fn new(sink: impl Write + Send + 'static) -> Self {
        Self {
            sink: Box::new(sink),
            tail: None,
            bytes_max: JOURNAL_BYTES_MAX,
            redaction: Redaction::default(),
            secrets: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Lets the whole journal grow to `bytes`, which is [`JOURNAL_BYTES_MAX`] by default.
    #[must_use]
    pub const fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Writes the newest turns too, once the journal is at its limit. They can be shown, but not
    /// replayed.
    ///
    /// Half of the limit is for the beginning then, and a quarter for each part of the tail: `next`
    /// makes the sink of a part, and may forget all parts but the one before.
    #[must_use]
    pub fn tail<W: Write + Send + 'static>(
        mut self,
        mut next: impl FnMut() -> io::Result<W> + Send + 'static,
    ) -> Self {
        self.tail = Some(Box::new(move || next().map(|sink| Box::new(sink) as Sink)));
        self
    }

    /// What is left out; secrets and payloads by default.
    #[must_use]
    pub const fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// Takes secrets that are in no `env`, header or address of a server.
    #[must_use]
    pub fn secrets(mut self, secrets: impl IntoIterator<Item = String>) -> Self {
        self.secrets.extend(secrets);
        self
    }

    /// How long the end of a shutdown waits while the sink takes nothing; 5 s by default. What is
    /// not written then is lost where the process ends.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("bytes_max", &self.bytes_max)
            .field("redaction", &self.redaction)
            .finish_non_exhaustive()
    }
}
