//! The actor's end of the journal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use futures::channel::oneshot;
use mcp_fleet_core::{
    Effect, Input, McpCommand, Request, Signal, config::FleetConfig, journal::Entry,
};

use super::{JOURNAL_QUEUE_BYTES_MAX, JOURNAL_QUEUE_MAX, Journal, writer::Writer};

/// What a turn holds beside its bytes, about.
const TURN_BYTES: usize = 512;

/// Hands turns to the thread that writes them, and never waits for it.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: SyncSender<Told>,
    counts: Arc<Counts>,
    written: oneshot::Receiver<()>,
    /// How long to wait in the end for a sink that takes nothing.
    patience: Duration,
}

/// One turn on its way to the journal.
#[derive(Debug)]
pub(super) struct Told {
    /// Counted from 1, those that were left out included.
    pub(super) turn: u64,
    pub(super) entry: Entry,
    pub(super) weight: usize,
}

/// What both ends know.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Turns so far.
    pub(super) turns: AtomicU64,
    /// Bytes in the queue.
    pub(super) queued: AtomicUsize,
}

impl Recorder {
    /// Starts the thread that writes. `None` where there can be none, which is logged.
    pub(crate) fn start(journal: Journal, config: &FleetConfig, seed: u64) -> Option<Self> {
        let (queue, told) = sync_channel(JOURNAL_QUEUE_MAX);
        let (ended, written) = oneshot::channel();
        let counts = Arc::new(Counts::default());
        let patience = journal.patience;
        let config = config.clone();
        let shared = Arc::clone(&counts);
        let work = move || {
            if let Err(error) = Writer::new(journal, shared).write(config, seed, &told) {
                tracing::error!(%error, "the journal cannot be written; it ends here");
            }
            drop(ended);
        };
        let thread = thread::Builder::new().name("mcp-fleet-journal".to_owned());
        if let Err(error) = thread.spawn(work) {
            tracing::error!(%error, "no thread for the journal; none is written");
            return None;
        }
        Some(Self {
            queue,
            counts,
            written,
            patience,
        })
    }

    /// Records one turn, or counts it where too much waits. `false` where nobody writes any more.
    pub(crate) fn record(&self, entry: Entry) -> bool {
        let turn = self.counts.turns.fetch_add(1, Ordering::Relaxed) + 1;
        let weight = weigh(&entry);
        let queued = self.counts.queued.fetch_add(weight, Ordering::Relaxed);
        let told = Told {
            turn,
            entry,
            weight,
        };
        let full = queued.saturating_add(weight) > JOURNAL_QUEUE_BYTES_MAX && queued > 0;
        let outcome = if full {
            Err(TrySendError::Full(told))
        } else {
            self.queue.try_send(told)
        };
        match outcome {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.counts.queued.fetch_sub(weight, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// How much is not written yet.
    pub(crate) fn backlog(&self) -> Backlog {
        Backlog(Arc::clone(&self.counts))
    }

    /// Waits until all that was recorded is written and flushed.
    pub(crate) async fn finish(self) {
        let Self { queue, written, .. } = self;
        drop(queue);
        // The other end says nothing; it goes when all is done.
        let _gone = written.await.is_err();
    }
}

/// What waits to be written.
#[derive(Debug)]
pub(crate) struct Backlog(Arc<Counts>);

impl Backlog {
    pub(crate) fn bytes(&self) -> usize {
        self.0.queued.load(Ordering::Relaxed)
    }
}

fn weigh(entry: &Entry) -> usize {
    let input = match &entry.input {
        Some(Input::Signal(Signal::Bytes { bytes, .. } | Signal::Stderr { bytes, .. })) => {
            bytes.len()
        }
        Some(Input::Command(McpCommand::Execute {
            request:
                Request::Tool {
                    arguments: value, ..
                }
                | Request::Method { params: value, .. },
            ..
        })) => value.as_ref().map_or(0, |value| value.as_str().len()),
        Some(_) | None => 0,
    };
    let effects = entry.effects.iter().map(|effect| match effect {
        Effect::Send { bytes, .. } => bytes.len(),
        Effect::Open { .. }
        | Effect::CloseInput { .. }
        | Effect::Terminate { .. }
        | Effect::Kill { .. }
        | Effect::Abandon { .. } => 0,
    });
    effects.fold(TURN_BYTES.saturating_add(input), usize::saturating_add)
}
