//! The one asynchronous loop of mcp-fleet, generic over [`AsyncRuntime`].
//!
//! No type of any runtime is in a public signature here: streams are those of `futures`, and a
//! shim such as `mcp-fleet-tokio` supplies tasks, sleep and processes.

mod in_process;
mod links;
mod process;
mod registry;
mod runtime;

pub use crate::{
    in_process::{
        InProcessServer, Tool, ToolAnnotations, ToolCall, ToolOutput, serve, serve_streams,
    },
    links::{Links, SIGNALS_MAX},
    registry::Registry,
    runtime::{AsyncRuntime, Child, Process},
};
