//! Which era a server speaks, and how a session is opened in it.

use std::time::Duration;

use mcp_fleet_driver::AsyncRuntime;
use serde_json::json;

use crate::world::World;

/// Deploys a server, uses it once, and says what became of it.
async fn greet<R: AsyncRuntime>(world: &mut World<R>, name: &str, flags: &[&str]) {
    world.up(name, flags).await;
    world
        .tool(name, "echo", json!({"a": [1, "two", null]}))
        .await;
}

pub(crate) async fn a_modern_server_is_discovered<R: AsyncRuntime>(world: &mut World<R>) {
    let flags = [
        "--era",
        "modern",
        "--instructions",
        "Be kind.",
        "--name",
        "Kind",
    ];
    greet(world, "modern", &flags).await;
    world.servers().await;
    world.counts("modern").await;
}

pub(crate) async fn a_legacy_server_is_initialized<R: AsyncRuntime>(world: &mut World<R>) {
    let flags = [
        "--era",
        "legacy",
        "--instructions",
        "Be kind.",
        "--name",
        "Kind",
    ];
    greet(world, "legacy", &flags).await;
    world.servers().await;
    world.counts("legacy").await;
}

pub(crate) async fn a_server_of_both_eras_is_taken_as_modern<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    greet(world, "dual", &["--era", "dual"]).await;
    world.servers().await;
}

pub(crate) async fn each_legacy_revision_is_agreed_on<R: AsyncRuntime>(world: &mut World<R>) {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let revisions = format!("[\"{revision}\"]");
        greet(
            world,
            revision,
            &["--era", "legacy", "--revisions", &revisions],
        )
        .await;
    }
    world.servers().await;
}

pub(crate) async fn every_refusal_of_the_probe_leads_to_initialize<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    for code in ["-32601", "-32602", "-32000", "-32603", "-32001", "1"] {
        let name = format!("code{code}");
        greet(world, &name, &["--era", "legacy", "--discover", code]).await;
    }
    world.servers().await;
}

pub(crate) async fn silence_after_the_probe_leads_to_initialize<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let flags = ["--era", "legacy", "--discover", "silence"];
    let silent = world.limited("silent", &flags, |limits| {
        limits.probe_timeout = Duration::from_millis(100);
    });
    world.deploy(silent).await;
    world.tool("silent", "echo", json!({})).await;
}

pub(crate) async fn garbage_after_the_probe_leads_to_initialize<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    greet(
        world,
        "garbage",
        &["--era", "legacy", "--discover", "garbage"],
    )
    .await;
}

pub(crate) async fn a_server_that_exits_of_the_probe_is_started_again<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    greet(world, "exits", &["--era", "legacy", "--discover", "exit"]).await;
    world.counts("exits").await;
}

pub(crate) async fn a_server_that_closes_its_output_at_the_probe_is_started_again<
    R: AsyncRuntime,
>(
    world: &mut World<R>,
) {
    greet(
        world,
        "closes",
        &["--era", "legacy", "--discover", "close-stdout"],
    )
    .await;
    world.counts("closes").await;
}

pub(crate) async fn a_version_error_is_retried_once<R: AsyncRuntime>(world: &mut World<R>) {
    world
        .up("modern", &["--era", "modern", "--discover", "unsupported"])
        .await;
    world
        .up("legacy", &["--era", "legacy", "--discover", "unsupported"])
        .await;
    world
        .up("dual", &["--era", "dual", "--discover", "unsupported"])
        .await;
}

pub(crate) async fn a_server_of_the_future_is_refused<R: AsyncRuntime>(world: &mut World<R>) {
    world
        .up(
            "future",
            &["--era", "modern", "--revisions", "[\"2031-01-01\"]"],
        )
        .await;
    world.tool("future", "echo", json!({})).await;
}

pub(crate) async fn a_version_that_nobody_speaks_is_refused<R: AsyncRuntime>(world: &mut World<R>) {
    world
        .up(
            "ancient",
            &["--era", "legacy", "--answer-version", "1999-01-01"],
        )
        .await;
}

pub(crate) async fn a_modern_version_from_initialize_is_refused<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world
        .up(
            "confused",
            &["--era", "legacy", "--answer-version", "2026-07-28"],
        )
        .await;
}

pub(crate) async fn a_refused_initialize_fails_the_server<R: AsyncRuntime>(world: &mut World<R>) {
    for answer in ["unsupported", "garbage", "exit", "close-stdout", "-32603"] {
        let name = format!("init{answer}");
        world
            .up(&name, &["--era", "legacy", "--initialize", answer])
            .await;
        world.counts(&name).await;
    }
}

/// F5
pub(crate) async fn a_silent_server_fails_at_its_start_deadline<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let flags = [
        "--era",
        "legacy",
        "--initialize",
        "silence",
        "--stderr-at-start",
        "hm",
    ];
    let silent = world.limited("silent", &flags, |limits| {
        limits.start_timeout = Duration::from_millis(1500);
    });
    world.deploy(silent).await;
}

pub(crate) async fn a_ping_before_the_answer_to_initialize_is_answered<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    greet(world, "pings", &["--era", "legacy", "--ping-first"]).await;
}

pub(crate) async fn a_ping_in_the_session_is_answered<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("pings", &["--era", "legacy"]).await;
    world.tool("pings", "ask", json!({"method": "ping"})).await;
}

pub(crate) async fn a_legacy_verdict_outlives_a_restart<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("legacy", &["--era", "legacy"]).await;
    let manager = world.manager.clone();
    world
        .done("restart", manager.restart_server("legacy"))
        .await;
    world.settled("legacy").await;
    world.tool("legacy", "echo", json!({})).await;
}
