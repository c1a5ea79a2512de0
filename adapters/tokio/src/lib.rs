//! mcp-fleet on tokio.
//!
//! ```no_run
//! use mcp_fleet_tokio::McpManagerV2;
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = McpManagerV2::default();
//! manager.initialize().await?;
//! let result = manager.execute_tool("docker", "list_containers", json!({"all": true})).await?;
//! println!("{}", result.text());
//! let metrics = manager.get_metrics(None).await?;
//! println!("Active servers: {}", metrics.active_servers);
//! manager.shutdown().await?;
//! # Ok(())
//! # }
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

pub use crate::runtime::{Tokio, TokioChild};

/// The manager on the tokio runtime of the task that makes it.
///
/// Its constructors panic outside of a tokio runtime, or in one without I/O and time enabled;
/// [`mcp_fleet_driver::McpManagerV2::on`] takes a [`Tokio`] made elsewhere.
pub type McpManagerV2 = mcp_fleet_driver::McpManagerV2<Tokio>;
