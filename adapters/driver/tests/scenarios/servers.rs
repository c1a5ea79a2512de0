//! Two small MCP servers: a shell script, and a task of the test itself.

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures::{AsyncWrite, TryStreamExt};
use mcp_fleet_core::{
    ServerName,
    config::{Kind, ServerConfig},
};
use mcp_fleet_driver::{AsyncRuntime, McpRuntime};
use serde_json::{Value, json};

use crate::bench::{Sink, shell};

/// A legacy server: `echo` answers the request's id, `crash` ends it, `hang` is never answered.
pub const SCRIPT: &str = r#"
say() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"method":"initialize"'*) say '"result":{"protocolVersion":"2025-11-25",
      "capabilities":{"tools":{}},"serverInfo":{"name":"shell","version":"1"}}' | tr '\n' ' '; echo ;;
    *'"method":"tools/list"'*) say '"result":{"tools":[{"name":"echo",
      "inputSchema":{"type":"object"}}]}' | tr '\n' ' '; echo ;;
    *'"method":"ping"'*) say '"result":{}' ;;
    *'"name":"crash"'*) echo 'out of luck' >&2; exit 3 ;;
    *'"name":"hang"'*) ;;
    *'"method":"tools/call"'*)
      say '"result":{"content":[{"type":"text","text":"'"$id"'"}]}' ;;
    *'"id":'*) say '"error":{"code":-32601,"message":"no such method"}' ;;
  esac
done
"#;

pub fn name(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}

pub fn shell_server(server: &str) -> ServerConfig {
    ServerConfig::new(name(server), Kind::Stdio(shell(SCRIPT)))
}

/// The far end of an attached server: every message it gets is seen here.
pub struct Attached {
    pub seen: Receiver<Value>,
}

impl Attached {
    /// Attaches a server whose `echo` answers its arguments, whose `report` tells progress first,
    /// and whose `hang` is never answered.
    pub async fn deploy<R: AsyncRuntime>(runtime: &R, fleet: &McpRuntime, name: &str) -> Self {
        Self::deploy_behind(runtime, fleet, name, |sink| sink).await
    }

    /// The same, with what `wrap` makes of the write side.
    pub async fn deploy_behind<R: AsyncRuntime, W: AsyncWrite + Send + Unpin + 'static>(
        runtime: &R,
        fleet: &McpRuntime,
        name: &str,
        wrap: impl FnOnce(Sink) -> W,
    ) -> Self {
        let (to_fleet, chunks) = async_channel::unbounded();
        let (sink, written) = async_channel::unbounded();
        let (see, seen) = async_channel::unbounded();
        runtime.spawn(serve(written, to_fleet, see));
        let chunks = futures::StreamExt::map(chunks, std::io::Result::Ok);
        let reader = Box::pin(chunks).into_async_read();
        fleet.attach(name, reader, wrap(Sink(sink))).await.unwrap();
        Self { seen }
    }

    /// The next message of that method.
    pub async fn next(&self, method: &str) -> Value {
        loop {
            let message = self.seen.recv().await.unwrap();
            if message["method"] == method {
                return message;
            }
        }
    }
}

async fn serve(written: Receiver<Bytes>, to_fleet: Sender<Bytes>, see: Sender<Value>) {
    let mut rest = Vec::new();
    while let Ok(bytes) = written.recv().await {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let message: Value = serde_json::from_slice(&line).unwrap();
            for answer in answers(&message) {
                to_fleet.try_send(format!("{answer}\n").into()).unwrap();
            }
            see.try_send(message).ok();
        }
    }
}

fn answers(message: &Value) -> Vec<Value> {
    let Some(id) = message.get("id") else {
        return Vec::new();
    };
    let params = &message["params"];
    let result = match message["method"].as_str().unwrap() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "attached", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
        "ping" => json!({}),
        "tools/call" => match params["name"].as_str().unwrap() {
            "echo" => json!({
                "content": [{"type": "text", "text": params["arguments"].to_string()}],
                "structuredContent": params["arguments"],
            }),
            "report" => {
                let token = &params["_meta"]["progressToken"];
                let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": token, "progress": 1, "total": 2}});
                let result = json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}});
                return vec![progress, result];
            }
            _ => return Vec::new(),
        },
        _ => {
            let error = json!({"code": -32601, "message": "no such method"});
            return vec![json!({"jsonrpc": "2.0", "id": id, "error": error})];
        }
    };
    vec![json!({"jsonrpc": "2.0", "id": id, "result": result})]
}
