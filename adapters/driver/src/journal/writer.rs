//! The thread that writes the journal.

use std::{
    io::{self, BufWriter, Write as _},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use mcp_fleet_core::{
    config::FleetConfig,
    journal::{Entry, Header, Mark, Redactor},
};

use super::{
    Journal, NextSink, Sink,
    recorder::{Counts, Told},
};

/// How long a turn may be held back because it ends in what may be the beginning of a secret.
const HELD_FOR: Duration = Duration::from_millis(500);
/// Room for the mark that ends a part.
const MARK_BYTES: u64 = 128;

/// Redacts turns and writes them where they belong.
pub(super) struct Writer {
    redactor: Redactor,
    parts: Parts,
    counts: Arc<Counts>,
    /// The turn that was taken last.
    taken: u64,
}

/// Where the journal goes: first the beginning, then the tail.
struct Parts {
    current: Option<Part>,
    next: Option<NextSink>,
    /// How long a part of the tail may be.
    tail_max: u64,
    /// Whether the current part is the beginning, which can be replayed.
    is_beginning: bool,
}

struct Part {
    sink: BufWriter<Sink>,
    left: u64,
    max: u64,
}

impl Writer {
    pub(super) fn new(journal: Journal, counts: Arc<Counts>) -> Self {
        let Journal {
            sink,
            tail,
            bytes_max,
            redaction,
            secrets,
            patience: _,
        } = journal;
        let mut redactor = Redactor::new(redaction);
        secrets.iter().for_each(|secret| redactor.know(secret));
        let (max, tail_max) = match tail {
            Some(_) => (bytes_max / 2, bytes_max / 4),
            None => (bytes_max, 0),
        };
        Self {
            redactor,
            parts: Parts {
                current: Some(Part::new(sink, max)),
                next: tail,
                tail_max,
                is_beginning: true,
            },
            counts,
            taken: 0,
        }
    }

    /// Writes until the other end is gone.
    ///
    /// # Errors
    /// Where a sink fails, or more secrets became known than can be looked for.
    pub(super) fn write(
        mut self,
        config: FleetConfig,
        seed: u64,
        told: &Receiver<Told>,
    ) -> io::Result<()> {
        let header = self.redactor.header(Header::new(config, seed));
        let line = self.redactor.line(&header)?;
        self.parts.write(1, &line)?;
        loop {
            match told.try_recv() {
                Ok(told) => self.take(told)?,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.parts.flush()?;
                    if !self.redactor.holds() {
                        match told.recv() {
                            Ok(told) => self.take(told)?,
                            Err(_) => break,
                        }
                        continue;
                    }
                    match told.recv_timeout(HELD_FOR) {
                        Ok(told) => self.take(told)?,
                        Err(RecvTimeoutError::Timeout) => {
                            self.redactor.settle();
                            self.write_decided()?;
                        }
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
            }
        }
        self.redactor.settle();
        self.write_decided()?;
        let turns = self.counts.turns.load(Ordering::Acquire);
        self.note_gap(turns.saturating_add(1))?;
        self.parts.flush()
    }

    fn take(&mut self, told: Told) -> io::Result<()> {
        let Told {
            turn,
            entry,
            weight,
        } = told;
        self.counts.queued.fetch_sub(weight, Ordering::Relaxed);
        self.note_gap(turn)?;
        self.taken = turn;
        self.redactor.push(turn, entry);
        if self.redactor.is_overwhelmed() {
            self.parts.flush()?;
            return Err(io::Error::other("too many secrets to look for"));
        }
        self.write_decided()
    }

    /// Marks turns that were left out before this one.
    fn note_gap(&mut self, turn: u64) -> io::Result<()> {
        let turns = turn.saturating_sub(self.taken).saturating_sub(1);
        if turns == 0 {
            return Ok(());
        }
        tracing::warn!(
            turns,
            "the journal is behind and leaves turns out; it can be replayed up to here"
        );
        self.redactor.lose();
        self.write_decided()?;
        self.parts.gap(turn, turns)
    }

    fn write_decided(&mut self) -> io::Result<()> {
        while let Some((turn, entry)) = self.redactor.pop() {
            self.write_entry(turn, &entry)?;
        }
        Ok(())
    }

    fn write_entry(&mut self, turn: u64, entry: &Entry) -> io::Result<()> {
        match self.redactor.line(entry) {
            Ok(line) => self.parts.write(turn, &line),
            Err(error) => {
                tracing::warn!(turn, %error, "a turn cannot be shown, and is left out");
                self.parts.gap(turn.saturating_add(1), 1)
            }
        }
    }
}

impl Parts {
    /// Writes the line of this turn.
    fn write(&mut self, turn: u64, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let Some(part) = &mut self.current else {
            return Ok(());
        };
        if length.saturating_add(MARK_BYTES) <= part.left {
            return part.write(line);
        }
        if self.is_beginning {
            let bytes = part.max;
            let tail = self.next.is_some();
            tracing::warn!(
                bytes,
                turn,
                "the journal is full; it can be replayed up to here"
            );
            part.mark(&Mark::Full { bytes, tail })?;
        }
        self.turn_over(turn)?;
        match &mut self.current {
            Some(part) if length.saturating_add(MARK_BYTES) <= part.left => part.write(line),
            // Longer than a whole part.
            Some(part) => part.mark(&Mark::Gap { turns: 1 }),
            None => Ok(()),
        }
    }

    /// So many turns before this one are missing.
    fn gap(&mut self, turn: u64, turns: u64) -> io::Result<()> {
        if let Some(part) = &mut self.current
            && part.left >= MARK_BYTES
        {
            part.mark(&Mark::Gap { turns })?;
        }
        // What goes on after a gap is no beginning any more.
        if self.is_beginning {
            self.turn_over(turn)?;
        }
        Ok(())
    }

    /// Begins the next part of the tail, where there is one.
    fn turn_over(&mut self, turn: u64) -> io::Result<()> {
        self.flush()?;
        self.is_beginning = false;
        self.current = None;
        if let Some(next) = &mut self.next {
            let mut part = Part::new(next()?, self.tail_max);
            part.mark(&Mark::Continues { turn })?;
            self.current = Some(part);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.current {
            Some(part) => part.sink.flush(),
            None => Ok(()),
        }
    }
}

impl Part {
    fn new(sink: Sink, max: u64) -> Self {
        Self {
            sink: BufWriter::new(sink),
            left: max,
            max,
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.left = self
            .left
            .saturating_sub(u64::try_from(line.len()).unwrap_or(u64::MAX));
        self.sink.write_all(line)
    }

    fn mark(&mut self, mark: &Mark) -> io::Result<()> {
        self.write(format!("{}\n", mark.line()).as_bytes())
    }
}
