//! Bytes and lines.

use mcp_fleet_driver::AsyncRuntime;
use serde_json::{Value, json};

use crate::world::World;

const MIB: usize = 1 << 20;

/// F25
pub(crate) async fn single_bytes_make_the_same_messages<R: AsyncRuntime>(world: &mut World<R>) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era, "--split-bytes", "1"]).await;
        world
            .tool(era, "echo", json!({"text": "h\u{e9}llo \u{1f44b}"}))
            .await;
    }
}

/// F26
pub(crate) async fn joined_frames_are_taken_apart<R: AsyncRuntime>(world: &mut World<R>) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era]).await;
        world.tool(era, "burst", json!({"count": 20})).await;
    }
    // The four lists are asked for at once, and answered in one piece.
    world.up("lists", &["--era", "legacy", "--crlf"]).await;
}

pub(crate) async fn other_line_breaks_blank_lines_and_noise_change_nothing<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    for era in ["legacy", "modern"] {
        let flags = [
            "--crlf",
            "--blank-lines",
            "2",
            "--noise-lines",
            "3",
            "--era",
            era,
        ];
        world.up(era, &flags).await;
        world.tool(era, "echo", json!({"text": "quiet"})).await;
        world.counts(era).await;
    }
}

/// F23
pub(crate) async fn endless_noise_is_no_server<R: AsyncRuntime>(world: &mut World<R>) {
    let flags = [
        "--era",
        "legacy",
        "--noise-lines",
        "50",
        "--noise",
        "la la la",
    ];
    let noisy = world.limited("noisy", &flags, |limits| limits.noise_lines = 20);
    world.deploy(noisy).await;
    let tolerated = world.limited("tolerated", &flags, |limits| limits.noise_lines = 50);
    world.deploy(tolerated).await;
    world.tool("tolerated", "echo", json!({})).await;
}

/// F24
pub(crate) async fn a_line_beyond_the_limit_fails_the_server<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let long = world.limited("long", &[], |limits| limits.line_bytes = 64 << 10);
    world.deploy(long).await;
    world.tool("long", "big", json!({"bytes": 60_000})).await;
    world.tool("long", "big", json!({"bytes": 70_000})).await;
}

/// F24
pub(crate) async fn a_line_without_end_fails_the_server<R: AsyncRuntime>(world: &mut World<R>) {
    let long = world.limited("endless", &[], |limits| limits.line_bytes = 64 << 10);
    world.deploy(long).await;
    world
        .tool("endless", "line", json!({"bytes": 4 * MIB, "end": false}))
        .await;
}

pub(crate) async fn eight_mebibytes_go_both_ways<R: AsyncRuntime>(world: &mut World<R>) {
    // Echoed twice, as text and as structure, and quoted.
    let wide = world.limited("wide", &["--era", "legacy"], |limits| {
        limits.line_bytes = 64 * MIB;
    });
    world.deploy(wide).await;
    let text: String = ('a'..='z').cycle().take(8 * MIB).collect();
    let arguments = json!({"text": text});
    let result = world
        .manager
        .execute_tool("wide", "echo", &arguments)
        .await
        .unwrap();
    let structured: Value = result.structured().unwrap().read().unwrap();
    assert!(structured == arguments, "the payload came back changed");
    world.log(format!("echo of {} bytes", result.raw().as_str().len()));
    let result = world
        .manager
        .execute_tool("wide", "big", json!({"bytes": 8 * MIB}));
    let length = result.await.unwrap().text().len();
    world.log(format!("a text of {length} bytes"));
}

/// F31, F32
pub(crate) async fn a_flood_on_standard_error_is_no_failure<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("loud", &["--stderr-at-start", "hello"]).await;
    world
        .tool("loud", "stderr", json!({"bytes": 4 * MIB}))
        .await;
    world.tool("loud", "echo", json!({})).await;
    world.servers().await;
}

/// F33
pub(crate) async fn a_flood_of_notifications_is_passed_on<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("chatty", &["--era", "legacy"]).await;
    world
        .tool("chatty", "flood", json!({"count": 100, "bytes": 8}))
        .await;
    world.counts("chatty").await;
}

pub(crate) async fn a_garbled_line_is_noise<R: AsyncRuntime>(world: &mut World<R>) {
    let lines = r#"["{\"half\":", "{}", "[]", "null", "7", "{\"jsonrpc\":\"1.0\",\"id\":99}"]"#;
    world
        .up("garbled", &["--era", "legacy", "--stdout-at-start", lines])
        .await;
    world.tool("garbled", "echo", json!({})).await;
    world.counts("garbled").await;
}
