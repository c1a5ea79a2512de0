//! mcp-fleet on smol.
//!
//! ```no_run
//! use mcp_fleet_smol::McpManagerV2;
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
//! let manager = McpManagerV2::default();
//! manager.initialize().await?;
//! let result = manager.execute_tool("docker", "list_containers", json!({"all": true})).await?;
//! println!("{}", result.text());
//! let metrics = manager.get_metrics(None).await?;
//! println!("Active servers: {}", metrics.active_servers);
//! manager.shutdown().await?;
//! # Ok(())
//! # }) }
//! ```

mod runtime;

pub use mcp_fleet_core::{
    self, CallError, CallOptions, CatalogKind, Event, FleetStats, Health, InputId, Limit, Priority,
    RawJson, ReloadReport, ReplicaInfo, Request, RpcError, Sent, ServerInfo, ServerName,
    ServerState, config,
};
pub use mcp_fleet_driver::{
    self, BoxFuture, Client, Events, ExecuteError, InProcessServer, Journal, ManageError,
    McpRuntime, PendingCall, Progress, ProgressStream, RuntimeOptions, StartError, Tool, ToolCall,
    ToolOutput, ToolResult, Update,
};

pub use crate::runtime::{Smol, SmolChild};

/// The manager on smol's global executor, which needs nothing to be started.
pub type McpManagerV2 = mcp_fleet_driver::McpManagerV2<Smol>;
