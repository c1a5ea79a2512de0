//! The one async loop of mcp-fleet, generic over the runtime.
#![forbid(unsafe_code)]

pub mod in_process;
