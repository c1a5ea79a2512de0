//! Signals on their way to the machine, and the share of each link in them.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_channel::{Receiver, Sender};
use futures::Stream;
use mcp_fleet_core::Signal;

/// Signals on their way to the machine, over all links. A full queue stops the links from reading,
/// and so the servers from writing.
pub const SIGNALS_MAX: usize = 256;

/// Chunks of output, standard error included, that one link has on their way. Its flood stands
/// before the signals of another link with this many, not with all of [`SIGNALS_MAX`].
pub const LINK_CHUNKS_MAX: usize = 8;

/// The signals of all links, in the order in which they happened. It never ends as long as the
/// links live.
#[derive(Debug)]
pub struct Signals(Pin<Box<Receiver<Told>>>);

/// The end of the queue that one link has.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    queue: Sender<Told>,
    /// Holds one entry for each chunk on its way.
    shares: Sender<()>,
    taken: Receiver<()>,
}

#[derive(Debug)]
struct Told {
    signal: Signal,
    _share: Option<Share>,
}

/// A place among the [`LINK_CHUNKS_MAX`] of a link, given back when it is dropped.
#[derive(Debug)]
struct Share(Receiver<()>);

/// The near end of the queue, which every link gets its own end from.
#[derive(Debug)]
pub(super) struct Queue(Sender<Told>);

impl Queue {
    pub(super) fn new() -> (Self, Signals) {
        let (sender, receiver) = async_channel::bounded(SIGNALS_MAX);
        (Self(sender), Signals(Box::pin(receiver)))
    }

    pub(super) fn teller(&self) -> Teller {
        let (shares, taken) = async_channel::bounded(LINK_CHUNKS_MAX);
        Teller {
            queue: self.0.clone(),
            shares,
            taken,
        }
    }
}

impl Signals {
    /// The next signal; `None` when the links are gone.
    pub async fn recv(&self) -> Option<Signal> {
        let told = self.0.recv().await.ok()?;
        Some(told.signal)
    }

    /// How many signals wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no signal waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        let told = ready!(self.0.as_mut().poll_next(context));
        Poll::Ready(told.map(|told| told.signal))
    }
}

impl Drop for Signals {
    /// What stays in the queue would keep its shares, and links that wait for one.
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

impl Teller {
    /// Delivers `signal`, waiting for room. Where the machine is gone, nobody needs to know.
    pub(super) async fn tell(&self, signal: Signal) {
        let share = match signal {
            Signal::Bytes { .. } | Signal::Stderr { .. } => {
                self.shares.send(()).await.ok();
                Some(Share(self.taken.clone()))
            }
            Signal::Opened { .. }
            | Signal::OpenFailed { .. }
            | Signal::Eof { .. }
            | Signal::Wrote { .. }
            | Signal::WriteFailed { .. }
            | Signal::Exited { .. }
            | Signal::Closed { .. }
            | _ => None,
        };
        let told = Told {
            signal,
            _share: share,
        };
        self.queue.send(told).await.ok();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.try_recv().ok();
    }
}
