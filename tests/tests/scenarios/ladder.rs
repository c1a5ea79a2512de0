//! The way a process is brought to its end.

use std::time::Duration;

use mcp_fleet_core::config::{Kind, ServerConfig, ServerLimits};
use mcp_fleet_driver::AsyncRuntime;
use mcp_fleet_tests::{Launch, Marker, PATIENCE};
use serde_json::json;

use crate::world::World;

/// Waits that are up before a test is tired.
const fn briskly(limits: &mut ServerLimits) {
    limits.close_input_wait = Duration::from_millis(50);
    limits.terminate_wait = Duration::from_millis(50);
    limits.exit_wait = Duration::from_millis(50);
}

/// Deploys a server whose processes can be told from all others, and has it undeployed.
async fn live_and_die<R: AsyncRuntime>(
    world: &mut World<R>,
    flags: &[&str],
    limit: impl FnOnce(&mut ServerLimits),
) -> Marker {
    let marker = Marker::new();
    let config = marked(&marker, world.limited("server", flags, limit));
    world.deploy(config).await;
    let pid = world.manager.list_servers().await.unwrap()[0].pid.unwrap();
    let manager = world.manager.clone();
    world
        .done("undeploy", manager.undeploy_server("server"))
        .await;
    let mut left = marker.processes().unwrap();
    left.retain(|process| process.pid == pid);
    assert!(left.is_empty(), "the process outlives its server");
    marker
}

fn marked(marker: &Marker, mut config: ServerConfig) -> ServerConfig {
    let entry = marker.mark(Launch::new("")).entry();
    if let Kind::Stdio(stdio) = &mut config.kind {
        stdio.env = serde_json::from_value(entry["env"].clone()).unwrap();
    }
    config
}

pub(crate) async fn a_server_that_ends_with_its_input_is_not_signalled<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let marker = live_and_die(world, &["--era", "legacy"], |_| {}).await;
    marker.gone(PATIENCE).unwrap();
}

/// F51
pub(crate) async fn a_server_that_ignores_the_end_of_its_input_is_terminated<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    // The last rung would wait for ever.
    let marker = live_and_die(world, &["--ignore-eof"], |limits| {
        limits.close_input_wait = Duration::from_millis(50);
        limits.terminate_wait = Duration::from_secs(600);
    })
    .await;
    marker.gone(PATIENCE).unwrap();
}

/// F51, F52
pub(crate) async fn a_server_that_ignores_everything_is_killed<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let marker = live_and_die(world, &["--ignore-eof", "--ignore-sigterm"], briskly).await;
    marker.gone(PATIENCE).unwrap();
}

/// F15
pub(crate) async fn a_grandchild_that_holds_the_output_is_swept<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let marker = live_and_die(world, &["--grandchild", "same-group"], |limits| {
        limits.exit_wait = Duration::from_millis(50);
    })
    .await;
    marker.gone(PATIENCE).unwrap();
}

pub(crate) async fn f53_a_grandchild_that_escaped_is_swept<R: AsyncRuntime>(world: &mut World<R>) {
    for escape in ["own-group", "daemon"] {
        let marker = live_and_die(world, &["--grandchild", escape], |limits| {
            limits.exit_wait = Duration::from_millis(50);
        })
        .await;
        assert_eq!(marker.processes().unwrap(), []);
    }
}

/// F53
pub(crate) async fn a_crash_sweeps_what_is_left<R: AsyncRuntime>(world: &mut World<R>) {
    let marker = Marker::new();
    let config = world.limited("server", &["--grandchild", "same-group"], |limits| {
        limits.exit_wait = Duration::from_millis(50);
    });
    world.deploy(marked(&marker, config)).await;
    world.tool("server", "crash", json!({})).await;
    marker.gone(PATIENCE).unwrap();
    world.counts("server").await;
}
