//! Servers that hang, and servers that are merely slow.

use std::time::Duration;

use mcp_fleet_core::{
    CallOptions, Event, Failure, LinkId, McpCommand, Reply, ServerState,
    config::{Restart, ServerConfig},
};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, server};

const INTERVAL: Duration = Duration::from_secs(30);
/// An interval, and the time that an answer may take.
const ROUND: Duration = Duration::from_secs(46);

fn checked(name: &str) -> ServerConfig {
    let mut config = server(name);
    config.limits.health_interval = INTERVAL;
    config
}

fn failure(world: &World) -> Option<Failure> {
    world.events.iter().rev().find_map(|event| match event {
        Event::ServerChanged { failure, .. } => failure.clone(),
        _ => None,
    })
}

fn checks(frames: &[Value]) -> Vec<Value> {
    let asks = |frame: &&Value| {
        let method = frame["method"].as_str();
        method == Some("ping") || method == Some("server/discover")
    };
    frames.iter().filter(asks).cloned().collect()
}

#[test]
fn a_server_that_answers_is_left_alone_in_either_era() {
    let mut world = World::new();
    let (new, old) = (
        world.modern(checked("new")),
        world.legacy(checked("old"), "2025-11-25"),
    );
    for _ in 0..20 {
        world.pass(INTERVAL);
        for (link, method) in [(new, "server/discover"), (old, "ping")] {
            let asked = checks(&world.sent(link));
            assert_eq!(asked.len(), 1);
            assert_eq!(asked[0]["method"], method);
            world.say(link, answer(&asked[0], discovered(json!({}))));
        }
    }
    assert_eq!(world.fleet.stats().active_servers, 2);
}

#[test]
fn a_server_that_hangs_is_started_anew_after_three_checks() {
    let mut world = World::new();
    let mut config = checked("a");
    config.restart = Restart::Always;
    let link = world.modern(config);
    for _ in 0..2 {
        world.pass(ROUND);
        assert_eq!(world.state("a"), ServerState::Ready, "slow is not dead");
    }
    world.pass(INTERVAL * 2);
    assert_eq!(world.state("a"), ServerState::Closing);
    world.exit(link, mcp_fleet_core::Exit::Signal(9));
    assert_eq!(failure(&world), Some(Failure::Unresponsive { checks: 3 }));
    assert_eq!(world.state("a"), ServerState::Backoff);
    assert_eq!(world.fleet.stats().total.crashes, 1);
}

#[test]
fn any_word_is_a_sign_of_life() {
    let mut world = World::new();
    let link = world.legacy(checked("a"), "2025-11-25");
    for _ in 0..20 {
        world.pass(INTERVAL);
        let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
        world.say(link, note);
    }
    assert_eq!(world.state("a"), ServerState::Ready);
}

fn busy(world: &mut World, timeout: Duration) -> LinkId {
    let link = world.modern(checked("a"));
    let options = CallOptions {
        timeout: Some(timeout),
        progress: false,
        ..CallOptions::default()
    };
    world.call_with("a", "slow", options);
    link
}

#[test]
fn a_server_at_work_may_be_silent_until_a_call_times_out() {
    let mut world = World::new();
    busy(&mut world, Duration::from_secs(500));
    world.pass(Duration::from_secs(499));
    assert_eq!(
        world.state("a"),
        ServerState::Ready,
        "it works on a long call"
    );
    world.pass(ROUND * 4);
    assert_eq!(
        world.state("a"),
        ServerState::Closing,
        "the call timed out without a word"
    );
}

#[test]
fn new_calls_do_not_hide_a_server_that_hangs() {
    let mut world = World::new();
    busy(&mut world, Duration::from_secs(10));
    for _ in 0..30 {
        world.pass(Duration::from_secs(7));
        let options = CallOptions {
            timeout: Some(Duration::from_secs(10)),
            progress: false,
            ..CallOptions::default()
        };
        world.call_with("a", "slow", options);
    }
    assert_eq!(world.state("a"), ServerState::Closing);
}

#[test]
fn after_a_suspension_of_the_host_nobody_is_restarted() {
    let mut world = World::new();
    for number in 0..20 {
        world.modern(checked(&format!("s{number}")));
    }
    for _ in 0..10 {
        // One jump over many intervals, then the machine is told of it once.
        world.now = world.now.after(Duration::from_secs(3600));
        while world
            .fleet
            .poll_timeout()
            .is_some_and(|due| due.at <= world.now)
        {
            world.fleet.handle_timeout(world.now);
        }
    }
    assert_eq!(world.fleet.stats().active_servers, 20);
}

#[test]
fn the_interval_can_be_changed_and_turned_off() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    world.pass(ROUND * 10);
    assert!(checks(&world.sent(link)).is_empty(), "it was off");
    for (interval, want) in [(Duration::from_secs(1), 1), (Duration::ZERO, 0)] {
        let mut config = server("a");
        config.limits.health_interval = interval;
        let config = Box::new(config);
        let id = world.command(|id| McpCommand::UpdateConfig { id, config });
        assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
        world.sent(link);
        world.pass(Duration::from_secs(2));
        let asked = checks(&world.sent(link));
        assert_eq!(asked.len(), want);
        for ask in asked {
            world.say(link, answer(&ask, discovered(json!({}))));
        }
    }
}

#[test]
fn a_server_that_talks_is_alive_though_it_does_not_read() {
    let mut world = World::new();
    let mut config = checked("a");
    config.limits.health_failures = 1;
    config.limits.write_bytes = 1;
    let (link, _) = world.deploy_config(config);
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    for _ in 0..5 {
        world.pass(INTERVAL - Duration::from_secs(1));
        let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
        world.say(link, note);
        world.pass(Duration::from_secs(1));
        assert_eq!(world.state("a"), ServerState::Ready);
    }
    world.pass(INTERVAL * 2);
    assert_eq!(world.state("a"), ServerState::Closing, "silent and deaf");
}
