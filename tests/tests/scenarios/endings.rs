//! How calls end other than by an answer.

use std::{fs, path::Path, time::Duration};

use futures::StreamExt as _;
use mcp_fleet_core::{CallOptions, RawJson, Request};
use mcp_fleet_driver::AsyncRuntime;
use serde_json::{Value, json};

use crate::world::World;

/// For calls that never end by themselves.
const SHORT: Duration = Duration::from_millis(200);

fn cancelled(frame: &Value) -> bool {
    frame["method"] == "notifications/cancelled"
}

/// F13
pub(crate) async fn a_crash_ends_every_call_once<R: AsyncRuntime>(world: &mut World<R>) {
    let frail = world.limited("frail", &[], |limits| limits.in_flight = 3);
    world.deploy(frail).await;
    let first = world.start("frail", "hang", json!({}));
    let second = world.start("frail", "hang", json!({}));
    let crash = world.start("frail", "crash", json!({}));
    let waiting = world.start("frail", "echo", json!({}));
    world.ended("hang", first).await;
    world.ended("another hang", second).await;
    world.ended("crash", crash).await;
    world.ended("waiting echo", waiting).await;
    world.tool("frail", "echo", json!({})).await;
    world.counts("frail").await;
}

pub(crate) async fn an_exit_status_is_told<R: AsyncRuntime>(world: &mut World<R>) {
    for code in [0, 3] {
        let name = format!("exit{code}");
        world.up(&name, &["--stderr-at-start", "last words"]).await;
        world.tool(&name, "exit", json!({"code": code})).await;
    }
}

/// F16
pub(crate) async fn a_closed_output_ends_the_server<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("mute", &[]).await;
    world.tool("mute", "close-stdout", json!({})).await;
    world.counts("mute").await;
}

/// F17
pub(crate) async fn a_closed_input_ends_the_server<R: AsyncRuntime>(world: &mut World<R>) {
    let deaf = world.limited("deaf", &[], |limits| {
        limits.close_input_wait = Duration::from_millis(50);
    });
    world.deploy(deaf).await;
    let pid = world.manager.list_servers().await.unwrap()[0].pid.unwrap();
    let closing = world.start("deaf", "close-stdin", json!({}));
    // A tool that closes its own input does not answer.
    let input = format!("/proc/{pid}/fd/0");
    world
        .sooner_or_later("closed input", || {
            fs::read_link(&input).is_ok_and(|target| target == Path::new("/dev/null"))
        })
        .await;
    let unsent = world.start("deaf", "echo", json!({}));
    world.ended("close-stdin", closing).await;
    world.ended("echo into the void", unsent).await;
    world.counts("deaf").await;
}

pub(crate) async fn a_timeout_is_told_to_the_server<R: AsyncRuntime>(world: &mut World<R>) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era]).await;
        let options = CallOptions {
            timeout: Some(SHORT),
            ..CallOptions::default()
        };
        let call = world.start_with(era, "hang", json!({"late": true}), options);
        world.ended("timed out", call).await;
        world.received(era, cancelled).await;
        world.counted(era, |stats| stats.late_answers == 1).await;
        world.tool(era, "echo", json!({})).await;
    }
}

pub(crate) async fn a_dropped_future_is_told_to_the_server<R: AsyncRuntime>(world: &mut World<R>) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era]).await;
        let call = world.start(era, "hang", json!({"late": true}));
        world.received_tool(era, "hang").await;
        world.counts(era).await;
        drop(call);
        world.received(era, cancelled).await;
        world.counted(era, |stats| stats.late_answers == 1).await;
        world.tool(era, "echo", json!({})).await;
    }
}

pub(crate) async fn a_cancelled_call_is_told_to_the_server<R: AsyncRuntime>(world: &mut World<R>) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era]).await;
        let mut call = world.start(era, "hang", json!({"late": true}));
        world.received_tool(era, "hang").await;
        call.cancel(Some("enough".to_owned()));
        world.ended("cancelled", call).await;
        world.received(era, cancelled).await;
        world.counted(era, |stats| stats.late_answers == 1).await;
        world.tool(era, "echo", json!({})).await;
    }
}

pub(crate) async fn a_late_answer_of_a_slow_tool_is_counted<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("slow", &["--late-answers"]).await;
    let mut call = world.start("slow", "sleep", json!({"ms": 300}));
    world.received_tool("slow", "sleep").await;
    call.cancel(None);
    world.ended("cancelled", call).await;
    world.counted("slow", |stats| stats.late_answers == 1).await;
}

pub(crate) async fn a_call_that_still_waits_is_cancelled_without_a_word<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    let narrow = world.limited("narrow", &[], |limits| limits.in_flight = 1);
    world.deploy(narrow).await;
    let mut first = world.start("narrow", "hang", json!({}));
    let mut waiting = world.start("narrow", "echo", json!({}));
    world.counted("narrow", |stats| stats.queued == 1).await;
    waiting.cancel(None);
    world.ended("waiting", waiting).await;
    let dropped = world.start("narrow", "echo", json!({}));
    world.counted("narrow", |stats| stats.queued == 1).await;
    drop(dropped);
    world.counted("narrow", |stats| stats.queued == 0).await;
    let options = CallOptions {
        timeout: Some(SHORT),
        ..CallOptions::default()
    };
    let late = world.start_with("narrow", "echo", json!({}), options);
    world.ended("out of time", late).await;
    first.cancel(None);
    world.ended("first", first).await;
    world.tool("narrow", "echo", json!({})).await;
    world.counts("narrow").await;
}

pub(crate) async fn progress_is_reported_and_starts_the_deadline_anew<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    for era in ["legacy", "modern"] {
        world.up(era, &["--era", era]).await;
        let options = CallOptions {
            timeout: Some(Duration::from_secs(1)),
            progress: true,
            ..CallOptions::default()
        };
        // Longer than its deadline in all, and never that long without a word.
        let arguments = json!({"steps": 8, "pauseMs": 200});
        let mut call = world.start_with(era, "progress", arguments, options);
        let reports: Vec<_> = call
            .progress()
            .map(|report| format!("{report:?}"))
            .collect()
            .await;
        for report in reports {
            world.log(report);
        }
        world.ended("progress", call).await;
    }
}

pub(crate) async fn progress_of_another_call_or_backwards_is_dropped<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.up("odd", &["--era", "legacy"]).await;
    let unasked = CallOptions::default();
    let asked = CallOptions {
        progress: true,
        ..CallOptions::default()
    };
    for (arguments, options) in [
        (json!({"steps": 2, "token": "nobody"}), asked.clone()),
        (json!({"steps": 2, "token": 1}), asked.clone()),
        (json!({"steps": 3, "backwards": true}), asked),
        (json!({"steps": 2}), unasked),
    ] {
        let mut call = world.start_with("odd", "progress", arguments, options);
        let reports: Vec<_> = call
            .progress()
            .map(|report| format!("{report:?}"))
            .collect()
            .await;
        world.log(format!("{reports:?}"));
        world.ended("progress", call).await;
    }
    world.counts("odd").await;
}

pub(crate) async fn a_full_queue_refuses_at_once<R: AsyncRuntime>(world: &mut World<R>) {
    let narrow = world.limited("narrow", &[], |limits| {
        limits.in_flight = 1;
        limits.queue = 2;
    });
    world.deploy(narrow).await;
    let mut first = world.start("narrow", "hang", json!({}));
    let second = world.start("narrow", "echo", json!({"n": 2}));
    let third = world.start("narrow", "echo", json!({"n": 3}));
    world.counted("narrow", |stats| stats.queued == 2).await;
    world.tool("narrow", "echo", json!({"n": 4})).await;
    first.cancel(None);
    world.ended("first", first).await;
    world.ended("second", second).await;
    world.ended("third", third).await;
    world.tool("narrow", "echo", json!({"n": 5})).await;
    world.counts("narrow").await;
}

pub(crate) async fn a_server_nobody_knows_is_named_with_its_near_miss<R: AsyncRuntime>(
    world: &mut World<R>,
) {
    world.up("docker", &[]).await;
    world.tool("Docker", "echo", json!({})).await;
    world.tool("dock", "echo", json!({})).await;
    world.tool("nothing", "echo", json!({})).await;
}

pub(crate) async fn what_cannot_be_sent_is_refused<R: AsyncRuntime>(world: &mut World<R>) {
    world.up("strict", &[]).await;
    world.tool("strict", "echo", json!([1])).await;
    world.call("strict", "initialize", json!({})).await;
    world
        .call("strict", "notifications/cancelled", json!({}))
        .await;
    world.call("strict", "", json!({})).await;
    world.call("strict", "ping", json!("text")).await;
    let twice = RawJson::parse(r#"{"_meta":{},"_meta":{}}"#).unwrap();
    let request = Request::Method {
        method: "tools/list".to_owned(),
        params: Some(twice),
    };
    let call = world
        .manager
        .start_call("strict", request, CallOptions::default());
    world.ended("a name twice", call).await;
}
