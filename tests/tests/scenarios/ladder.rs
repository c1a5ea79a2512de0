//! The way a process is brought to its end.

use std::time::Duration;

use mcp_fleet_core::config::ServerLimits;
use mcp_fleet_driver::AsyncRuntime;
use serde_json::json;

use crate::world::World;

/// Waits that are up before a test is tired.
const fn briskly(limits: &mut ServerLimits) {
    limits.close_input_wait = Duration::from_millis(50);
    limits.terminate_wait = Duration::from_millis(50);
    limits.exit_wait = Duration::from_millis(50);
}

/// Deploys a server, and has it undeployed.
async fn live_and_die<R: AsyncRuntime>(
    world: &mut World<R>,
    flags: &[&str],
    limit: impl FnOnce(&mut ServerLimits),
) {
    let config = world.limited("server", flags, limit);
    world.deploy(config).await;
    let pid = world.manager.list_servers().await.unwrap()[0].pid.unwrap();
    let manager = world.manager.clone();
    world
        .done("undeploy", manager.undeploy_server("server"))
        .await;
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "the process outlives its server"
    );
}

pub(crate) async fn a_server_that_ends_with_its_input_is_not_signalled<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    live_and_die(world, &["--era", "legacy"], |_| {}).await;
}

pub(crate) async fn a_server_that_ignores_the_end_of_its_input_is_terminated<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    // The last rung would wait for ever.
    live_and_die(world, &["--ignore-eof"], |limits| {
        limits.close_input_wait = Duration::from_millis(50);
        limits.terminate_wait = Duration::from_secs(600);
    })
    .await;
}

pub(crate) async fn a_server_that_ignores_everything_is_killed<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    live_and_die(world, &["--ignore-eof", "--ignore-sigterm"], briskly).await;
}

pub(crate) async fn a_grandchild_that_holds_the_output_is_swept<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    live_and_die(world, &["--grandchild", "same-group"], |limits| {
        limits.exit_wait = Duration::from_millis(50);
    })
    .await;
}

pub(crate) async fn a_grandchild_that_escaped_does_not_hold_up_the_end<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    live_and_die(world, &["--grandchild", "own-group"], |limits| {
        limits.exit_wait = Duration::from_millis(50);
    })
    .await;
}

pub(crate) async fn a_crash_sweeps_what_is_left<R: AsyncRuntime>(world: &mut World<R>) {
    let config = world.limited("server", &["--grandchild", "same-group"], |limits| {
        limits.exit_wait = Duration::from_millis(50);
    });
    world.deploy(config).await;
    world.tool("server", "crash", json!({})).await;
    world.counts("server").await;
}
