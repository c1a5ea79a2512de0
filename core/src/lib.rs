//! The pure machine of mcp-fleet: MCP servers deployed, supervised and called, with no I/O, clock,
//! thread, async, randomness or global state.
//!
//! [`Fleet`] consumes inputs and emits effects and events. Whoever drives it, be it the tokio or
//! smol adapter, a test, a fuzzer or a simulator, does so in one loop:
//!
//! 1. take one [`Input`] (a command or a signal) and call [`Fleet::handle_input`] with the time,
//!    or [`Fleet::handle_timeout`] when the deadline has passed;
//! 2. carry out all of [`Fleet::poll_effect`];
//! 3. pass on all of [`Fleet::poll_event`];
//! 4. wait for the next input until [`Fleet::poll_timeout`].
//!
//! **The one rule: one input, then drain effects, events and the deadline; then the next input.**
//!
//! ```
//! use mcp_fleet_core::{
//!     CommandId, Effect, Event, Fleet, McpCommand, ServerName, Signal, Time,
//!     config::{FleetConfig, Kind, ServerConfig, Stdio},
//! };
//!
//! let mut fleet = Fleet::new(FleetConfig::default(), 42);
//! let kind = Kind::Stdio(Stdio { command: "no-such-server".into(), ..Stdio::default() });
//! let config = Box::new(ServerConfig::new(ServerName::new("files").unwrap(), kind));
//! fleet.handle_input(Time::ZERO, McpCommand::Deploy { id: CommandId(1), config }.into());
//!
//! let Some(Effect::Open { link, .. }) = fleet.poll_effect() else { panic!() };
//! let told = std::iter::from_fn(|| fleet.poll_event()).count();
//! assert_eq!(told, 1); // the server is starting
//!
//! // The outside world answers every `Open` with exactly one terminal signal.
//! let message = "no program of that name".to_owned();
//! let signal = Signal::OpenFailed { link, message, transient: false };
//! fleet.handle_input(Time::from_millis(3), signal.into());
//! let outcome = std::iter::from_fn(|| fleet.poll_event())
//!     .find_map(|event| match event {
//!         Event::CommandEnded { id, outcome } if id == CommandId(1) => Some(outcome),
//!         _ => None,
//!     });
//! assert!(outcome.unwrap().is_err());
//! ```
//!
//! Inputs, effects and events are plain data, and time is an argument: a journal of inputs played
//! again gives the same effects, byte for byte ([`journal`]).
#![forbid(unsafe_code)]

mod chunk;
pub mod config;
mod effect;
mod error;
mod event;
mod fleet;
#[cfg(any(fuzzing, feature = "__fuzzing", test))]
pub mod fuzzing;
mod ids;
mod input;
pub mod journal;
mod link;
mod planted;
mod pool;
mod rng;
mod server;
mod session;
mod stats;
mod time;
pub mod wire;

pub use crate::{
    effect::Effect,
    error::{CallError, CommandError, Exit, Failure, Limit, Obstacle, RpcError, Sent},
    event::{
        BreakerState, CatalogKind, Event, Health, Implementation, ReloadReport, ReplicaInfo, Reply,
        ServerInfo, ServerState, WaitingFor,
    },
    fleet::Fleet,
    ids::{CallId, ClientId, CommandId, InputId, InvalidName, LinkId, ServerId, ServerName},
    input::{CallOptions, Input, McpCommand, Priority, Request, Signal},
    server::{Deadline, Timer},
    stats::{ErrorCounts, FleetStats, Latency, ServerStats},
    time::Time,
    wire::{Era, RawJson, Revision},
};
