//! What no peer and no caller can make grow, or happen twice.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CallOptions, Event, Exit, McpCommand, RawJson, Reply, Request, Sent,
    ServerState, Signal,
};
use serde_json::json;

use crate::world::{World, answer, server};

#[test]
fn a_server_that_does_not_read_has_no_more_waiting_than_its_queue() {
    let mut config = server("a");
    config.limits.write_bytes = 1;
    config.limits.in_flight = 10;
    config.limits.queue = 2;
    let mut world = World::new();
    let (link, _) = world.deploy_config(config);
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, crate::world::discovered(json!({}))));
    let calls: Vec<CallId> = (0..5).map(|_| world.call("a", "t")).collect();
    let refused = calls.iter().filter(|call| {
        let outcome = world.outcome(**call);
        matches!(outcome, Some(Err(CallError::Overloaded { .. })))
    });
    assert_eq!(refused.count(), 3);
    assert_eq!(world.fleet.stats().total.queued, 2);
}

#[test]
fn a_call_id_in_use_is_not_taken_twice() {
    let mut config = server("a");
    config.limits.in_flight = 1;
    let mut world = World::new();
    let link = world.legacy(config, "2025-11-25");
    let call = world.call("a", "t");
    let request = Request::Tool {
        name: "other".to_owned(),
        arguments: None,
    };
    for server in ["a", "nowhere"] {
        world.feed(McpCommand::Execute {
            call,
            server: server.to_owned(),
            request: request.clone(),
            options: CallOptions::default(),
        });
    }
    let sent = world.sent(link);
    assert_eq!(sent.len(), 1);
    world.say(link, answer(&sent[0], json!({"ok": true})));
    assert_eq!(world.outcome(call).unwrap().unwrap()["ok"], true);
    assert_eq!(world.fleet.stats().total.calls, 1);
    assert_eq!(world.fleet.stats().total.in_flight, 0);
}

#[test]
fn a_call_whose_deadline_has_passed_is_not_sent() {
    let mut config = server("a");
    config.limits.in_flight = 1;
    let mut world = World::new();
    let link = world.legacy(config, "2025-11-25");
    let options = CallOptions {
        timeout: Some(Duration::ZERO),
        progress: false,
        ..CallOptions::default()
    };
    let none = world.call_with("a", "t", options);
    let timed_out = |after| {
        let sent = Sent::No;
        Some(Err(CallError::TimedOut { after, sent }))
    };
    assert_eq!(world.outcome(none), timed_out(Duration::ZERO));
    assert!(world.sent(link).is_empty());
    world.call("a", "t");
    let second = Duration::from_secs(1);
    let options = CallOptions {
        timeout: Some(second),
        progress: false,
        ..CallOptions::default()
    };
    let late = world.call_with("a", "t", options);
    // The machine sleeps through the deadline; the answer of the first call wakes it.
    world.now = world.now.after(2 * second);
    let first = world.sent(link).remove(0);
    world.say(link, answer(&first, json!({})));
    assert_eq!(world.outcome(late), timed_out(second));
    assert!(world.sent(link).is_empty());
}

#[test]
fn a_server_that_does_not_read_is_asked_nothing_more() {
    let mut config = server("a");
    config.limits.write_bytes = 1000;
    config.limits.waiting = 3;
    let mut world = World::new();
    let (link, _) = world.deploy_config(config);
    let probe = world.sent(link).remove(0);
    world.say(
        link,
        answer(&probe, crate::world::discovered(json!({"tools": {}}))),
    );
    world.sent(link);
    let mut sent = 0;
    for _ in 0..200 {
        for _ in 0..5 {
            world.command(|id| McpCommand::HealthCheck { id, server: None });
        }
        world.pass(Duration::from_secs(60));
        sent += world.sent(link).len();
    }
    assert!(sent < 30, "{sent} frames pile up");
    let ended = |event: &&Event| matches!(event, Event::CommandEnded { .. });
    assert_eq!(world.events.iter().filter(ended).count(), 1001);
}

#[test]
fn every_bound_of_a_running_server_can_be_changed() {
    let mut world = World::new();
    let mut config = server("a");
    let link = world.legacy(config.clone(), "2025-11-25");
    config.limits.line_bytes = 100;
    config.limits.log_bytes = 5;
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config });
    world.feed(Signal::Stderr {
        link,
        bytes: "0123456789".into(),
        dropped: 0,
    });
    let call = world.call("a", "t");
    world.say_raw(link, "x".repeat(101));
    world.exit(link, Exit::Code(1));
    let Err(CallError::ServerGone { stderr_tail, .. }) = world.outcome(call).unwrap() else {
        panic!()
    };
    assert_eq!(stderr_tail, "56789");
    assert_eq!(world.state("a"), ServerState::Failed);
}

#[test]
fn tokens_that_callers_bring_never_reach_the_server() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    for _ in 0..2 {
        let call = CallId(world.id());
        let params = RawJson::parse(r#"{"name":"t","_meta":{"progressToken":1,"k":2}}"#).unwrap();
        let request = Request::Method {
            method: "tools/call".to_owned(),
            params: Some(params),
        };
        world.feed(McpCommand::Execute {
            call,
            server: "a".to_owned(),
            request,
            options: CallOptions::default(),
        });
        let sent = world.sent(link).remove(0);
        let id = sent["id"].to_string();
        let meta = json!({"progressToken": id.parse::<u64>().unwrap(), "k": 2});
        assert_eq!(sent["params"]["_meta"], meta);
    }
}

#[test]
fn a_health_check_that_is_lost_says_in_which_state() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    let id = world.command(|id| McpCommand::HealthCheck { id, server: None });
    world.exit(link, Exit::Code(1));
    let Some(Ok(Reply::Health(all))) = world.reply(id) else {
        panic!()
    };
    assert_eq!(all[0].state, ServerState::Closing);
}
