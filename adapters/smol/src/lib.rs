//! mcp-fleet on smol.

mod runtime;

pub use crate::runtime::{Smol, SmolChild};
