//! What a legacy server asks of its client.

use mcp_fleet_core::{
    CallOptions, RpcError,
    config::{ClientCapabilities, ElicitationCapability, Root, SamplingCapability},
};
use mcp_fleet_driver::AsyncRuntime;
use serde_json::json;

use crate::world::World;

const LEGACY: [&str; 2] = ["--era", "legacy"];

/// Everything that can be declared.
pub(crate) fn everything() -> ClientCapabilities {
    ClientCapabilities {
        roots: Some(vec![Root {
            uri: "file:///srv/work".to_owned(),
            name: Some("work".to_owned()),
        }]),
        sampling: Some(SamplingCapability::default()),
        elicitation: Some(ElicitationCapability::default()),
    }
}

pub(crate) fn refusal() -> RpcError {
    RpcError {
        code: -1,
        message: "the user said no".to_owned(),
        data: None,
    }
}

pub(crate) async fn undeclared_questions_are_refused_by_their_codes<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.up("curious", &LEGACY).await;
    for method in [
        "roots/list",
        "sampling/createMessage",
        "elicitation/create",
        "no/such",
    ] {
        world
            .tool("curious", "ask", json!({"method": method}))
            .await;
    }
    world.counts("curious").await;
}

pub(crate) async fn roots_are_answered_without_the_application<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.declare(everything());
    world.up("curious", &LEGACY).await;
    world
        .tool("curious", "ask", json!({"method": "roots/list"}))
        .await;
}

pub(crate) async fn roots_asked_at_once_are_answered<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world
        .up("hasty", &["--era", "legacy", "--roots-after-initialized"])
        .await;
    world
        .received("hasty", |frame| frame["result"]["roots"].is_array())
        .await;
}

pub(crate) async fn sampling_and_elicitation_are_answered_by_the_application<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.declare(everything());
    world.up("curious", &LEGACY).await;
    let answers = [
        (
            "sampling/createMessage",
            json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "Yes."}}),
        ),
        (
            "elicitation/create",
            json!({"action": "accept", "content": {"yes": true}}),
        ),
    ];
    for (method, answer) in answers {
        let call = world.start("curious", "ask", json!({"method": method}));
        let question = world.question().await;
        world.answer(question, Ok(answer)).await;
        world.ended(method, call).await;
    }
}

pub(crate) async fn the_application_may_refuse<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world.up("curious", &LEGACY).await;
    let arguments = json!({"method": "sampling/createMessage"});
    let call = world.start("curious", "ask", arguments);
    let question = world.question().await;
    world.answer(question, Err(refusal())).await;
    world.ended("refused sampling", call).await;
}

pub(crate) async fn a_question_is_answered_once<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world.up("curious", &LEGACY).await;
    let call = world.start("curious", "ask", json!({"method": "elicitation/create"}));
    let question = world.question().await;
    world
        .answer(question, Ok(json!({"action": "decline"})))
        .await;
    world
        .answer(question, Ok(json!({"action": "accept"})))
        .await;
    world.ended("elicitation", call).await;
}

pub(crate) async fn an_undeclared_mode_is_refused<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world.up("curious", &LEGACY).await;
    let url = json!({"mode": "url", "url": "https://x.test", "message": "m", "elicitationId": "1"});
    let arguments = json!({"method": "elicitation/create", "params": url});
    world.tool("curious", "ask", arguments).await;
    let tools = json!({"messages": [], "maxTokens": 1, "tools": []});
    let arguments = json!({"method": "sampling/createMessage", "params": tools});
    world.tool("curious", "ask", arguments).await;
}

pub(crate) async fn questions_of_a_server_that_is_gone_are_withdrawn<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.declare(everything());
    world.up("curious", &LEGACY).await;
    let arguments = json!({"method": "elicitation/create", "wait": false});
    world.tool("curious", "ask", arguments).await;
    let question = world.question().await;
    world.tool("curious", "exit", json!({"code": 3})).await;
    world
        .answer(question, Ok(json!({"action": "accept"})))
        .await;
}

pub(crate) async fn requests_of_a_modern_server_are_dropped<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world.up("old-fashioned", &["--era", "modern"]).await;
    for method in ["ping", "roots/list", "sampling/createMessage"] {
        let arguments = json!({"method": method, "wait": false});
        let call = world.start_with("old-fashioned", "ask", arguments, CallOptions::default());
        world.ended(method, call).await;
    }
    world.counts("old-fashioned").await;
}
