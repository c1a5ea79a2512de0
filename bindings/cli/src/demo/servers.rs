//! The servers of the demo.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use mcp_fleet_core::{Implementation, RpcError};
use mcp_fleet_driver::{
    InProcessServer, Tool, ToolAnnotations, ToolCall, ToolOutput, serve_streams,
};
use serde::Deserialize;
use serde_json::json;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

/// Counts words, each call after a pause.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) delay: Duration,
}

/// Does sums.
#[derive(Debug)]
pub(crate) struct Sums;

/// Serves [`Words`] on standard input and output until the input ends.
pub(crate) async fn serve_words(delay: Duration) {
    let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
    serve_streams(
        Arc::new(Words { delay }),
        input.compat(),
        output.compat_write(),
    )
    .await;
}

impl InProcessServer for Words {
    fn implementation(&self) -> Implementation {
        implementation("mcp-fleet-demo-words")
    }

    fn tools(&self) -> Vec<Tool> {
        let schema = json!({
            "type": "object",
            "properties": { "text": { "type": "string" } },
            "required": ["text"],
        });
        let tool = Tool::new("count_words")
            .title("Count words")
            .description("Counts the words of a text")
            .input_schema(schema)
            .annotations(read_only());
        vec![tool]
    }

    fn call_tool<'a>(&'a self, call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
        async move {
            #[derive(Deserialize)]
            struct Arguments {
                text: String,
            }
            let arguments: Arguments = match call.arguments.read() {
                Ok(arguments) => arguments,
                Err(error) => return Ok(ToolOutput::error(error.to_string())),
            };
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            let words = arguments.text.split_whitespace().count();
            Ok(ToolOutput::json(json!({ "words": words })))
        }
        .boxed()
    }
}

impl InProcessServer for Sums {
    fn implementation(&self) -> Implementation {
        implementation("mcp-fleet-demo-sums")
    }

    fn tools(&self) -> Vec<Tool> {
        let schema = json!({
            "type": "object",
            "properties": { "numbers": { "type": "array", "items": { "type": "number" } } },
            "required": ["numbers"],
        });
        let tool = Tool::new("add")
            .title("Add")
            .description("Adds numbers")
            .input_schema(schema)
            .annotations(read_only());
        vec![tool]
    }

    fn call_tool<'a>(&'a self, call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
        async move {
            #[derive(Deserialize)]
            struct Arguments {
                numbers: Vec<f64>,
            }
            Ok(match call.arguments.read::<Arguments>() {
                Ok(arguments) => {
                    ToolOutput::json(json!({ "sum": arguments.numbers.iter().sum::<f64>() }))
                }
                Err(error) => ToolOutput::error(error.to_string()),
            })
        }
        .boxed()
    }
}

fn implementation(name: &str) -> Implementation {
    Implementation {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: None,
    }
}

fn read_only() -> ToolAnnotations {
    ToolAnnotations {
        read_only_hint: Some(true),
        idempotent_hint: Some(true),
        open_world_hint: Some(false),
        destructive_hint: None,
    }
}
