//! Servers that start, change, stop and start again.

use std::{pin::pin, time::Duration};

use futures::future::join;
use mcp_fleet_core::{
    ServerName, ServerState,
    config::{Kind, Restart, ServerConfig, Stdio},
};
use mcp_fleet_driver::AsyncRuntime;
use serde_json::json;

use crate::world::{World, begin};

pub(crate) async fn new_limits_let_waiting_calls_go<R: AsyncRuntime>(world: &mut World<R>) {
    let narrow = world.limited("narrow", &[], |limits| limits.in_flight = 1);
    world.deploy(narrow.clone()).await;
    let mut first = world.start("narrow", "hang", json!({}));
    let second = world.start("narrow", "echo", json!({"n": 2}));
    let third = world.start("narrow", "echo", json!({"n": 3}));
    world.counted("narrow", |stats| stats.queued == 2).await;
    let mut wide = narrow;
    wide.limits.in_flight = 3;
    let manager = world.manager.clone();
    world.done("update", manager.update_config(wide)).await;
    world.ended("second", second).await;
    world.ended("third", third).await;
    first.cancel(None);
    world.ended("first", first).await;
    world.servers().await;
}

pub(crate) async fn a_replacement_keeps_waiting_calls<R: AsyncRuntime>(world: &mut World<R>) {
    let narrow = world.limited("server", &["--era", "legacy"], |limits| {
        limits.in_flight = 1
    });
    world.deploy(narrow).await;
    let mut first = world.start("server", "hang", json!({}));
    let second = world.start("server", "echo", json!({"n": 2}));
    world.counted("server", |stats| stats.queued == 1).await;
    let replacement = world.fake("server", &["--era", "modern", "--name", "another"]);
    let manager = world.manager.clone();
    let mut update = pin!(manager.update_config(replacement));
    begin(&mut update);
    world.until_state("server", ServerState::Draining).await;
    let third = world.start("server", "echo", json!({"n": 3}));
    world.counted("server", |stats| stats.queued == 2).await;
    first.cancel(None);
    world.ended("first", first).await;
    world.done("update", update).await;
    world.ended("second", second).await;
    world.ended("third", third).await;
    world.settled("server").await;
    world.servers().await;
}

pub(crate) async fn a_replacement_that_fails_ends_waiting_calls<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let narrow = world.limited("server", &[], |limits| limits.in_flight = 1);
    world.deploy(narrow).await;
    let mut first = world.start("server", "hang", json!({}));
    let second = world.start("server", "echo", json!({}));
    world.counted("server", |stats| stats.queued == 1).await;
    let replacement = world.fake("server", &["--exit-at-start", "4"]);
    let manager = world.manager.clone();
    let mut update = pin!(manager.update_config(replacement));
    begin(&mut update);
    world.until_state("server", ServerState::Draining).await;
    first.cancel(None);
    world.ended("first", first).await;
    world.done("update", update).await;
    world.ended("second", second).await;
    world.counts("server").await;
}

pub(crate) async fn a_disabled_server_takes_no_calls<R: AsyncRuntime>(world: &mut World<R>) {
    let mut config = world.fake("server", &[]);
    config.enabled = false;
    let manager = world.manager.clone();
    world
        .done("deploy", manager.deploy_server(config.clone()))
        .await;
    world.tool("server", "echo", json!({})).await;
    config.enabled = true;
    world
        .done("enable", manager.update_config(config.clone()))
        .await;
    world.settled("server").await;
    world.tool("server", "echo", json!({})).await;
    config.enabled = false;
    world.done("disable", manager.update_config(config)).await;
    world.tool("server", "echo", json!({})).await;
    world.servers().await;
}

pub(crate) async fn a_restart_begins_the_next_incarnation<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("server", &[]).await;
    let manager = world.manager.clone();
    let call = world.start("server", "sleep", json!({"ms": 200}));
    world.received_tool("server", "sleep").await;
    world
        .done("restart", manager.restart_server("server"))
        .await;
    world.ended("a call across the restart", call).await;
    world.settled("server").await;
    world.tool("server", "echo", json!({})).await;
    world.counts("server").await;
    world
        .done("restart of nobody", manager.restart_server("nobody"))
        .await;
}

pub(crate) async fn a_failed_server_can_be_restarted<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("server", &[]).await;
    world.tool("server", "crash", json!({})).await;
    world.until_state("server", ServerState::Failed).await;
    world.tool("server", "echo", json!({})).await;
    let manager = world.manager.clone();
    world
        .done("restart", manager.restart_server("server"))
        .await;
    world.settled("server").await;
    world.tool("server", "echo", json!({})).await;
    world.counts("server").await;
}

pub(crate) async fn a_crashed_server_comes_back_by_itself<R: AsyncRuntime>(world: &mut World<R>) {
    let mut lasting = world.fake("lasting", &[]);
    lasting.restart = Restart::Always;
    world.deploy(lasting).await;
    world.tool("lasting", "crash", json!({})).await;
    world.until_state("lasting", ServerState::Backoff).await;
    world.tool("lasting", "echo", json!({"n": 1})).await;
    world.settled("lasting").await;
    world.servers().await;
}

/// F4
pub(crate) async fn a_server_that_keeps_dying_is_given_up<R: AsyncRuntime>(world: &mut World<R>) {
    let mut frail = world.limited("frail", &["--exit-at-start", "3"], |limits| {
        limits.restarts = 2;
        limits.backoff = Duration::from_millis(1);
    });
    frail.restart = Restart::Always;
    let manager = world.manager.clone();
    world.done("deploy", manager.deploy_server(frail)).await;
    world.until_state("frail", ServerState::Failed).await;
    world.tool("frail", "echo", json!({"n": 1})).await;
    world.servers().await;
}

pub(crate) async fn an_undeployed_server_is_gone<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("server", &[]).await;
    let manager = world.manager.clone();
    let call = world.start("server", "sleep", json!({"ms": 200}));
    world.received_tool("server", "sleep").await;
    let mut undeploy = pin!(manager.undeploy_server("server"));
    begin(&mut undeploy);
    world.until_state("server", ServerState::Draining).await;
    world.tool("server", "echo", json!({})).await;
    world.ended("a call at the end", call).await;
    world.done("undeploy", undeploy).await;
    world.tool("server", "echo", json!({})).await;
    world
        .done("undeploy again", manager.undeploy_server("server"))
        .await;
    world.up("server", &["--era", "legacy"]).await;
    world.tool("server", "echo", json!({})).await;
}

pub(crate) async fn a_name_is_deployed_once<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("server", &[]).await;
    world.up("server", &[]).await;
    world.up("SERVER", &[]).await;
}

pub(crate) async fn health_is_a_round_trip<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("modern", &["--era", "modern"]).await;
    world.up("legacy", &["--era", "legacy"]).await;
    world.up("failed", &["--exit-at-start", "1"]).await;
    let health = world.manager.health_check(None).await.unwrap();
    for one in health {
        let healthy = one.is_healthy();
        world.log(format!(
            "{}: {} {healthy} {:?}",
            one.server, one.state, one.problem
        ));
    }
    let manager = world.manager.clone();
    world
        .done("health of nobody", manager.health_check(Some("nobody")))
        .await;
}

pub(crate) async fn a_shutdown_lets_calls_end<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("one", &[]).await;
    world.up("two", &["--era", "legacy"]).await;
    let first = world.start("one", "sleep", json!({"ms": 300}));
    let second = world.start("two", "sleep", json!({"ms": 100}));
    world.received_tool("one", "sleep").await;
    world.received_tool("two", "sleep").await;
    let manager = world.manager.clone();
    let mut shutdown = pin!(manager.shutdown());
    begin(&mut shutdown);
    world.until_state("one", ServerState::Draining).await;
    world.tool("one", "echo", json!({})).await;
    world.ended("second", second).await;
    world.ended("first", first).await;
    world.done("first shutdown", shutdown).await;
    world.tool("one", "echo", json!({})).await;
}

pub(crate) async fn a_shutdown_without_grace_waits_for_nobody<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.up("server", &[]).await;
    let call = world.start("server", "hang", json!({}));
    world.received_tool("server", "hang").await;
    let runtime = world.manager.runtime().clone();
    let shutdown = runtime.shutdown(Some(Duration::ZERO));
    let (outcome, ended) = world.patiently("shutdown", join(shutdown, call)).await;
    world.log(format!("shutdown: {outcome:?}"));
    world.log(format!("hang: {ended:?}"));
}

/// F53
pub(crate) async fn a_dropped_manager_leaves_no_process<R: AsyncRuntime>(world: &mut World<R>) {
    let mut other = World::new(world.runtime.clone());
    other.up("server", &["--era", "legacy"]).await;
    let pid = other.manager.list_servers().await.unwrap()[0].pid.unwrap();
    drop(other);
    let gone = || !std::path::Path::new(&format!("/proc/{pid}/environ")).exists();
    world.sooner_or_later("end of the process", gone).await;
    world.log("no process is left");
}

/// F1
pub(crate) async fn a_program_that_is_missing_cannot_start<R: AsyncRuntime>(world: &mut World<R>) {
    for (name, command) in [
        ("path", "/no/such/program"),
        ("name", "no-such-program-anywhere"),
    ] {
        let stdio = Stdio {
            command: command.to_owned(),
            ..Stdio::default()
        };
        let name = ServerName::new(name).unwrap();
        world
            .deploy(ServerConfig::new(name, Kind::Stdio(stdio)))
            .await;
    }
    let mut nowhere = world.fake("directory", &[]);
    if let Kind::Stdio(stdio) = &mut nowhere.kind {
        stdio.cwd = Some("/no/such/directory".to_owned());
    }
    world.deploy(nowhere).await;
    world.tool("path", "echo", json!({})).await;
}

/// F3
pub(crate) async fn a_program_that_exits_at_once_has_failed<R: AsyncRuntime>(world: &mut World<R>) {
    let flags = [
        "--exit-at-start",
        "9",
        "--stderr-at-start",
        "cannot find my soul",
    ];
    world.up("server", &flags).await;
    world.counts("server").await;
}

/// F8
pub(crate) async fn calls_made_before_readiness_wait<R: AsyncRuntime>(world: &mut World<R>) {
    let slow = world.fake("slow", &["--start-delay-ms", "200"]);
    let manager = world.manager.clone();
    let mut deploy = pin!(manager.deploy_server(slow));
    begin(&mut deploy);
    world.until_state("slow", ServerState::Probing).await;
    let first = world.start("slow", "echo", json!({"n": 1}));
    let second = world.start("slow", "echo", json!({"n": 2}));
    world.done("deploy", deploy).await;
    world.ended("first", first).await;
    world.ended("second", second).await;
    world.settled("slow").await;
}
