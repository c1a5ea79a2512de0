//! Servers that failed and start again: pauses, budgets, turns.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, Effect, Exit, LinkId, McpCommand, Reply, Sent, ServerState, Signal,
    config::{FleetConfig, Restart, ServerConfig},
};
use serde_json::json;

use crate::world::{World, answer, discovered, server};

fn lasting(name: &str) -> ServerConfig {
    let mut config = server(name);
    config.restart = Restart::Always;
    config
}

/// Lets the pause pass, and opens the next incarnation up to readiness.
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

#[test]
fn a_crash_leads_to_a_pause_and_to_the_next_incarnation() {
    let mut world = World::new();
    let link = world.modern(lasting("a"));
    let flying = world.call("a", "t");
    world.sent(link);
    world.wrote(link, 100_000);
    world.exit(link, Exit::Signal(11));
    let outcome = world.outcome(flying).unwrap().unwrap_err();
    let CallError::ServerGone { sent, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        sent,
        Sent::Unknown,
        "a call that may have run is not sent again"
    );
    assert_eq!(world.state("a"), ServerState::Backoff);
    let waiting = world.call("a", "t");
    let next = revive(&mut world);
    assert_eq!(next.incarnation, link.incarnation + 1);
    let frame = world.sent(next).remove(0);
    world.say(next, answer(&frame, json!({})));
    assert!(
        world.outcome(waiting).unwrap().is_ok(),
        "what waited goes out"
    );
    assert_eq!(world.fleet.stats().total.crashes, 1);
}

#[test]
fn calls_that_wait_for_a_restart_keep_their_deadlines_and_their_bounds() {
    let mut world = World::new();
    let mut config = lasting("a");
    config.limits.queue = 1;
    config.limits.backoff = Duration::from_secs(10);
    config.limits.timeout = Duration::from_millis(1);
    let link = world.modern(config);
    world.exit(link, Exit::Code(1));
    let (first, second) = (world.call("a", "t"), world.call("a", "t"));
    assert!(matches!(
        world.outcome(second),
        Some(Err(CallError::Overloaded { .. }))
    ));
    world.pass(Duration::from_millis(1));
    let outcome = world.outcome(first).unwrap().unwrap_err();
    assert!(
        matches!(outcome, CallError::TimedOut { sent: Sent::No, .. }),
        "{outcome:?}"
    );
}

#[test]
fn a_server_that_dies_after_each_handshake_uses_up_its_restarts() {
    let mut world = World::new();
    let mut link = world.modern(lasting("a"));
    let mut starts = 1;
    loop {
        world.exit(link, Exit::Code(1));
        if world.state("a") == ServerState::Failed {
            break;
        }
        link = revive(&mut world);
        starts += 1;
        assert!(starts <= 6, "no end of restarts");
    }
    assert_eq!(starts, 6, "five restarts in a minute");
    let call = world.call("a", "t");
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert!(outcome.to_string().contains("exit status 1"), "{outcome}");
    let before = world.now;
    revive(&mut world);
    assert_eq!(
        world.now.since(before),
        Duration::from_secs(300),
        "one more try, much later"
    );
    assert_eq!(world.state("a"), ServerState::Ready);
}

#[test]
fn a_stable_life_forgives_the_failures_before_it() {
    let mut world = World::new();
    let mut link = world.modern(lasting("a"));
    for _ in 0..30 {
        world.pass(Duration::from_secs(61));
        world.exit(link, Exit::Code(1));
        let before = world.now;
        link = revive(&mut world);
        assert!(
            world.now.since(before) <= Duration::from_millis(500),
            "the first pause again"
        );
    }
}

#[test]
fn a_deployment_that_fails_says_so_at_once_and_goes_on_trying() {
    let mut world = World::new();
    let (link, deploy) = world.deploy_config(lasting("a"));
    world.exit(link, Exit::Code(1));
    let second = world.opened();
    world.feed(Signal::Opened {
        link: second,
        pid: None,
    });
    world.exit(second, Exit::Code(1));
    assert!(world.reply(deploy).unwrap().is_err());
    assert_eq!(world.state("a"), ServerState::Backoff);
    revive(&mut world);
    assert_eq!(world.state("a"), ServerState::Ready);
}

#[test]
fn a_command_that_is_wrong_is_not_tried_again_and_one_that_is_scarce_is() {
    for (transient, state) in [(false, ServerState::Failed), (true, ServerState::Backoff)] {
        let mut world = World::new();
        let config = Box::new(lasting("a"));
        world.command(|id| McpCommand::Deploy { id, config });
        let link = world.opened();
        let message = "no".to_owned();
        world.feed(Signal::OpenFailed {
            link,
            message,
            transient,
        });
        assert_eq!(world.state("a"), state);
        assert_eq!(world.fleet.poll_timeout().is_some(), transient);
    }
}

#[test]
fn an_operator_restarts_at_once_and_starts_the_count_anew() {
    let mut world = World::new();
    let mut config = lasting("a");
    config.limits.restarts = 1;
    let mut link = world.modern(config);
    for _ in 0..3 {
        world.exit(link, Exit::Code(1));
        assert_eq!(world.state("a"), ServerState::Backoff);
        let id = world.command(|id| McpCommand::Restart {
            id,
            server: "a".into(),
        });
        link = revive(&mut world);
        assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    }
}

#[test]
fn a_pause_ends_with_an_undeployment_and_leaves_no_deadline() {
    let mut world = World::new();
    let link = world.modern(lasting("a"));
    world.exit(link, Exit::Code(1));
    let id = world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(world.fleet.poll_timeout(), None);
    let again = world.modern(lasting("a"));
    assert_eq!(again.incarnation, 2);
}

#[test]
fn a_shutdown_does_not_wait_for_pauses() {
    let mut world = World::new();
    let link = world.modern(lasting("a"));
    world.exit(link, Exit::Code(1));
    let id = world.command(|id| McpCommand::Shutdown { id, grace: None });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert!(world.fleet.is_shut_down());
    assert_eq!(world.fleet.poll_timeout(), None);
}

#[test]
fn no_more_servers_start_at_once_than_the_limit_and_all_get_their_turn() {
    let mut config = FleetConfig::default();
    config.limits.starting = 8;
    let mut world = World::with(config);
    for number in 0..200 {
        let config = Box::new(lasting(&format!("s{number}")));
        world.command(|id| McpCommand::Deploy { id, config });
    }
    let mut ready = 0;
    while ready < 200 {
        let opened: Vec<LinkId> = world
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Open { link, .. } => Some(*link),
                _ => None,
            })
            .collect();
        assert!((1..=8).contains(&opened.len()), "{} at once", opened.len());
        world.effects.clear();
        for link in opened {
            world.feed(Signal::Opened { link, pid: None });
            let place = world
                .effects
                .iter()
                .position(|effect| matches!(effect, Effect::Send { link: to, .. } if *to == link));
            let Effect::Send { bytes, .. } = world.effects.remove(place.unwrap()) else {
                panic!()
            };
            let probe = serde_json::from_slice(&bytes).unwrap();
            world.say(link, answer(&probe, discovered(json!({}))));
            ready += 1;
        }
    }
    assert_eq!(world.fleet.stats().active_servers, 200);
}

#[test]
fn a_server_that_waits_for_its_turn_can_be_undeployed() {
    let mut config = FleetConfig::default();
    config.limits.starting = 1;
    let mut world = World::with(config);
    let (first, _) = world.deploy("a");
    let config = Box::new(lasting("b"));
    world.command(|id| McpCommand::Deploy { id, config });
    assert_eq!(world.state("b"), ServerState::Waiting);
    let id = world.command(|id| McpCommand::Undeploy {
        id,
        server: "b".into(),
    });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let probe = world.sent(first).remove(0);
    world.say(first, answer(&probe, discovered(json!({}))));
    assert!(
        world
            .effects
            .iter()
            .all(|effect| !matches!(effect, Effect::Open { .. }))
    );
}

#[test]
fn a_restart_of_a_server_that_waits_for_its_turn_keeps_its_place() {
    let mut config = FleetConfig::default();
    config.limits.starting = 1;
    let mut world = World::with(config);
    let (first, _) = world.deploy_config(server("a"));
    for name in ["b", "c"] {
        let config = Box::new(server(name));
        world.command(|id| McpCommand::Deploy { id, config });
    }
    let restarted = world.command(|id| McpCommand::Restart {
        id,
        server: "b".to_owned(),
    });
    assert_eq!(world.state("b"), ServerState::Waiting);
    world.exit(first, Exit::Code(1));
    world.exit(first, Exit::Code(1));
    let states = ["a", "b", "c"].map(|name| world.state(name));
    let [_, b, c] = states;
    assert_eq!((b, c), (ServerState::Starting, ServerState::Waiting));
    assert_eq!(world.reply(restarted), None);
}
