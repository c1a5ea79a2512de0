//! The one asynchronous loop of mcp-fleet, generic over [`AsyncRuntime`].
//!
//! [`RuntimeActor`] owns the pure machine of `mcp-fleet-core` and the [`Links`] that make its
//! effects real; [`McpRuntime`] is the handle that callers share; [`McpManagerV2`] adds the
//! configuration. No type of any async runtime is in a public signature here: streams are those of
//! `futures`, and a shim such as `mcp-fleet-tokio` supplies tasks, sleep and processes.
//!
//! Child processes are started by threads that live as long as the fleet, each in a process group
//! of its own; groups are signalled as a whole, and who left a group is found by a mark in its
//! environment, on Linux. A small guard process kills what is left if the host is killed. Unix only.

mod actor;
mod call;
mod client;
mod discovery;
mod error;
mod events;
mod handle;
mod in_process;
mod journal;
mod links;
mod log;
mod manager;
mod message;
mod process;
mod registry;
mod result;
mod runtime;
mod waiters;

#[doc(no_inline)]
pub use futures::future::BoxFuture;

pub use crate::{
    actor::RuntimeActor,
    call::{PendingCall, Progress, ProgressStream},
    client::Client,
    discovery::{CONFIG_BYTES_MAX, discover, read_config, read_text},
    error::{ExecuteError, ManageError, StartError},
    events::{Events, Update},
    handle::{McpRuntime, RuntimeOptions},
    in_process::{
        InProcessServer, Tool, ToolAnnotations, ToolCall, ToolOutput, serve, serve_streams,
    },
    journal::{JOURNAL_BYTES_MAX, JOURNAL_QUEUE_BYTES_MAX, JOURNAL_QUEUE_MAX, Journal},
    links::{LINK_CHUNKS_MAX, Links, SIGNALS_MAX, Signals},
    manager::McpManagerV2,
    registry::Registry,
    result::ToolResult,
    runtime::{AsyncRuntime, Child, Process},
};
