//! Calls one tool of one server: `tokio_call CONFIG SERVER TOOL JSON`.

use std::{error::Error, io::Write};

use mcp_fleet_tokio::McpManagerV2;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, server, tool, json] = arguments.as_slice() else {
        return Err("usage: tokio_call CONFIG SERVER TOOL JSON".into());
    };
    let json: Value = serde_json::from_str(json)?;
    let manager = McpManagerV2::from_file(config)?;
    manager.initialize().await?;
    let result = manager.execute_tool(server, tool, json).await;
    manager.shutdown().await?;
    writeln!(std::io::stdout(), "{}", result?.raw())?;
    Ok(())
}
