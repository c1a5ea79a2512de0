//! A server written in Rust, its events, a call with progress, and a call that is given up.

use std::{error::Error, io::Write, time::Duration};

use mcp_fleet_tokio::{
    BoxFuture, CallOptions, Event, InProcessServer, McpManagerV2, RawJson, Request, RpcError,
    ServerState, Tool, ToolCall, ToolOutput, Update, config::FleetConfig,
    mcp_fleet_core::Implementation,
};

/// Counts to three, a tenth of a second a step.
struct Counter;

impl InProcessServer for Counter {
    fn implementation(&self) -> Implementation {
        Implementation {
            name: "counter".to_owned(),
            version: "1.0".to_owned(),
            title: None,
        }
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("count").description("Counts to three")]
    }

    fn call_tool<'a>(&'a self, call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
        Box::pin(async move {
            for step in 1..=3_u8 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                call.progress(f64::from(step), Some(3.0), None);
            }
            Ok(ToolOutput::text("three"))
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let manager = McpManagerV2::new(FleetConfig::default());
    let mut events = manager.events();
    manager.deploy_in_process("counter", Counter).await?;
    while let Some(update) = events.next().await {
        if let Update::Event(Event::ServerChanged { server, state, .. }) = update {
            writeln!(out, "{server} is {state}")?;
            if state == ServerState::Ready {
                break;
            }
        }
    }

    let count = || Request::Tool {
        name: "count".to_owned(),
        arguments: Some(RawJson::empty_object()),
    };
    let options = CallOptions {
        timeout: Some(Duration::from_secs(5)),
        progress: true,
        ..CallOptions::default()
    };
    let mut call = manager.start_call("counter", count(), options);
    let mut progress = call.progress();
    let watching = async {
        while let Some(report) = progress.next().await {
            writeln!(
                std::io::stdout(),
                "{} of {:?}",
                report.progress,
                report.total
            )?;
        }
        Ok::<_, std::io::Error>(())
    };
    let (result, watched) = tokio::join!(call, watching);
    watched?;
    writeln!(out, "{}", result?)?;

    let given_up = manager.start_call("counter", count(), CallOptions::default());
    drop(given_up); // the server is told, and the place is free

    manager.shutdown().await?;
    Ok(())
}
