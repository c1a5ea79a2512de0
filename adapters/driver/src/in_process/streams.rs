//! The same over byte streams.

use std::sync::Arc;

use async_channel::{Receiver, Sender};
use bytes::{Bytes, BytesMut};
use futures::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
    future::{Either, join, select},
};

use super::{InProcessServer, serve};

/// The longest line that is read; a longer one ends the connection.
const LINE_BYTES_MAX: usize = 16 << 20;
/// How much is asked of the reader at once.
const READ_BYTES: usize = 64 << 10;
/// Frames that wait between the streams and the server, in each direction.
const FRAMES_MAX: usize = 64;
/// Answers are joined into one write up to about this size.
const WRITE_BYTES: usize = 256 << 10;

/// Speaks the protocol for `server` over a pair of byte streams, as [`serve`] does over frames.
///
/// Ends when `reader` does and every call is answered, or when `writer` fails. A line of more than
/// 16 MiB is taken for the end of the input, and so is an error of the reader.
pub async fn serve_streams(
    server: Arc<dyn InProcessServer>,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
) {
    let (frames, incoming) = async_channel::bounded(FRAMES_MAX);
    let (out, outgoing) = async_channel::bounded(FRAMES_MAX);
    let reading = std::pin::pin!(read_lines(reader, frames));
    let serving = serve(server, incoming.clone(), out);
    let writing = async {
        write_all(writer, outgoing).await;
        // Nobody hears the answers: no more questions are taken.
        incoming.close();
    };
    let working = std::pin::pin!(join(serving, writing));
    // The reader of a pipe may never end by itself, so the work alone decides.
    if let Either::Left(((), working)) = select(reading, working).await {
        working.await;
    }
}

/// Passes on whole lines, as many together as came together.
async fn read_lines(mut reader: impl AsyncRead + Unpin, frames: Sender<Bytes>) {
    let mut buffer = BytesMut::new();
    let mut scanned = 0;
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let Ok(count @ 1..) = reader.read(&mut chunk).await else {
            return;
        };
        buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let fresh = buffer.get(scanned..).unwrap_or_default();
        if let Some(last) = memchr::memrchr(b'\n', fresh) {
            let lines = buffer.split_to(scanned + last + 1).freeze();
            if frames.send(lines).await.is_err() {
                return;
            }
        } else if buffer.len() > LINE_BYTES_MAX {
            return;
        }
        scanned = buffer.len();
    }
}

/// Writes all that is queued in one go, until the queue ends or the writer fails.
async fn write_all(mut writer: impl AsyncWrite + Unpin, outgoing: Receiver<Bytes>) {
    let mut buffer = Vec::new();
    while let Ok(line) = outgoing.recv().await {
        buffer.clear();
        buffer.extend_from_slice(&line);
        while buffer.len() < WRITE_BYTES {
            let Ok(line) = outgoing.try_recv() else { break };
            buffer.extend_from_slice(&line);
        }
        if writer.write_all(&buffer).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    let _already_closed = writer.close().await.is_err();
}
