//! The one async loop of mcp-fleet, generic over the runtime.
#![forbid(unsafe_code)]

mod in_process;

pub use crate::in_process::{
    InProcessServer, Tool, ToolAnnotations, ToolCall, ToolOutput, serve, serve_streams,
};
