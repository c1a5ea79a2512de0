//! Calls: parked, sent, answered, cancelled, timed out, lost.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CallOptions, Effect, Event, Exit, McpCommand, RawJson, Reply, Request, Sent,
    Signal,
};
use serde_json::json;

use crate::world::{World, answer, discovered, error, server};

#[test]
fn answers_find_their_callers_in_any_order() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let calls: Vec<_> = (0..50).map(|_| world.call("a", "echo")).collect();
    let mut frames = world.sent(link);
    assert_eq!(frames.len(), 50);
    frames.reverse();
    for frame in &frames {
        let echoed = frame["params"]["arguments"]["n"].clone();
        world.say(
            link,
            answer(frame, json!({"resultType": "complete", "n": echoed})),
        );
    }
    for call in calls {
        assert_eq!(world.outcome(call).unwrap().unwrap()["n"], call.0);
    }
}

#[test]
fn every_modern_request_carries_its_envelope_and_legacy_ones_none() {
    let mut world = World::new();
    let modern = world.modern(server("new"));
    let legacy = world.legacy(server("old"), "2025-11-25");
    world.call("new", "t");
    world.call("old", "t");
    let frame = world.sent(modern).remove(0);
    assert_eq!(
        frame["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert!(world.sent(legacy)[0]["params"].get("_meta").is_none());
}

#[test]
fn a_call_made_before_readiness_waits_and_goes_out_in_order() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let first = world.call("a", "one");
    let second = world.call("a", "two");
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    let sent = world.sent(link);
    assert_eq!(sent[0]["params"]["name"], "one");
    assert_eq!(sent[1]["params"]["name"], "two");
    world.say(link, answer(&sent[1], json!({})));
    assert!(world.outcome(first).is_none());
    assert!(world.outcome(second).unwrap().is_ok());
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_return() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.in_flight = 2;
    config.limits.queue = 3;
    let link = world.modern(config);
    let calls: Vec<_> = (0..6).map(|_| world.call("a", "t")).collect();
    assert_eq!(world.sent(link).len(), 2);
    let refused = world.outcome(calls[5]).unwrap().unwrap_err();
    let CallError::Overloaded { retry_after, .. } = refused else {
        panic!("{refused:?}")
    };
    assert!(retry_after > Duration::ZERO);
    assert!(calls[..5].iter().all(|call| world.outcome(*call).is_none()));
}

#[test]
fn a_freed_place_is_taken_by_the_oldest_waiting_call() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.in_flight = 1;
    let link = world.modern(config);
    let _first = world.call("a", "one");
    world.call("a", "two");
    world.call("a", "three");
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({})));
    let next = world.sent(link);
    assert_eq!(next.len(), 1);
    assert_eq!(next[0]["params"]["name"], "two");
}

#[test]
fn nothing_is_sent_without_credit() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.write_bytes = 100;
    let (link, _) = world.deploy_config(config);
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    let waiting = world.call("a", "t");
    assert!(
        world.sent(link).is_empty(),
        "the probe alone is more than the limit"
    );
    world.wrote(link, 1_000);
    assert_eq!(world.sent(link).len(), 1);
    assert!(world.outcome(waiting).is_none());
}

#[test]
fn cancelling_a_waiting_call_sends_nothing() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.in_flight = 1;
    let link = world.modern(config);
    world.call("a", "one");
    let waiting = world.call("a", "two");
    world.sent(link);
    world.feed(McpCommand::Cancel {
        call: waiting,
        reason: None,
    });
    let outcome = world.outcome(waiting).unwrap().unwrap_err();
    assert_eq!(outcome, CallError::Cancelled { sent: Sent::No });
    assert!(world.sent(link).is_empty());
}

#[test]
fn cancelling_a_sent_call_tells_the_server_and_counts_the_late_answer() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "slow");
    let frame = world.sent(link).remove(0);
    world.feed(McpCommand::Cancel {
        call,
        reason: Some("enough".into()),
    });
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert_eq!(
        outcome,
        CallError::Cancelled {
            sent: Sent::Unknown
        }
    );
    let told = world.sent(link).remove(0);
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(
        told["params"],
        json!({"requestId": frame["id"], "reason": "enough"})
    );
    world.say(link, answer(&frame, json!({})));
    world.say(link, answer(&frame, json!({})));
    assert!(world.outcome(call).is_none());
    let stats = world.fleet.stats().total;
    assert_eq!(
        (stats.late_answers, stats.violations, stats.in_flight),
        (1, 1, 0)
    );
}

#[test]
fn cancelling_twice_or_after_the_end_changes_nothing() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({})));
    assert!(world.outcome(call).unwrap().is_ok());
    world.feed(McpCommand::Cancel { call, reason: None });
    world.feed(McpCommand::Cancel {
        call: CallId(999),
        reason: None,
    });
    assert!(world.outcome(call).is_none());
    assert!(world.sent(link).is_empty());
}

#[test]
fn a_deadline_ends_the_call_tells_the_server_and_frees_the_place() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.in_flight = 1;
    let link = world.modern(config);
    let timeout = Some(Duration::from_secs(2));
    let call = world.call_with(
        "a",
        "slow",
        CallOptions {
            timeout,
            progress: false,
            ..CallOptions::default()
        },
    );
    let next = world.call("a", "next");
    let frame = world.sent(link).remove(0);
    world.pass(Duration::from_millis(1999));
    assert!(world.outcome(call).is_none());
    world.pass(Duration::from_millis(1));
    let outcome = world.outcome(call).unwrap().unwrap_err();
    let after = Duration::from_secs(2);
    assert_eq!(
        outcome,
        CallError::TimedOut {
            after,
            sent: Sent::Unknown
        }
    );
    let sent = world.sent(link);
    assert_eq!(sent[0]["method"], "notifications/cancelled");
    assert_eq!(sent[0]["params"]["requestId"], frame["id"]);
    assert_eq!(sent[1]["params"]["name"], "next");
    assert!(world.outcome(next).is_none());
}

#[test]
fn deadlines_of_nothing_and_of_for_ever_neither_hang_nor_overflow() {
    let mut world = World::new();
    world.modern(server("a"));
    let zero = CallOptions {
        timeout: Some(Duration::ZERO),
        progress: false,
        ..CallOptions::default()
    };
    let call = world.call_with("a", "t", zero);
    world.pass(Duration::ZERO);
    assert!(matches!(
        world.outcome(call),
        Some(Err(CallError::TimedOut { .. }))
    ));
    let ever = CallOptions {
        timeout: Some(Duration::MAX),
        progress: false,
        ..CallOptions::default()
    };
    let call = world.call_with("a", "t", ever);
    world.pass(Duration::from_secs(1 << 30));
    assert!(world.outcome(call).is_none());
}

#[test]
fn progress_starts_the_deadline_anew_up_to_the_maximum() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.timeout_max = Duration::from_secs(5);
    let link = world.legacy(config, "2025-11-25");
    let options = CallOptions {
        timeout: Some(Duration::from_secs(2)),
        progress: true,
        ..CallOptions::default()
    };
    let call = world.call_with("a", "slow", options);
    let frame = world.sent(link).remove(0);
    let token = frame["params"]["_meta"]["progressToken"].clone();
    let progress = |value: f64| {
        json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": value, "total": 10, "message": "m"}})
    };
    for step in 1..=3_u8 {
        world.pass(Duration::from_millis(1500));
        world.say(link, progress(f64::from(step)));
    }
    world.say(link, progress(3.0));
    world.say(link, progress(2.0));
    let reports: Vec<f64> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::CallProgress { progress, .. } => Some(*progress),
            _ => None,
        })
        .collect();
    assert_eq!(reports, [1.0, 2.0, 3.0], "only what grows is told");
    world.pass(Duration::from_millis(500));
    let outcome = world.outcome(call).unwrap().unwrap_err();
    let after = Duration::from_secs(5);
    assert_eq!(
        outcome,
        CallError::TimedOut {
            after,
            sent: Sent::Unknown
        }
    );
    assert_eq!(world.fleet.stats().total.violations, 2);
}

#[test]
fn a_crash_ends_every_call_in_flight_once_and_says_what_was_sent() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.in_flight = 2;
    let link = world.modern(config);
    let probe_bytes: u64 = 10_000;
    world.wrote(link, probe_bytes);
    let written = world.call("a", "one");
    let unwritten = world.call("a", "two");
    let parked = world.call("a", "three");
    let handed: Vec<usize> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { bytes, .. } => Some(bytes.len()),
            _ => None,
        })
        .collect();
    assert_eq!(handed.len(), 2);
    world.feed(Signal::Exited {
        link,
        exit: Exit::Signal(11),
    });
    world.feed(Signal::Eof { link });
    assert!(
        world.outcome(written).is_none(),
        "until the last count of bytes has come"
    );
    world.feed(Signal::Closed { link });
    for (call, want) in [
        (written, Sent::Unknown),
        (unwritten, Sent::Unknown),
        (parked, Sent::No),
    ] {
        let outcome = world.outcome(call).unwrap().unwrap_err();
        let CallError::ServerGone { exit, sent, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((exit, sent), (Some(Exit::Signal(11)), want));
    }
    assert_eq!(world.fleet.stats().total.crashes, 1);
}

#[test]
fn a_frame_of_which_no_byte_was_written_was_not_sent() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let Some(Effect::Send {
        bytes: probe_frame, ..
    }) = world.effects.first().cloned()
    else {
        panic!()
    };
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    world.wrote(link, u64::try_from(probe_frame.len()).unwrap());
    let first = world.call("a", "one");
    let second = world.call("a", "two");
    world.wrote(link, 1);
    world.feed(Signal::WriteFailed {
        link,
        message: "broken pipe".into(),
    });
    world.exit(link, Exit::Code(3));
    for (call, want) in [(first, Sent::Unknown), (second, Sent::No)] {
        let outcome = world.outcome(call).unwrap().unwrap_err();
        let CallError::ServerGone { sent, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(sent, want);
    }
}

#[test]
fn calls_to_a_failed_server_fail_fast_with_the_reason() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let bytes = bytes::Bytes::from_static(b"out of cheese\n");
    world.feed(Signal::Stderr {
        link,
        bytes,
        dropped: 0,
    });
    world.exit(link, Exit::Code(9));
    let call = world.call("a", "t");
    let outcome = world.outcome(call).unwrap().unwrap_err();
    let CallError::Unavailable { reason, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        reason.contains("exit status 9") && reason.contains("out of cheese"),
        "{reason}"
    );
}

#[test]
fn an_unknown_server_is_named_with_its_near_miss() {
    let mut world = World::new();
    world.modern(server("files"));
    for name in ["Files", "fiels", "fil", "filesystem"] {
        let call = world.call(name, "t");
        let outcome = world.outcome(call).unwrap().unwrap_err();
        assert_eq!(
            outcome.to_string(),
            format!("no server named {name:?}; did you mean \"files\"?")
        );
    }
    for name in ["", "search"] {
        let call = world.call(name, "t");
        let outcome = world.outcome(call).unwrap().unwrap_err();
        assert_eq!(outcome.to_string(), format!("no server named {name:?}"));
    }
}

#[test]
fn malformed_answers_end_their_call_and_the_session_goes_on() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.say_raw(
        link,
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}},\"error\":{{\"code\":1,\"message\":\"m\"}}}}\n", frame["id"]),
    );
    assert!(matches!(
        world.outcome(call),
        Some(Err(CallError::Protocol { .. }))
    ));
    world.say_raw(
        link,
        "\r\n\nnpm notice new version\n{\"level\":\"info\"}\n[1,2]\n\u{fffd}\n",
    );
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.say(link, error(&frame, -32000, "busy"));
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert!(matches!(outcome, CallError::Rpc(error) if error.code == -32000));
    let stats = world.fleet.stats().total;
    assert!(stats.noise_lines >= 2, "{stats:?}");
}

#[test]
fn ids_come_back_as_floats_or_strings_and_still_correlate() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    for form in ["{}.0", "\"{}\""] {
        let call = world.call("a", "t");
        let id = world.sent(link).remove(0)["id"].to_string();
        let id = form.replace("{}", &id);
        world.say_raw(
            link,
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n"),
        );
        assert!(world.outcome(call).unwrap().is_ok());
    }
}

#[test]
fn unknown_ids_are_counted_and_ignored() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    world.say(link, json!({"jsonrpc": "2.0", "id": 4711, "result": {}}));
    world.say(link, json!({"jsonrpc": "2.0", "id": "x", "result": {}}));
    assert!(world.outcome(call).is_none());
    assert_eq!(world.fleet.stats().total.violations, 2);
}

#[test]
fn an_unknown_result_type_makes_the_result_invalid() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    for (kind, valid) in [(json!("complete"), true), (json!("task"), false)] {
        let call = world.call("a", "t");
        let frame = world.sent(link).remove(0);
        world.say(
            link,
            answer(&frame, json!({"resultType": kind, "content": []})),
        );
        assert_eq!(world.outcome(call).unwrap().is_ok(), valid, "{kind}");
    }
}

#[test]
fn results_come_back_byte_for_byte() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    let id = world.sent(link).remove(0)["id"].to_string();
    let result = r#"{ "b":1e400, "a":18446744073709551617, "content":[{"x":"\ud83d\ude00"}]}"#;
    world.say_raw(
        link,
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n"),
    );
    let raw = world.events.iter().find_map(|event| match event {
        Event::CallEnded {
            call: ended,
            outcome: Ok(raw),
        } if *ended == call => Some(raw.clone()),
        _ => None,
    });
    assert_eq!(raw.unwrap().as_str(), result);
}

#[test]
fn any_method_can_be_called_but_the_fleets_own() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    let mut run = |method: &str, params: Option<&str>| {
        let call = CallId(world.id());
        let params = params.map(|params| RawJson::parse(params).unwrap());
        let request = Request::Method {
            method: method.into(),
            params,
        };
        let options = CallOptions::default();
        world.feed(McpCommand::Execute {
            call,
            server: "a".into(),
            request,
            options,
        });
        world.outcome(call)
    };
    assert!(run("completion/complete", Some(r#"{"ref":1}"#)).is_none());
    for (method, params) in [
        ("initialize", None),
        ("notifications/x", None),
        ("x", Some("[1]")),
        ("", None),
    ] {
        let outcome = run(method, params).unwrap().unwrap_err();
        assert!(
            matches!(outcome, CallError::InvalidRequest { .. }),
            "{method}: {outcome:?}"
        );
    }
    let sent = world.sent(link);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["params"], json!({"ref": 1}));
}

#[test]
fn latencies_and_causes_are_counted_by_server_and_in_total() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    world.modern(server("b"));
    for _ in 0..10 {
        let call = world.call("a", "t");
        let frame = world.sent(link).remove(0);
        world.pass(Duration::from_millis(20));
        world.say(link, answer(&frame, json!({})));
        assert!(world.outcome(call).unwrap().is_ok());
    }
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.say(link, error(&frame, 1, "m"));
    assert!(world.outcome(call).unwrap().is_err());
    let id = world.command(|id| McpCommand::GetMetrics {
        id,
        server: Some("a".into()),
    });
    let Some(Ok(Reply::Metrics(one))) = world.reply(id) else {
        panic!()
    };
    assert_eq!(
        (one.total.succeeded, one.total.errors.rpc, one.total.calls),
        (10, 1, 11)
    );
    let p50 = one.total.latency.p50;
    assert!(
        p50 >= Duration::from_millis(20) && p50 < Duration::from_millis(22),
        "{p50:?}"
    );
    let id = world.command(|id| McpCommand::GetMetrics { id, server: None });
    let Some(Ok(Reply::Metrics(all))) = world.reply(id) else {
        panic!()
    };
    assert_eq!(
        (all.servers, all.active_servers, all.total.succeeded),
        (2, 2, 10)
    );
    assert_eq!(all.by_server[1].1.calls, 0, "b had none");
}

#[test]
fn twenty_thousand_deadlines_at_one_instant_are_handled_in_turns() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.queue = 50_000;
    world.modern(config);
    let calls: Vec<_> = (0..20_000).map(|_| world.call("a", "t")).collect();
    world.pass(Duration::from_secs(61));
    assert!(calls.iter().all(|call| matches!(
        world_outcome(&world, *call),
        Some(Err(CallError::TimedOut { .. }))
    )));
}

fn world_outcome(world: &World, id: CallId) -> Option<Result<RawJson, CallError>> {
    // A linear search a call would be quadratic: outcomes are in order of the calls.
    let index = world.events.binary_search_by_key(&id, |event| match event {
        Event::CallEnded { call, .. } => *call,
        _ => CallId(0),
    });
    match world.events.get(index.ok()?)? {
        Event::CallEnded { outcome, .. } => Some(outcome.clone()),
        _ => None,
    }
}
