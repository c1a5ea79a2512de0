//! Servers that lose calls, and are spared more of them for a while.

use std::time::Duration;

use mcp_fleet_core::{
    BreakerState, CallError, CallId, CallOptions, Event, Exit, LinkId, McpCommand, Reply, Sent,
    ServerState, Signal,
    config::{Restart, ServerConfig},
};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, error, server};

const OPEN: Duration = Duration::from_secs(5);
const INTERNAL: i64 = -32603;

fn guarded() -> ServerConfig {
    let mut config = server("a");
    config.limits.breaker_failures = 3;
    config.limits.breaker_percent = 0;
    config.limits.breaker_open = OPEN;
    config
}

fn breaker(world: &mut World) -> BreakerState {
    let id = world.command(|id| McpCommand::ListServers { id });
    let Some(Ok(Reply::Servers(all))) = world.reply(id) else {
        panic!()
    };
    all[0].breaker
}

/// The breaker's states since they were last asked for.
fn changes(world: &mut World) -> Vec<BreakerState> {
    let mut states = Vec::new();
    world.events.retain(|event| match event {
        Event::BreakerChanged { state, .. } => {
            states.push(*state);
            false
        }
        _ => true,
    });
    states
}

/// A call that is sent, and its frame.
fn sent(world: &mut World, link: LinkId) -> (CallId, Value) {
    let call = world.call("a", "t");
    (call, world.sent(link).pop().expect("it is sent"))
}

/// A server whose breaker has opened.
fn opened(world: &mut World) -> LinkId {
    let link = world.modern(guarded());
    lose_three(world, link);
    link
}

fn lose_three(world: &mut World, link: LinkId) {
    for _ in 0..3 {
        let (_, frame) = sent(world, link);
        world.say(link, error(&frame, INTERNAL, "oh no"));
    }
    assert_eq!(changes(world), [BreakerState::Open]);
}

fn refusal(world: &mut World, call: CallId) -> Duration {
    match world.outcome(call) {
        Some(Err(CallError::BreakerOpen { retry_after, .. })) => retry_after,
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_are_refused_at_once_while_the_breaker_is_open() {
    let mut world = World::new();
    let link = opened(&mut world);
    world.pass(Duration::from_secs(2));
    let call = world.call("a", "t");
    assert_eq!(refusal(&mut world, call), Duration::from_secs(3));
    assert_eq!(world.sent(link), Vec::<Value>::new());
    let stats = &world.fleet.stats();
    assert_eq!(stats.total.breaker_opened, 1);
    assert_eq!(stats.total.errors.breaker_open, 1);
    assert_eq!(breaker(&mut world), BreakerState::Open);
    assert_eq!(world.state("a"), ServerState::Ready);
}

#[test]
fn errors_of_tools_and_of_callers_do_not_open_it() {
    let mut world = World::new();
    let link = world.modern(guarded());
    for round in 0..20 {
        let (call, frame) = sent(&mut world, link);
        match round % 3 {
            0 => world.say(
                link,
                answer(&frame, json!({"content": [], "isError": true})),
            ),
            1 => world.say(link, error(&frame, -32602, "no such tool")),
            _ => world.feed(McpCommand::Cancel { call, reason: None }),
        }
        assert!(world.outcome(call).is_some());
    }
    assert_eq!(breaker(&mut world), BreakerState::Closed);
}

#[test]
fn one_call_tries_again_and_its_success_closes_the_breaker() {
    let mut world = World::new();
    let link = opened(&mut world);
    world.pass(OPEN);
    let (trial, frame) = sent(&mut world, link);
    assert_eq!(changes(&mut world), [BreakerState::HalfOpen]);
    let other = world.call("a", "t");
    assert_eq!(
        refusal(&mut world, other),
        OPEN,
        "as long as a verdict may take"
    );
    world.say(link, answer(&frame, json!({"content": []})));
    assert!(matches!(world.outcome(trial), Some(Ok(_))));
    assert_eq!(changes(&mut world), [BreakerState::Closed]);
    sent(&mut world, link);
}

#[test]
fn a_trial_that_hangs_opens_the_breaker_again_at_its_deadline() {
    let mut world = World::new();
    let link = opened(&mut world);
    for opened in 2..5 {
        world.pass(OPEN);
        let options = CallOptions {
            timeout: Some(Duration::from_secs(1)),
            ..CallOptions::default()
        };
        let trial = world.call_with("a", "t", options);
        assert_eq!(world.sent(link).len(), 1);
        world.pass(Duration::from_secs(1));
        assert!(matches!(
            world.outcome(trial),
            Some(Err(CallError::TimedOut {
                sent: Sent::Unknown,
                ..
            }))
        ));
        let call = world.call("a", "t");
        assert_eq!(refusal(&mut world, call), OPEN);
        assert_eq!(world.fleet.stats().total.breaker_opened, opened);
        world.sent(link);
    }
}

#[test]
fn a_trial_that_is_given_up_lets_another_try() {
    let mut world = World::new();
    let link = opened(&mut world);
    world.pass(OPEN);
    let (trial, _) = sent(&mut world, link);
    world.feed(McpCommand::Cancel {
        call: trial,
        reason: None,
    });
    world.sent(link);
    sent(&mut world, link);
    let third = world.call("a", "t");
    refusal(&mut world, third);
}

#[test]
fn calls_that_wait_when_the_breaker_opens_are_refused_and_never_sent() {
    let mut world = World::new();
    let mut config = guarded();
    config.limits.in_flight = 3;
    let link = world.modern(config);
    let calls: Vec<_> = (0..5).map(|_| world.call("a", "t")).collect();
    let frames = world.sent(link);
    assert_eq!(frames.len(), 3);
    let text: Vec<_> = frames
        .iter()
        .map(|frame| format!("{}\n", error(frame, INTERNAL, "oh no")))
        .collect();
    world.say_raw(link, text.concat());
    for call in &calls[3..] {
        assert_eq!(refusal(&mut world, *call), OPEN);
    }
    assert_eq!(world.sent(link), Vec::<Value>::new());
}

#[test]
fn answers_to_calls_from_before_do_not_close_or_open_it() {
    let mut world = World::new();
    let link = world.modern(guarded());
    let old: Vec<_> = (0..5).map(|_| sent(&mut world, link)).collect();
    lose_three(&mut world, link);
    world.say(link, answer(&old[0].1, json!({"content": []})));
    assert_eq!(breaker(&mut world), BreakerState::Open);
    world.pass(OPEN);
    let (_, frame) = sent(&mut world, link);
    world.say(link, answer(&frame, json!({"content": []})));
    for (_, frame) in &old[1..] {
        world.say(link, error(frame, INTERNAL, "late"));
    }
    assert_eq!(breaker(&mut world), BreakerState::Closed);
}

#[test]
fn a_crash_is_one_loss_however_many_calls_it_takes() {
    let mut world = World::new();
    let mut config = guarded();
    config.restart = Restart::Always;
    let link = world.modern(config);
    let calls: Vec<_> = (0..20).map(|_| sent(&mut world, link).0).collect();
    world.wrote(link, 1_000_000);
    world.exit(link, Exit::Signal(9));
    for call in calls {
        assert!(matches!(
            world.outcome(call),
            Some(Err(CallError::ServerGone {
                sent: Sent::Unknown,
                ..
            }))
        ));
    }
    assert_eq!(breaker(&mut world), BreakerState::Closed);
    let waiting = world.call("a", "t");
    assert_eq!(world.outcome(waiting), None, "it waits for the next life");
}

#[test]
fn a_new_life_is_tried_without_delay() {
    let mut world = World::new();
    let mut config = guarded();
    config.restart = Restart::Always;
    config.limits.backoff = Duration::ZERO;
    config.limits.breaker_open = Duration::from_secs(600);
    let link = world.modern(config);
    lose_three(&mut world, link);
    world.exit(link, Exit::Code(1));
    world.pass(Duration::from_millis(1));
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    assert_eq!(changes(&mut world), [BreakerState::HalfOpen]);
    let (_, frame) = sent(&mut world, link);
    let second = world.call("a", "t");
    refusal(&mut world, second);
    world.say(link, answer(&frame, json!({"content": []})));
    assert_eq!(breaker(&mut world), BreakerState::Closed);
}

#[test]
fn an_operator_who_restarts_a_server_closes_its_breaker() {
    let mut world = World::new();
    opened(&mut world);
    let server = "a".to_owned();
    world.command(|id| McpCommand::Restart { id, server });
    assert_eq!(changes(&mut world), [BreakerState::Closed]);
}

#[test]
fn a_breaker_that_is_turned_off_lets_go() {
    let mut world = World::new();
    let link = opened(&mut world);
    let mut config = guarded();
    config.limits.breaker_failures = 0;
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config });
    for _ in 0..20 {
        let (_, frame) = sent(&mut world, link);
        world.say(link, error(&frame, INTERNAL, "oh no"));
    }
    assert_eq!(breaker(&mut world), BreakerState::Closed);
}

#[test]
fn half_of_the_calls_lost_opens_the_breaker_of_default_limits() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    for round in 0..20 {
        assert_eq!(breaker(&mut world), BreakerState::Closed, "{round}");
        let (_, frame) = sent(&mut world, link);
        if round % 2 == 0 {
            world.say(link, answer(&frame, json!({"content": []})));
        } else {
            world.say(link, error(&frame, INTERNAL, "oh no"));
        }
    }
    assert_eq!(breaker(&mut world), BreakerState::Open);
}

#[test]
fn answers_that_break_the_protocol_open_it() {
    let mut world = World::new();
    let link = world.modern(guarded());
    for _ in 0..3 {
        let (_, frame) = sent(&mut world, link);
        world.say(
            link,
            answer(&frame, json!({"resultType": "something", "content": []})),
        );
    }
    assert_eq!(breaker(&mut world), BreakerState::Open);
}
