//! The task of a link to a pair of byte streams.

use std::pin::pin;

use futures::{
    channel::oneshot,
    future::{Aborted, Either, abortable, join, select},
};
use mcp_fleet_core::Signal;

use super::{LinkEnds, pump};
use crate::{registry::Streams, runtime::AsyncRuntime};

/// Serves the link until both streams have ended, or a rung of the ladder cuts them.
pub(super) async fn run<R: AsyncRuntime>(ends: LinkEnds<R>, streams: Streams) {
    let LinkEnds {
        runtime,
        link,
        frames,
        rungs,
        signals,
    } = ends;
    signals.tell(Signal::Opened { link, pid: None }).await;
    let (last_words, no_stderr) = pump::LastWords::new(runtime);
    drop(no_stderr);
    let (stop, stopped) = oneshot::channel::<()>();
    let reading = pump::read(link, streams.reader, signals.clone(), last_words);
    let (reading, cut_reading) = abortable(reading);
    let writing = pump::write(link, streams.writer, frames, stopped, signals.clone());
    {
        let pumps = pin!(join(reading, writing));
        // There is no process to ask: both rungs, and the loss of the near end, cut the streams.
        if let Either::Left((_, pumps)) = select(pin!(rungs.recv()), pumps).await {
            cut_reading.abort();
            drop(stop);
            let (Ok(()) | Err(Aborted), ()) = pumps.await;
        }
    }
    signals.tell(Signal::Closed { link }).await;
    drop(rungs);
}
