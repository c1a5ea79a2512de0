//! One client of a fleet, as the application holds it.

use std::{fmt, sync::Arc};

use async_channel::Sender;
use mcp_fleet_core::{CallOptions, ClientId, RawJson, Request};

use crate::{call::PendingCall, error::ExecuteError, handle::McpRuntime, message::Control};

/// One client of a fleet: whoever makes calls through the application, such as one connection.
///
/// Clients take turns where calls have to wait, so that one that floods a server holds up the
/// others by no more than their number. Clones are the same client. When the last of them is
/// dropped the client is gone: all its calls that have not ended are given up, as if each had been
/// cancelled, and their places are free. Only a call that still waits for a place in the inbox is
/// its caller's to drop.
#[derive(Clone)]
pub struct Client {
    runtime: McpRuntime,
    presence: Arc<Presence>,
}

/// Says that the client is gone when it is dropped.
struct Presence {
    id: ClientId,
    control: Sender<Control>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // A fleet that is gone has no calls either.
        let gone = Control::ClientGone { client: self.id };
        self.control.try_send(gone).ok();
    }
}

impl Client {
    pub(crate) fn new(runtime: McpRuntime, id: ClientId, control: Sender<Control>) -> Self {
        Self {
            runtime,
            presence: Arc::new(Presence { id, control }),
        }
    }

    /// The client's id, as calls and the journal have it.
    pub fn id(&self) -> ClientId {
        self.presence.id
    }

    /// The handle on the fleet.
    pub const fn runtime(&self) -> &McpRuntime {
        &self.runtime
    }

    /// Starts a call of this client and returns at once. [`CallOptions::client`] is set to it.
    pub fn start_call(
        &self,
        server: impl Into<String>,
        request: Request,
        options: CallOptions,
    ) -> PendingCall {
        let client = Some(self.presence.id);
        let options = CallOptions { client, ..options };
        self.runtime.start_call(server, request, options)
    }

    /// Makes a call of this client and waits for its result as it stood on the wire.
    ///
    /// # Errors
    /// Why there is no result.
    pub async fn execute(
        &self,
        server: impl Into<String>,
        request: Request,
    ) -> Result<RawJson, ExecuteError> {
        self.start_call(server, request, CallOptions::default())
            .await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.presence.id).finish()
    }
}
