//! Servers of the application's own process.

use futures::{
    FutureExt as _,
    future::{BoxFuture, pending},
};
use mcp_fleet_core::{Implementation, RpcError};
use mcp_fleet_driver::{AsyncRuntime, InProcessServer, Tool, ToolCall, ToolOutput};
use serde_json::json;

use crate::world::World;

struct Greeter;

impl InProcessServer for Greeter {
    fn implementation(&self) -> Implementation {
        Implementation {
            name: "greeter".to_owned(),
            version: "1.2.3".to_owned(),
            title: None,
        }
    }

    fn tools(&self) -> Vec<Tool> {
        ["greet", "hang", "panic"].map(Tool::new).to_vec()
    }

    fn call_tool<'a>(&'a self, call: ToolCall) -> BoxFuture<'a, Result<ToolOutput, RpcError>> {
        async move {
            match call.name.as_str() {
                "greet" => Ok(ToolOutput::text("hello")),
                "hang" => pending().await,
                other => panic!("the tool {other} panics"),
            }
        }
        .boxed()
    }
}

pub(crate) async fn a_value_is_a_server<R: AsyncRuntime>(world: &mut World<R>) {
    let manager = world.manager.clone();
    world
        .done("deploy", manager.deploy_in_process("own", Greeter))
        .await;
    world.settled("own").await;
    world.tool("own", "greet", json!({})).await;
    world.tool("own", "no-such-tool", json!({})).await;
    let mut call = world.start("own", "hang", json!({}));
    world.counted("own", |stats| stats.in_flight == 1).await;
    call.cancel(None);
    world.ended("hang", call).await;
    world.tool("own", "panic", json!({})).await;
    world.tool("own", "greet", json!({})).await;
    world.servers().await;
    world.counts("own").await;
    world.done("restart", manager.restart_server("own")).await;
    world.settled("own").await;
    world.tool("own", "greet", json!({})).await;
    world.done("undeploy", manager.undeploy_server("own")).await;
}
