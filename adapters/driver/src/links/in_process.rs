//! The task of a link to a server of the application's own process.

use std::{pin::pin, sync::Arc};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures::future::{FutureExt, join, pending, select};
use mcp_fleet_core::{LinkId, Signal};

use super::{LinkEnds, Teller};
use crate::{
    in_process::{InProcessServer, serve},
    runtime::AsyncRuntime,
};

/// Frames between the link and the server, in each direction.
const FRAMES_MAX: usize = 64;

/// Serves the link until the server has answered everything after its input was closed, or a rung
/// of the ladder drops it.
pub(super) async fn run<R: AsyncRuntime>(ends: LinkEnds<R>, server: Arc<dyn InProcessServer>) {
    let LinkEnds {
        runtime: _,
        link,
        frames,
        rungs,
        signals,
    } = ends;
    signals.tell(Signal::Opened { link, pid: None }).await;
    let (frames_in, frames_taken) = async_channel::bounded(1);
    let (out, answers) = async_channel::bounded(FRAMES_MAX);
    {
        let served = pin!(join(
            serve(server, frames_taken, out),
            forward(link, answers, &signals)
        ));
        // The end of its input lets the server finish what it has.
        let handing = pin!(hand_over(link, frames, frames_in, &signals).then(|()| pending::<()>()));
        select(pin!(rungs.recv()), select(served, handing)).await;
    }
    signals.tell(Signal::Closed { link }).await;
    drop(rungs);
}

/// Gives the server its frames, and counts each as written when there was room for it.
async fn hand_over(link: LinkId, frames: Receiver<Bytes>, server: Sender<Bytes>, signals: &Teller) {
    while let Ok(frame) = frames.recv().await {
        let bytes = frame.len() as u64;
        if server.send(frame).await.is_err() {
            frames.close();
            let message = "the in-process server takes no more frames".to_owned();
            signals.tell(Signal::WriteFailed { link, message }).await;
            return;
        }
        signals.tell(Signal::Wrote { link, bytes }).await;
    }
}

async fn forward(link: LinkId, answers: Receiver<Bytes>, signals: &Teller) {
    while let Ok(bytes) = answers.recv().await {
        signals.tell(Signal::Bytes { link, bytes }).await;
    }
    signals.tell(Signal::Eof { link }).await;
}
