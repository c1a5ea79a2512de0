//! Answers as no server should give them.

use std::time::Duration;

use mcp_fleet_core::{CallOptions, ServerState};
use mcp_fleet_driver::AsyncRuntime;
use serde_json::json;

use crate::world::World;

/// For answers that never come.
const SHORT: Duration = Duration::from_millis(150);

async fn odd<R: AsyncRuntime>(world: &mut World<R>, server: &str, kinds: &[&str]) {
    for kind in kinds {
        let call = world.start(server, "odd", json!({"kind": kind}));
        world.ended(kind, call).await;
    }
    // What came besides an answer has been read when the next one has.
    world.tool(server, "echo", json!({})).await;
    world.counts(server).await;
}

const UNDERSTOOD: [&str; 8] = [
    "string-id",
    "float-id",
    "unknown-id-first",
    "duplicate",
    "no-result-type",
    "no-content",
    "lone-surrogate",
    "invalid-utf8",
];

pub(crate) async fn odd_answers_that_are_understood<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("odd", &["--era", "legacy"]).await;
    odd(world, "odd", &UNDERSTOOD).await;
}

pub(crate) async fn odd_answers_that_are_understood_in_the_modern_era<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.up("odd", &["--era", "modern"]).await;
    odd(world, "odd", &UNDERSTOOD).await;
}

pub(crate) async fn answers_to_nobody_are_counted<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("odd", &["--era", "legacy"]).await;
    for kind in ["wrong-id", "null-id", "no-id", "array", "scalar", "silence"] {
        let options = CallOptions {
            timeout: Some(SHORT),
            ..CallOptions::default()
        };
        let call = world.start_with("odd", "odd", json!({"kind": kind}), options);
        world.ended(kind, call).await;
    }
    world.tool("odd", "echo", json!({})).await;
    world.counts("odd").await;
}

pub(crate) async fn a_batch_is_taken_apart_in_the_one_revision_that_has_them<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world
        .up(
            "batches",
            &["--era", "legacy", "--revisions", "[\"2025-03-26\"]"],
        )
        .await;
    odd(world, "batches", &["array"]).await;
}

pub(crate) async fn results_that_break_the_protocol_end_their_call<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era]).await;
        let kinds = [
            "result-and-error",
            "neither",
            "float-code",
            "unknown-result-type",
            "deep",
        ];
        odd(world, era, &kinds).await;
    }
}

pub(crate) async fn a_tool_that_fails_is_a_result_and_a_request_that_fails_is_none<
    R: AsyncRuntime,
>(
    world: &mut World<R>,
) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era]).await;
        world.tool(era, "fail", json!({"message": "no luck"})).await;
        world.tool(era, "no-such-tool", json!({})).await;
        let error = json!({"code": -32000, "message": "odd", "data": {"n": [1.50, "\u{e9}"]}});
        world.tool(era, "error", error).await;
        world.tool(era, "error", json!({"code": -32042})).await;
        world.counts(era).await;
    }
}

pub(crate) async fn half_an_answer_is_none<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("odd", &["--era", "legacy"]).await;
    world.tool("odd", "odd", json!({"kind": "half"})).await;
    world.counts("odd").await;
}

pub(crate) async fn an_answer_without_a_line_break_is_the_last_word<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.up("odd", &["--era", "legacy"]).await;
    world
        .tool("odd", "odd", json!({"kind": "no-newline"}))
        .await;
    world.until_state("odd", ServerState::Failed).await;
    world.counts("odd").await;
}
