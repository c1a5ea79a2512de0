//! What the tests from outside share: a reference client, the servers it talks to, and the means
//! to look at processes. Nothing here uses any other crate of the project.

mod bench;
mod binary;
mod client;
mod config;
mod fleet;
mod launch;
mod marker;
mod page;
mod scratch;

pub use crate::{
    bench::Bench,
    binary::{example, fake_server, mcp_fleet},
    client::{Client, Era, RpcError},
    config::write_config,
    fleet::{Fleet, Output},
    launch::{Launch, node, node_modules, python},
    marker::{Marker, Process, signal},
    page::Page,
    scratch::Scratch,
};

/// Whatever went wrong, for the test to report.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long anything may take that should take no time at all.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
