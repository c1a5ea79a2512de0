//! What a modern server asks within a call.

use std::time::Duration;

use mcp_fleet_core::Event;
use mcp_fleet_driver::AsyncRuntime;
use serde_json::json;

use crate::{
    questions::{everything, refusal},
    world::World,
};

const MODERN: [&str; 2] = ["--era", "modern"];

pub(crate) async fn a_round_asks_the_application_and_the_call_goes_on<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.declare(everything());
    world.up("asking", &MODERN).await;
    for method in ["elicitation/create", "sampling/createMessage"] {
        let call = world.start("asking", "rounds", json!({"ask": method}));
        let question = world.question().await;
        world
            .answer(question, Ok(json!({"action": "accept"})))
            .await;
        world.ended(method, call).await;
    }
    world.counts("asking").await;
}

pub(crate) async fn rounds_add_up<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world.up("asking", &MODERN).await;
    let call = world.start("asking", "rounds", json!({"rounds": 3}));
    for round in 1..=3 {
        let question = world.question().await;
        world
            .answer(
                question,
                Ok(json!({"action": "accept", "content": {"round": round}})),
            )
            .await;
    }
    world.ended("three rounds", call).await;
}

pub(crate) async fn a_round_that_asks_nothing_is_repeated<R: AsyncRuntime>(world: &mut World<R>) {
    let asking = world.limited("pausing", &MODERN, |limits| {
        limits.round_pause = Duration::from_millis(20);
    });
    world.deploy(asking).await;
    world
        .tool("pausing", "rounds", json!({"rounds": 2, "stateOnly": true}))
        .await;
}

pub(crate) async fn roots_are_answered_within_a_round<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world.up("asking", &MODERN).await;
    world
        .tool("asking", "rounds", json!({"ask": "roots/list"}))
        .await;
}

pub(crate) async fn an_undeclared_question_ends_the_call<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("asking", &MODERN).await;
    for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
        world.tool("asking", "rounds", json!({"ask": method})).await;
    }
    world.counts("asking").await;
}

pub(crate) async fn a_refusal_ends_the_call<R: AsyncRuntime>(world: &mut World<R>) {
    world.declare(everything());
    world.up("asking", &MODERN).await;
    let call = world.start("asking", "rounds", json!({}));
    let question = world.question().await;
    world.answer(question, Err(refusal())).await;
    world.ended("refused round", call).await;
}

pub(crate) async fn a_cancelled_call_takes_its_questions_with_it<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.declare(everything());
    world.up("asking", &MODERN).await;
    let mut call = world.start("asking", "rounds", json!({}));
    let question = world.question().await;
    call.cancel(None);
    world
        .until("withdrawal", |event| match event {
            Event::InputWithdrawn { .. } => Some(()),
            _ => None,
        })
        .await;
    world.ended("cancelled round", call).await;
    world.answer(question, Ok(json!({}))).await;
    world.counts("asking").await;
}

pub(crate) async fn rounds_are_bounded<R: AsyncRuntime>(world: &mut World<R>) {
    let asking = world.limited("endless", &MODERN, |limits| {
        limits.round_pause = Duration::from_millis(5);
        limits.rounds = 3;
    });
    world.deploy(asking).await;
    world
        .tool(
            "endless",
            "rounds",
            json!({"rounds": 100, "stateOnly": true}),
        )
        .await;
}
