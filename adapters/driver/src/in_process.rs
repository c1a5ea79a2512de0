//! Servers that live in the application's own process.

use std::sync::Arc;

use async_channel::{Receiver, Sender};
use bytes::Bytes;

/// A server of the application's own process.
pub trait InProcessServer: Send + Sync + 'static {}

/// Serves one session: answers `frames` on `out` until `frames` is closed.
pub async fn serve(server: Arc<dyn InProcessServer>, frames: Receiver<Bytes>, out: Sender<Bytes>) {
    while frames.recv().await.is_ok() {}
    drop((server, out));
}
