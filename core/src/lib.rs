//! The pure machine of mcp-fleet.
#![forbid(unsafe_code)]

mod chunk;
pub mod config;
mod effect;
mod error;
mod event;
#[cfg(any(fuzzing, feature = "__fuzzing", test))]
pub mod fuzzing;
mod ids;
mod input;
mod stats;
mod time;
pub mod wire;

pub use crate::{
    effect::Effect,
    error::{CallError, CommandError, Exit, Failure, RpcError, Sent},
    event::{CatalogKind, Event, Health, Implementation, Reply, ServerInfo, ServerState},
    ids::{CallId, CommandId, InputId, InvalidName, LinkId, ServerId, ServerName},
    input::{CallOptions, Input, McpCommand, Request, Signal},
    stats::{ErrorCounts, FleetStats, Latency, ServerStats},
    time::Time,
    wire::{Era, RawJson, Revision},
};
