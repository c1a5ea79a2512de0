//! What handles send to the actor.

use std::sync::Arc;

use async_channel::Sender;
use futures::channel::oneshot;
use mcp_fleet_core::{
    CallError, CallId, CallOptions, ClientId, CommandError, CommandId, McpCommand, RawJson, Reply,
    Request,
};

use crate::{call::Progress, events::Subscriber, in_process::InProcessServer, registry::Streams};

/// What waits its turn in the bounded inbox.
pub(crate) enum Message {
    Execute(Box<Execute>),
    Command {
        id: CommandId,
        command: McpCommand,
        waiter: oneshot::Sender<Result<Reply, CommandError>>,
        brought: Option<Brought>,
    },
}

/// A call and who waits for it.
pub(crate) struct Execute {
    pub(crate) call: CallId,
    pub(crate) server: String,
    pub(crate) request: Request,
    pub(crate) options: CallOptions,
    pub(crate) waiter: CallWaiter,
}

/// Where the outcome of a call goes.
pub(crate) struct CallWaiter {
    pub(crate) outcome: oneshot::Sender<Result<RawJson, CallError>>,
    pub(crate) progress: Option<Sender<Progress>>,
}

/// What comes along with the deployment of a server that is no process.
pub(crate) enum Brought {
    Server(Arc<dyn InProcessServer>),
    Streams(Streams),
}

/// What must neither wait nor be lost. Unbounded, because every entry stands for something that its
/// sender had: a call is cancelled once, a client goes once, a subscription comes with its queue.
/// The actor takes them before anything else.
pub(crate) enum Control {
    Cancel {
        call: CallId,
        reason: Option<String>,
    },
    ClientGone {
        client: ClientId,
    },
    Subscribe(Subscriber),
}
