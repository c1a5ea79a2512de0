//! Calls that are lost with their server: which are made again, and which never are.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CallOptions, Effect, Exit, LinkId, McpCommand, RawJson, Request, Sent,
    ServerState, Signal,
    config::{Replace, Restart, Retry, ServerConfig},
};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, server};

fn lasting(retry: Retry) -> ServerConfig {
    let mut config = server("a");
    config.restart = Restart::Always;
    config.retry = retry;
    config.limits.retry_percent = 100;
    config
}

fn tools() -> Value {
    json!([
        {"name": "look", "annotations": {"readOnlyHint": true}},
        {"name": "s\u{e4}t", "annotations": {"idempotentHint": true, "readOnlyHint": false}},
        {"name": "pay", "annotations": {"readOnlyHint": false, "title": "Pay"}},
        {"name": "plain"},
        {"name": "twice", "annotations": {"readOnlyHint": true}},
        {"name": "twice"},
    ])
}

/// Opens the session on a link that was opened, and lets it be read.
fn greet(world: &mut World, link: LinkId, tools: Value) {
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({"tools": {}}))));
    let sent = world.sent(link);
    let list = |frame: &&Value| frame["method"] == "tools/list";
    let page = sent.iter().find(list).expect("a reading of the tools");
    let page = answer(page, json!({"tools": tools}));
    for frame in sent {
        world.feed(Signal::Wrote {
            link,
            bytes: u64::try_from(frame.to_string().len() + 1).unwrap(),
        });
    }
    world.say(link, page);
}

fn ready(world: &mut World, config: ServerConfig) -> LinkId {
    let (link, _) = world.deploy_config(config);
    let greeting = handed(world);
    world.wrote(link, greeting);
    greet(world, link, tools());
    world.clear();
    link
}

/// Bytes that were handed over and not looked at.
fn handed(world: &World) -> u64 {
    let lengths = world.effects.iter().map(|effect| match effect {
        Effect::Send { bytes, .. } => u64::try_from(bytes.len()).unwrap(),
        _ => 0,
    });
    lengths.sum()
}

fn call(world: &mut World, tool: &str) -> CallId {
    world.call("a", tool)
}

/// The next incarnation, ready.
fn revive(world: &mut World) -> LinkId {
    while !world
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Open { .. }))
    {
        let deadline = world.fleet.poll_timeout().expect("a deadline").at;
        world.pass(deadline.since(world.now));
    }
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    link
}

fn sent_of(world: &mut World, call: CallId) -> Option<Sent> {
    match world.outcome(call)? {
        Err(CallError::ServerGone { sent, .. }) => Some(sent),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_of_which_nothing_was_written_waits_for_the_next_incarnation() {
    let mut world = World::new();
    let mut config = lasting(Retry::Unsent);
    config.limits.in_flight = 2;
    config.limits.retry_percent = 0;
    let link = ready(&mut world, config);
    let (first, second) = (call(&mut world, "pay"), call(&mut world, "pay"));
    let parked = call(&mut world, "pay");
    world.wrote(link, 1);
    world.exit(link, Exit::Signal(11));
    assert_eq!(sent_of(&mut world, first), Some(Sent::Unknown));
    assert_eq!(world.outcome(second), None);
    let later = call(&mut world, "pay");
    let next = revive(&mut world);
    let frames = world.sent(next);
    let order = [second, parked].map(|call| json!(call.0));
    let names = |frame: &Value| frame["params"]["arguments"]["n"].clone();
    assert_eq!(frames.iter().map(names).collect::<Vec<_>>(), order);
    for frame in frames {
        world.say(next, answer(&frame, json!({})));
    }
    assert!(world.outcome(second).unwrap().is_ok());
    let frame = world.sent(next).remove(0);
    assert_eq!(names(&frame), later.0);
    let stats = world.fleet.stats().total;
    assert_eq!((stats.retries, stats.requeued), (0, 1));
}

#[test]
fn without_retries_every_lost_call_is_told_at_once() {
    let mut world = World::new();
    let link = ready(&mut world, lasting(Retry::Never));
    let (first, second) = (call(&mut world, "look"), call(&mut world, "look"));
    world.wrote(link, 1);
    world.exit(link, Exit::Code(1));
    assert_eq!(sent_of(&mut world, first), Some(Sent::Unknown));
    assert_eq!(sent_of(&mut world, second), Some(Sent::No));
    assert_eq!(world.state("a"), ServerState::Backoff);
}

#[test]
fn only_tools_that_are_said_to_bear_it_are_called_again() {
    let mut world = World::new();
    let link = ready(&mut world, lasting(Retry::Idempotent));
    let again = ["look", "s\u{e4}t"].map(|tool| call(&mut world, tool));
    let never = ["pay", "plain", "twice", "unknown"].map(|tool| call(&mut world, tool));
    let method = CallId(world.id());
    world.feed(McpCommand::Execute {
        call: method,
        server: "a".to_owned(),
        request: Request::Method {
            method: "tools/call".to_owned(),
            params: RawJson::parse(r#"{"name":"look"}"#).ok(),
        },
        options: CallOptions::default(),
    });
    world.wrote(link, 1 << 20);
    world.exit(link, Exit::Code(1));
    for call in never.into_iter().chain([method]) {
        assert_eq!(sent_of(&mut world, call), Some(Sent::Unknown));
    }
    assert_eq!(again.map(|call| world.outcome(call)), [None, None]);
    let next = revive(&mut world);
    let frames = world.sent(next);
    assert_eq!(frames.len(), 2);
    world.say(next, answer(&frames[0], json!({"resultType": "complete"})));
    assert!(world.outcome(again[0]).unwrap().is_ok());
    assert_eq!(world.fleet.stats().total.retries, 2);
    world.wrote(next, 1 << 20);
    world.exit(next, Exit::Code(1));
    assert_eq!(
        sent_of(&mut world, again[1]),
        Some(Sent::Unknown),
        "once more is enough"
    );
}

#[test]
fn a_list_that_changed_says_nothing_of_its_tools() {
    let mut world = World::new();
    let link = ready(&mut world, lasting(Retry::Idempotent));
    let lost = call(&mut world, "look");
    world.wrote(link, 1 << 20);
    world.say(
        link,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}),
    );
    world.exit(link, Exit::Code(1));
    assert_eq!(sent_of(&mut world, lost), Some(Sent::Unknown));
}

fn update_program(world: &mut World, replace: Replace) {
    let mut config = lasting(Retry::Idempotent);
    let mcp_fleet_core::config::Kind::Stdio(stdio) = &mut config.kind else {
        panic!()
    };
    stdio.command = "other".to_owned();
    config.replace = replace;
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config });
}

#[test]
fn another_program_is_not_trusted_for_the_words_of_the_one_before() {
    let mut world = World::new();
    let link = ready(&mut world, lasting(Retry::Idempotent));
    let lost = call(&mut world, "look");
    world.wrote(link, 1 << 20);
    update_program(&mut world, Replace::InTurn);
    world.exit(link, Exit::Code(0));
    assert_eq!(sent_of(&mut world, lost), Some(Sent::Unknown));
}

#[test]
fn a_call_that_may_have_run_is_not_made_again_by_those_who_take_over() {
    let mut world = World::new();
    let link = ready(&mut world, lasting(Retry::Idempotent));
    let lost = call(&mut world, "look");
    world.wrote(link, 1 << 20);
    update_program(&mut world, Replace::Beside);
    let next = world.opened();
    world.exit(link, Exit::Code(1));
    assert_eq!(
        sent_of(&mut world, lost),
        None,
        "it waits for its own server"
    );
    world.feed(Signal::Opened {
        link: next,
        pid: None,
    });
    greet(&mut world, next, tools());
    assert_eq!(sent_of(&mut world, lost), Some(Sent::Unknown));
}

#[test]
fn retries_are_a_share_of_the_calls_at_every_moment() {
    let mut world = World::new();
    let mut config = lasting(Retry::Idempotent);
    config.limits.retry_percent = 20;
    // The budget alone is to be seen.
    config.limits.breaker_failures = 0;
    config.limits.breaker_percent = 0;
    config.limits.restarts = 100;
    let mut link = ready(&mut world, config);
    let mut made = 0;
    for _ in 0..10 {
        let calls = [0; 7].map(|_| call(&mut world, "look"));
        world.wrote(link, 1 << 20);
        made += calls.len();
        world.exit(link, Exit::Code(1));
        let stats = world.fleet.stats().total;
        assert_eq!(stats.retries, u64::try_from(made * 20 / 100).unwrap());
        let open = calls.iter().filter(|call| world.outcome(**call).is_none());
        let open = open.count();
        assert!(open <= 2, "{open}");
        while !world
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Open { .. }))
        {
            let deadline = world.fleet.poll_timeout().expect("a deadline").at;
            world.pass(deadline.since(world.now));
        }
        link = world.opened();
        world.feed(Signal::Opened { link, pid: None });
        greet(&mut world, link, tools());
        for frame in world.sent(link) {
            world.say(link, answer(&frame, json!({"resultType": "complete"})));
        }
        world.clear();
    }
}

#[test]
fn a_call_that_is_made_again_keeps_its_deadline_and_says_that_it_may_have_run() {
    let mut world = World::new();
    let mut config = lasting(Retry::Idempotent);
    config.limits.backoff = Duration::from_secs(30);
    config.limits.timeout = Duration::from_millis(10);
    let link = ready(&mut world, config);
    let (late, given_up) = (call(&mut world, "look"), call(&mut world, "look"));
    world.wrote(link, 1 << 20);
    world.pass(Duration::from_millis(5));
    world.exit(link, Exit::Code(1));
    assert_eq!(world.fleet.stats().total.retries, 2);
    world.feed(McpCommand::Cancel {
        call: given_up,
        reason: None,
    });
    let sent = Sent::Unknown;
    assert_eq!(
        world.outcome(given_up),
        Some(Err(CallError::Cancelled { sent }))
    );
    world.pass(Duration::from_millis(5));
    let after = Duration::from_millis(10);
    assert_eq!(
        world.outcome(late),
        Some(Err(CallError::TimedOut { after, sent }))
    );
    assert_eq!(world.fleet.stats().total.queued, 0);
}

#[test]
fn a_call_that_waits_to_be_made_again_ends_with_its_own_loss() {
    let mut world = World::new();
    let link = ready(&mut world, lasting(Retry::Idempotent));
    let (written, unsent) = (call(&mut world, "look"), call(&mut world, "look"));
    let bytes = bytes::Bytes::from_static(b"out of cheese\n");
    world.feed(Signal::Stderr {
        link,
        bytes,
        dropped: 0,
    });
    world.wrote(link, 1);
    world.exit(link, Exit::Code(9));
    world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".to_owned(),
    });
    let lost = world.outcome(written).unwrap().unwrap_err();
    let CallError::ServerGone {
        exit,
        stderr_tail,
        sent,
        ..
    } = lost
    else {
        panic!("{lost:?}")
    };
    assert_eq!((exit, sent), (Some(Exit::Code(9)), Sent::Unknown));
    assert!(stderr_tail.contains("cheese"));
    let refused = world.outcome(unsent).unwrap().unwrap_err();
    assert!(
        matches!(refused, CallError::Unavailable { .. }),
        "{refused:?}"
    );
}

#[test]
fn no_call_waits_for_a_server_that_will_not_come() {
    for restart in [Restart::Never, Restart::Always] {
        let mut world = World::new();
        let mut config = lasting(Retry::Idempotent);
        config.restart = restart;
        config.limits.restarts = 0;
        let link = ready(&mut world, config);
        let (written, unsent) = (call(&mut world, "look"), call(&mut world, "look"));
        world.wrote(link, 1);
        world.exit(link, Exit::Code(1));
        assert_eq!(sent_of(&mut world, written), Some(Sent::Unknown));
        assert_eq!(sent_of(&mut world, unsent), Some(Sent::No));
        assert_eq!(world.fleet.stats().total.retries, 0);
    }
}
