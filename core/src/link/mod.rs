//! The channel of one incarnation: frames out with credit, lines in.

mod outbox;

pub(crate) use self::outbox::{Note, Outbox};

use bytes::Bytes;

use crate::{
    config::ServerLimits,
    effect::Effect,
    error::Sent,
    ids::LinkId,
    planted::{Bug, planted},
    wire::{LineTooLong, Lines},
};

/// A byte stream in each direction that carries one message a line: standard input and output of
/// a child process, an attached pair of streams, or the queue of an in-process server.
#[derive(Debug)]
pub(crate) struct Link {
    id: LinkId,
    lines: Lines,
    /// Bytes given to the driver since the link opened.
    handed: u64,
    /// Bytes the driver wrote since.
    wrote: u64,
    write_bytes_max: u64,
    /// Nothing more may be written.
    closed: bool,
}

impl Link {
    pub(crate) fn new(id: LinkId, limits: &ServerLimits) -> Self {
        Self {
            id,
            lines: Lines::new(limits.line_bytes),
            handed: 0,
            wrote: 0,
            write_bytes_max: limits.write_bytes,
            closed: false,
        }
    }

    /// Hands a frame to the driver; drops it where the write side is closed. The answer is where
    /// it begins in the stream, for [`Link::sent`].
    pub(crate) fn send(&mut self, frame: Bytes, out: &mut Outbox) -> u64 {
        let start = self.handed;
        if self.closed {
            return start;
        }
        self.handed += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        out.effect(Effect::Send {
            link: self.id,
            bytes: frame,
        });
        start
    }

    /// Closes the write side (first rung of the close ladder).
    pub(crate) fn close(&mut self, out: &mut Outbox) {
        self.closed = true;
        out.effect(Effect::CloseInput { link: self.id });
    }

    pub(crate) const fn on_wrote(&mut self, bytes: u64) {
        self.wrote = self.wrote.saturating_add(bytes);
    }

    pub(crate) fn on_bytes(&mut self, bytes: Bytes) {
        self.lines.push(bytes);
    }

    /// What is left when the stream has ended.
    pub(crate) fn last_line(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        self.lines.finish()
    }

    pub(crate) fn next_line(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        self.lines.next_line()
    }

    pub(crate) const fn retune(&mut self, limits: &ServerLimits) {
        self.write_bytes_max = limits.write_bytes;
        self.lines.set_line_bytes_max(limits.line_bytes);
    }

    /// Whether a call may be sent: less than the limit is on its way.
    pub(crate) const fn has_credit(&self) -> bool {
        self.handed.saturating_sub(self.wrote) < self.write_bytes_max
    }

    /// Whether an answer to the server may be sent. A server that asks without reading would make
    /// us hold its answers without bound.
    pub(crate) const fn has_credit_for_answers(&self) -> bool {
        self.handed.saturating_sub(self.wrote) < self.write_bytes_max.saturating_mul(2)
    }

    /// Whether the frame that began at `start` may have reached the server. Exact once the link is
    /// closed, because the driver reports all it wrote before that.
    pub(crate) const fn sent(&self, start: u64) -> Sent {
        let missed = if planted(Bug::SentNoAfterWrite) {
            64
        } else {
            0
        };
        if self.wrote > start + missed {
            Sent::Unknown
        } else {
            Sent::No
        }
    }
}
