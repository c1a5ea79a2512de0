//! Calls one tool: `call CONFIG SERVER TOOL JSON`.

use std::error::Error;

use mcp_fleet_tokio::McpManagerV2;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, server, tool, json] = arguments.as_slice() else {
        return Err("usage: call CONFIG SERVER TOOL JSON".into());
    };
    let json: serde_json::Value = serde_json::from_str(json)?;
    let manager = McpManagerV2::from_file(config)?;
    for (name, outcome) in manager.initialize().await? {
        outcome.map_err(|error| format!("{name}: {error}"))?;
    }
    let result = manager.execute_tool(server, tool, json).await;
    manager.shutdown().await?;
    #[allow(
        clippy::print_stdout,
        reason = "printing the result is what this program is for"
    )]
    result.map(|result| println!("{}", result.raw()))?;
    Ok(())
}
