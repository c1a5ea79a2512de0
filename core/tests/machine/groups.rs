//! What the end of one server means for the others of its group.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, Effect, Exit, LinkId, McpCommand, Sent, ServerState, Signal,
    config::{FleetConfig, Restart, ServerConfig, Strategy},
};
use serde_json::json;

use crate::world::{World, answer, discovered, server};

fn world(strategy: Strategy) -> World {
    World::with(FleetConfig {
        groups: [("g".to_owned(), strategy)].into(),
        ..FleetConfig::default()
    })
}

fn member(name: &str) -> ServerConfig {
    let mut config = server(name);
    config.restart = Restart::Always;
    config.group = Some("g".to_owned());
    config
}

/// Three members and a stranger, all ready: `b`, `a`, `x`, `c`.
fn deployed(strategy: Strategy) -> (World, [LinkId; 4]) {
    let mut world = world(strategy);
    let links = [
        world.modern(member("b")),
        world.modern(member("a")),
        world.modern(server("x")),
        world.modern(member("c")),
    ];
    (world, links)
}

fn states(world: &mut World) -> [ServerState; 4] {
    ["b", "a", "x", "c"].map(|name| world.state(name))
}

/// Lets the next thing happen that is due, or greets what was opened.
fn go_on(world: &mut World) {
    let open = world
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Open { .. }));
    if open {
        let link = world.opened();
        world.feed(Signal::Opened { link, pid: None });
        let probe = world.sent(link).remove(0);
        world.say(link, answer(&probe, discovered(json!({}))));
    } else {
        let deadline = world.fleet.poll_timeout().expect("a deadline");
        world.pass(deadline.at.since(world.now));
    }
}

fn until_ready(world: &mut World) {
    while world.fleet.stats().active_servers < 4 {
        go_on(world);
    }
}

#[test]
fn each_strategy_starts_those_anew_that_it_names() {
    use ServerState::{Backoff, Closing, Ready};
    for (strategy, expected) in [
        (Strategy::OneForOne, [Ready, Backoff, Ready, Ready]),
        (Strategy::OneForAll, [Closing, Backoff, Ready, Closing]),
        (Strategy::RestForOne, [Ready, Backoff, Ready, Closing]),
    ] {
        let (mut world, links) = deployed(strategy);
        world.exit(links[1], Exit::Code(1));
        assert_eq!(states(&mut world), expected, "{strategy:?}");
        for (link, state) in links.into_iter().zip(expected) {
            if state == Closing {
                world.exit(link, Exit::Code(0));
            }
        }
        until_ready(&mut world);
        let stats = world.fleet.stats();
        let anew = expected.iter().filter(|state| **state != Ready).count();
        assert_eq!(stats.total.starts, 4 + anew as u64, "{strategy:?}");
        assert_eq!(stats.total.crashes, 1);
    }
}

#[test]
fn a_group_comes_down_for_any_unexpected_end() {
    let (mut world, [b, a, ..]) = deployed(Strategy::OneForAll);
    world.say_raw(a, "x".repeat(17 << 20));
    assert_eq!(world.state("b"), ServerState::Ready, "it may still say why");
    world.exit(a, Exit::Code(0));
    assert_eq!(world.state("b"), ServerState::Closing);
    world.exit(b, Exit::Code(0));
}

#[test]
fn calls_of_a_neighbour_may_end_and_new_ones_wait() {
    let (mut world, [b, a, ..]) = deployed(Strategy::OneForAll);
    let (done, cut) = (world.call("b", "t"), world.call("b", "t"));
    let frame = world.sent(b).remove(0);
    world.wrote(b, 100_000);
    world.exit(a, Exit::Signal(11));
    assert_eq!(world.state("b"), ServerState::Draining);
    let waits = world.call("b", "t");
    world.say(b, answer(&frame, json!({})));
    assert!(world.outcome(done).unwrap().is_ok());
    world.pass(Duration::from_secs(10));
    world.exit(b, Exit::Code(0));
    let lost = world.outcome(cut).unwrap().unwrap_err();
    let CallError::ServerGone { reason, sent, .. } = lost else {
        panic!("{lost:?}")
    };
    assert_eq!(
        (reason.as_deref(), sent),
        (Some("it was restarted"), Sent::Unknown)
    );
    assert_eq!(world.outcome(waits), None);
    while world.state("b") != ServerState::Ready {
        go_on(&mut world);
    }
    assert_eq!(world.fleet.stats().total.in_flight, 1);
}

#[test]
fn neighbours_on_their_way_out_or_at_rest_are_left() {
    let (mut world, [b, a, _, c]) = deployed(Strategy::OneForAll);
    let server = "b".to_owned();
    let gone = world.command(|id| McpCommand::Undeploy { id, server });
    let mut config = member("c");
    config.enabled = false;
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config });
    world.exit(c, Exit::Code(0));
    world.clear();
    world.exit(a, Exit::Code(1));
    assert_eq!(world.state("c"), ServerState::Stopped);
    world.exit(b, Exit::Code(0));
    assert!(world.reply(gone).unwrap().is_ok());
    assert_eq!(world.fleet.stats().servers, 3);
}

#[test]
fn a_member_that_stays_down_takes_nobody_along() {
    let mut world = world(Strategy::OneForAll);
    let a = world.modern(member("a"));
    let mut spent = member("b");
    spent.limits.restarts = 0;
    let b = world.modern(spent);
    let mut never = member("c");
    never.restart = Restart::Never;
    let c = world.modern(never);
    for link in [b, c] {
        world.exit(link, Exit::Code(1));
    }
    assert_eq!(world.state("b"), ServerState::Failed);
    assert_eq!(world.state("c"), ServerState::Failed);
    assert_eq!(world.state("a"), ServerState::Ready);
    assert_eq!(a.incarnation, 1);
}

#[test]
fn a_member_that_keeps_crashing_is_bounded_by_its_own_budget() {
    let (mut world, mut links) = deployed(Strategy::OneForAll);
    let mut storms = 0;
    loop {
        world.exit(links[1], Exit::Code(1));
        if world.state("a") == ServerState::Failed {
            break;
        }
        storms += 1;
        for link in [links[0], links[3]] {
            world.exit(link, Exit::Code(0));
        }
        while world.fleet.stats().active_servers < 4 {
            if let Some(Effect::Open { link, server, .. }) = world
                .effects
                .iter()
                .find(|effect| matches!(effect, Effect::Open { .. }))
            {
                let place = ["b", "a", "x", "c"]
                    .iter()
                    .position(|name| *name == server.as_str());
                links[place.unwrap()] = *link;
            }
            go_on(&mut world);
        }
    }
    assert_eq!(storms, 5, "the budget of the one that crashes");
    assert_eq!(
        states(&mut world),
        [
            ServerState::Ready,
            ServerState::Failed,
            ServerState::Ready,
            ServerState::Ready
        ]
    );
    // The neighbours have used up nothing of their own.
    let b = links[0];
    world.exit(b, Exit::Code(1));
    assert_eq!(world.state("b"), ServerState::Backoff);
}

#[test]
fn a_group_that_comes_after_itself_starts_in_order() {
    let mut world = world(Strategy::OneForAll);
    let a = world.modern(member("a"));
    let mut config = member("b");
    config.after = vec![mcp_fleet_core::ServerName::new("a").unwrap()];
    let b = world.modern(config);
    world.exit(a, Exit::Code(1));
    world.exit(b, Exit::Code(0));
    assert_eq!(world.state("b"), ServerState::Waiting);
    go_on(&mut world);
    assert_eq!(world.state("a"), ServerState::Starting);
    go_on(&mut world);
    assert_eq!(world.state("a"), ServerState::Ready);
    go_on(&mut world);
    assert_eq!(world.state("b"), ServerState::Ready);
}
