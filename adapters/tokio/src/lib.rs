//! mcp-fleet on tokio.

mod runtime;

pub use crate::runtime::{Tokio, TokioChild};
