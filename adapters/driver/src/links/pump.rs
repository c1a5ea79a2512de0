//! Pumps: bytes between a stream and the machine.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use async_channel::{Receiver, Sender};
use bytes::{Buf, Bytes, BytesMut};
use futures::{
    channel::oneshot,
    future::{Either, FusedFuture, select},
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
};
use mcp_fleet_core::{LinkId, Signal};

use super::Teller;
use crate::runtime::AsyncRuntime;

/// First size of a read buffer: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Largest size of a read buffer, for streams that hold more than a pipe.
const READ_BYTES_MAX: usize = 1 << 20;
/// What was read is copied up to this size, so that a short message does not keep a long buffer.
const COPY_BYTES_MAX: usize = 4 << 10;
/// Reads in a row before other tasks get their turn.
const READS_IN_A_ROW: u32 = 16;
/// Frames that are queued go out in one write up to this size; longer ones go alone.
const BATCH_BYTES_MAX: usize = 64 << 10;
/// Newest bytes of standard error that one signal carries.
const STDERR_BYTES_MAX: usize = 8 << 10;
/// How long the end of a server waits for the end of its standard error, which says why.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Reads as much as there is until the stream ends, then says so.
pub(super) async fn read<R: AsyncRuntime>(
    link: LinkId,
    mut stream: impl AsyncRead + Unpin,
    signals: Teller,
    last_words: LastWords<R>,
) {
    let mut buffer = BytesMut::zeroed(READ_BYTES);
    let mut size = READ_BYTES;
    let mut turns = Turns::default();
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => {
                let full = count == buffer.len();
                let bytes = take(&mut buffer, count);
                if buffer.is_empty() {
                    size = if full {
                        (size * 2).min(READ_BYTES_MAX)
                    } else {
                        size
                    };
                    buffer = BytesMut::zeroed(size);
                }
                signals.tell(Signal::Bytes { link, bytes }).await;
            }
            Err(error) if is_interrupted(&error) => {}
            Err(error) => {
                tracing::debug!(%link, %error, "reading failed; taken for the end of the stream");
                break;
            }
        }
        turns.take().await;
    }
    last_words.heard().await;
    signals.tell(Signal::Eof { link }).await;
}

/// The first `count` bytes of `buffer`, which keeps the rest.
fn take(buffer: &mut BytesMut, count: usize) -> Bytes {
    if count <= COPY_BYTES_MAX {
        let head = buffer.get(..count).unwrap_or_default();
        return Bytes::copy_from_slice(head);
    }
    buffer.split_to(count).freeze()
}

/// Writes frames in order until `frames` is closed and empty, the stream breaks, or `stop` fires.
///
/// Every byte that the system took is reported, also of a frame that broke off.
pub(super) async fn write(
    link: LinkId,
    mut stream: impl AsyncWrite + Unpin,
    frames: Receiver<Bytes>,
    mut stop: oneshot::Receiver<()>,
    signals: Teller,
) {
    let mut held = None;
    loop {
        let first = match held.take() {
            Some(frame) => frame,
            None => match select(&mut stop, pin!(frames.recv())).await {
                Either::Left(_) => return,
                Either::Right((Ok(frame), _)) => frame,
                Either::Right((Err(_), _)) => break,
            },
        };
        let mut batch = gather(first, &frames, &mut held);
        while !batch.is_empty() {
            let written = match select(&mut stop, stream.write(&batch)).await {
                Either::Left(_) => return,
                Either::Right((Ok(0), _)) => Err("the stream takes no more bytes".to_owned()),
                Either::Right((Ok(count), _)) => Ok(count),
                Either::Right((Err(error), _)) if is_interrupted(&error) => continue,
                Either::Right((Err(error), _)) => Err(error.to_string()),
            };
            match written {
                Ok(count) => {
                    batch.advance(count.min(batch.len()));
                    signals
                        .tell(Signal::Wrote {
                            link,
                            bytes: count as u64,
                        })
                        .await;
                }
                Err(message) => {
                    frames.close();
                    signals.tell(Signal::WriteFailed { link, message }).await;
                    return;
                }
            }
        }
    }
    // The peer sees the end by the close itself; whether it minds changes nothing here.
    if !stop.is_terminated()
        && let Either::Right((Err(error), _)) = select(&mut stop, stream.close()).await
    {
        tracing::debug!(%link, %error, "closing the write side failed");
    }
}

/// All frames that are queued, as one run of bytes; the one that does not fit is held back.
fn gather(first: Bytes, frames: &Receiver<Bytes>, held: &mut Option<Bytes>) -> Bytes {
    let mut batch = BytesMut::new();
    while let Ok(frame) = frames.try_recv() {
        if first.len() + batch.len() + frame.len() > BATCH_BYTES_MAX {
            *held = Some(frame);
            break;
        }
        if batch.is_empty() {
            batch.reserve(BATCH_BYTES_MAX);
            batch.extend_from_slice(&first);
        }
        batch.extend_from_slice(&frame);
    }
    if batch.is_empty() {
        first
    } else {
        batch.freeze()
    }
}

/// Always reads standard error, whether or not the machine has room for what it says.
///
/// What the machine has no room for is reduced to its newest bytes. `ended` is dropped at the end.
pub(super) async fn drain_stderr(
    link: LinkId,
    mut stream: impl AsyncRead + Unpin,
    signals: Teller,
    ended: Sender<std::convert::Infallible>,
) {
    let mut buffer = vec![0; READ_BYTES];
    let mut tail = Tail::default();
    let mut turns = Turns::default();
    loop {
        let count = if tail.bytes.is_empty() {
            stream.read(&mut buffer).await
        } else {
            let sending = pin!(signals.tell(tail.signal(link)));
            match select(sending, stream.read(&mut buffer)).await {
                Either::Left(((), _)) => {
                    tail = Tail::default();
                    continue;
                }
                Either::Right((count, _)) => count,
            }
        };
        match count {
            Ok(0) => break,
            Ok(count) => tail.push(buffer.get(..count).unwrap_or_default()),
            Err(error) if is_interrupted(&error) => {}
            Err(error) => {
                tracing::debug!(%link, %error, "reading standard error failed");
                break;
            }
        }
        turns.take().await;
    }
    if !tail.bytes.is_empty() {
        signals.tell(tail.signal(link)).await;
    }
    drop(ended);
}

/// The newest bytes of standard error, and how many went before them.
#[derive(Default)]
struct Tail {
    bytes: BytesMut,
    dropped: u64,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let excess = self.bytes.len().saturating_sub(STDERR_BYTES_MAX);
        self.bytes.advance(excess);
        self.dropped += excess as u64;
    }

    fn signal(&self, link: LinkId) -> Signal {
        let bytes = Bytes::copy_from_slice(&self.bytes);
        Signal::Stderr {
            link,
            bytes,
            dropped: self.dropped,
        }
    }
}

/// The end of standard error, waited for a little while: whoever reports the end of a server waits
/// for its last words, but not for a grandchild that holds the pipe.
#[derive(Clone)]
pub(super) struct LastWords<R: AsyncRuntime> {
    runtime: R,
    ended: Receiver<std::convert::Infallible>,
}

impl<R: AsyncRuntime> LastWords<R> {
    /// The sender goes to [`drain_stderr`], or is dropped where there is no standard error.
    pub(super) fn new(runtime: R) -> (Self, Sender<std::convert::Infallible>) {
        let (sender, ended) = async_channel::bounded(1);
        (Self { runtime, ended }, sender)
    }

    pub(super) async fn heard(&self) {
        let deadline = self.runtime.now() + LAST_WORDS;
        select(
            pin!(self.ended.recv()),
            pin!(self.runtime.sleep_until(deadline)),
        )
        .await;
    }
}

/// Lets other tasks run once in a while, however much there is to do.
#[derive(Default)]
struct Turns(u32);

impl Turns {
    async fn take(&mut self) {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(READS_IN_A_ROW) {
            give_way().await;
        }
    }
}

fn is_interrupted(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::Interrupted
}

/// Ends when the executor comes back to the task.
pub(crate) async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
