//! Servers at the other end of two byte streams.

use std::process::Command;

use mcp_fleet_driver::{AsyncRuntime, Child as _};
use mcp_fleet_tests::fake_server;
use serde_json::json;

use crate::world::World;

/// Starts a fake server outside of the fleet, and attaches its streams.
async fn attach<R: AsyncRuntime>(world: &mut World<R>, name: &str, era: &str) -> R::Child {
    let mut command = Command::new(fake_server().unwrap());
    command
        .args(["--era", era, "--record"])
        .arg(world.record(name));
    let process = world.runtime.launch(command).unwrap();
    let manager = world.manager.clone();
    world
        .done(
            "attach",
            manager.attach(name, process.stdout, process.stdin),
        )
        .await;
    world.settled(name).await;
    process.child
}

pub(crate) async fn a_pair_of_streams_is_a_server<R: AsyncRuntime>(world: &mut World<R>) {
    for era in ["legacy", "modern"] {
        let mut child = attach(world, era, era).await;
        world
            .tool(era, "echo", json!({"text": "over streams"}))
            .await;
        world.servers().await;
        let manager = world.manager.clone();
        world.done("undeploy", manager.undeploy_server(era)).await;
        let status = world.patiently("the child", child.wait()).await.unwrap();
        world.log(format!("the child ended with {status}"));
    }
}

pub(crate) async fn streams_that_end_are_a_crash<R: AsyncRuntime>(world: &mut World<R>) {
    let mut child = attach(world, "streams", "modern").await;
    world.tool("streams", "exit", json!({"code": 5})).await;
    let status = world.patiently("the child", child.wait()).await.unwrap();
    world.log(format!("the child ended with {status}"));
    let manager = world.manager.clone();
    world
        .done("restart", manager.restart_server("streams"))
        .await;
    world.counts("streams").await;
}
