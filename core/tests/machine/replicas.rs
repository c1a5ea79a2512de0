//! Several replicas behind one name: who gets a call, who takes over, how many there are.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CallOptions, CatalogKind, ClientId, CommandError, CommandId, Effect, Event,
    Exit, LinkId, McpCommand, Reply, Sent, ServerInfo, ServerState, Signal,
    config::{Restart, ServerConfig},
};
use serde_json::json;

use crate::world::{World, answer, discovered, server};

pub fn replicated(name: &str, replicas: usize) -> ServerConfig {
    let mut config = server(name);
    config.limits.replicas = replicas;
    config
}

/// Opens everything that waits to be opened, up to readiness.
pub fn rise(world: &mut World) -> Vec<LinkId> {
    let mut links = Vec::new();
    while world
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Open { .. }))
    {
        let link = world.opened();
        open(world, link);
        links.push(link);
    }
    links
}

/// Lets a link open up to readiness.
pub fn open(world: &mut World, link: LinkId) {
    world.feed(Signal::Opened { link, pid: None });
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
}

pub fn deploy(world: &mut World, config: ServerConfig) -> (CommandId, Vec<LinkId>) {
    let config = Box::new(config);
    let id = world.command(|id| McpCommand::Deploy { id, config });
    (id, rise(world))
}

pub fn info(world: &mut World, name: &str) -> ServerInfo {
    let id = world.command(|id| McpCommand::ListServers { id });
    let Some(Ok(Reply::Servers(all))) = world.reply(id) else {
        panic!()
    };
    all.into_iter()
        .find(|info| info.name.as_str() == name)
        .expect("the server")
}

fn numbers(world: &mut World, name: &str) -> Vec<u32> {
    let replicas = info(world, name).replicas;
    replicas.iter().map(|replica| replica.replica).collect()
}

#[test]
fn calls_go_to_the_replica_with_the_fewest_and_of_equals_to_the_first() {
    let mut world = World::new();
    let (id, links) = deploy(&mut world, replicated("a", 3));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(links.len(), 3);
    let calls: Vec<CallId> = (0..4).map(|_| world.call("a", "t")).collect();
    let frames: Vec<_> = links.iter().map(|link| world.sent(*link)).collect();
    let counts: Vec<usize> = frames.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 1, 1]);
    world.say(links[1], answer(&frames[1][0], json!({})));
    assert!(world.outcome(calls[1]).unwrap().is_ok());
    world.call("a", "t");
    assert_eq!(world.sent(links[1]).len(), 1, "it has the fewest");
    assert_eq!(world.fleet.stats().servers, 1);
    let stats = &world.fleet.stats().by_server[0].1;
    assert_eq!((stats.in_flight, stats.succeeded, stats.starts), (4, 1, 3));
}

#[test]
fn a_deployment_is_done_when_one_is_ready_and_none_is_still_on_its_way() {
    let mut world = World::new();
    let config = Box::new(replicated("a", 2));
    let id = world.command(|id| McpCommand::Deploy { id, config });
    let (one, two) = (world.opened(), world.opened());
    open(&mut world, one);
    assert_eq!(world.reply(id), None);
    world.feed(Signal::Opened {
        link: two,
        pid: None,
    });
    world.exit(two, Exit::Code(1));
    let again = world.opened();
    world.feed(Signal::Opened {
        link: again,
        pid: None,
    });
    world.exit(again, Exit::Code(1));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let info = info(&mut world, "a");
    assert_eq!(info.state, ServerState::Ready, "that of the most able");
    assert_eq!(info.replicas[1].state, ServerState::Failed);
}

#[test]
fn a_deployment_of_which_every_replica_fails_says_why() {
    let mut world = World::new();
    let config = Box::new(replicated("a", 2));
    let id = world.command(|id| McpCommand::Deploy { id, config });
    for _ in 0..2 {
        assert_eq!(world.reply(id), None);
        let link = world.opened();
        world.feed(Signal::OpenFailed {
            link,
            message: "no such program".into(),
            transient: false,
        });
    }
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(failure.to_string().contains("no such program"));
}

#[test]
fn calls_that_wait_for_a_replica_that_crashed_move_to_the_others_in_order() {
    let mut world = World::new();
    let mut config = replicated("a", 2);
    config.limits.in_flight = 1;
    let (_, links) = deploy(&mut world, config);
    let calls: Vec<CallId> = (0..6).map(|_| world.call("a", "t")).collect();
    let mut frame = world.sent(links[1]).remove(0);
    world.wrote(links[0], 100_000);
    world.exit(links[0], Exit::Code(1));
    let lost = world.outcome(calls[0]).unwrap().unwrap_err();
    assert!(matches!(
        lost,
        CallError::ServerGone {
            sent: Sent::Unknown,
            ..
        }
    ));
    for call in &calls[1..] {
        world.say(links[1], answer(&frame, json!({})));
        assert!(world.outcome(*call).unwrap().is_ok(), "{call:?}");
        if let Some(next) = world.sent(links[1]).pop() {
            frame = next;
        }
    }
}

#[test]
fn a_call_that_moves_keeps_its_deadline() {
    let mut world = World::new();
    let mut config = replicated("a", 2);
    config.limits.in_flight = 1;
    let (_, links) = deploy(&mut world, config);
    world.call("a", "t");
    world.call("a", "t");
    let options = CallOptions {
        timeout: Some(Duration::from_secs(3)),
        ..CallOptions::default()
    };
    let waiting = world.call_with("a", "t", options);
    world.pass(Duration::from_secs(2));
    world.exit(links[0], Exit::Code(1));
    assert_eq!(world.outcome(waiting), None);
    world.pass(Duration::from_secs(1));
    let outcome = world.outcome(waiting).unwrap().unwrap_err();
    assert!(
        matches!(outcome, CallError::TimedOut { after, sent: Sent::No } if after == Duration::from_secs(3)),
        "{outcome:?}"
    );
}

#[test]
fn calls_that_wait_for_the_last_replica_end_with_it() {
    let mut world = World::new();
    let mut config = replicated("a", 2);
    config.limits.in_flight = 1;
    let (_, links) = deploy(&mut world, config);
    let calls: Vec<CallId> = (0..4).map(|_| world.call("a", "t")).collect();
    world.exit(links[0], Exit::Code(1));
    world.exit(links[1], Exit::Code(1));
    for call in calls {
        assert!(world.outcome(call).unwrap().is_err());
    }
    assert_eq!(world.fleet.stats().total.queued, 0);
}

#[test]
fn a_replica_that_gets_ready_takes_calls_that_wait_for_others() {
    let mut world = World::new();
    let mut config = replicated("a", 2);
    config.limits.in_flight = 1;
    let config = Box::new(config);
    world.command(|id| McpCommand::Deploy { id, config });
    let (one, two) = (world.opened(), world.opened());
    let calls: Vec<CallId> = (0..2).map(|_| world.call("a", "t")).collect();
    open(&mut world, two);
    let frame = world.sent(two).remove(0);
    world.say(two, answer(&frame, json!({})));
    assert!(world.outcome(calls[0]).unwrap().is_ok());
    open(&mut world, one);
    assert_eq!(world.sent(two).len(), 1, "the second followed the first");
}

#[test]
fn a_busy_pool_grows_by_one_at_a_time_and_shrinks_when_it_is_idle() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.replicas_max = 3;
    config.limits.in_flight = 1;
    config.limits.scale_down = Duration::from_secs(60);
    let (_, first) = deploy(&mut world, config);
    let calls: Vec<CallId> = (0..3).map(|_| world.call("a", "t")).collect();
    let second = world.opened();
    assert!(
        world
            .effects
            .iter()
            .all(|e| !matches!(e, Effect::Open { .. })),
        "the next starts when this one has"
    );
    open(&mut world, second);
    let third = rise(&mut world);
    assert_eq!(third.len(), 1);
    assert_eq!(numbers(&mut world, "a"), [0, 1, 2]);
    for link in [first[0], second, third[0]] {
        let frame = world.sent(link).remove(0);
        world.say(link, answer(&frame, json!({})));
    }
    for call in calls {
        assert!(world.outcome(call).unwrap().is_ok());
    }
    let busy = world.call("a", "t");
    let frame = world.sent(first[0]).remove(0);
    world.pass(Duration::from_secs(30));
    assert_eq!(numbers(&mut world, "a").len(), 3, "not yet");
    world.pass(Duration::from_secs(120));
    world.exit(second, Exit::Code(0));
    world.exit(third[0], Exit::Code(0));
    assert_eq!(numbers(&mut world, "a"), [0], "never the one with a call");
    world.say(first[0], answer(&frame, json!({})));
    drop(world.outcome(busy));
    world.pass(Duration::from_secs(600));
    assert_eq!(numbers(&mut world, "a"), [0], "one stays in any case");
    let call = world.call("a", "t");
    world.call("a", "t");
    let again = world.opened();
    let slots = [second.server, third[0].server];
    assert!(
        slots.contains(&again.server) && again.incarnation == 2,
        "{again}"
    );
    assert!(world.outcome(call).is_none());
}

#[test]
fn a_queue_too_long_for_each_replica_calls_for_one_more() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.replicas_max = 2;
    config.limits.write_bytes = 1;
    config.limits.scale_queue = 3;
    deploy(&mut world, config);
    for _ in 0..2 {
        world.call("a", "t");
    }
    assert!(rise(&mut world).is_empty());
    world.call("a", "t");
    assert_eq!(rise(&mut world).len(), 1);
}

#[test]
fn other_numbers_of_replicas_take_effect_in_place() {
    let mut world = World::new();
    let (_, first) = deploy(&mut world, replicated("a", 2));
    let config = Box::new(replicated("a", 3));
    let id = world.command(|id| McpCommand::UpdateConfig { id, config });
    assert_eq!(world.reply(id), None, "until the third is ready");
    rise(&mut world);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let config = Box::new(replicated("a", 1));
    let id = world.command(|id| McpCommand::UpdateConfig { id, config });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let states: Vec<ServerState> = info(&mut world, "a")
        .replicas
        .iter()
        .map(|r| r.state)
        .collect();
    assert_eq!(
        states,
        [
            ServerState::Ready,
            ServerState::Closing,
            ServerState::Closing
        ]
    );
    world.call("a", "t");
    assert_eq!(world.sent(first[0]).len(), 1);
}

#[test]
fn a_restart_goes_from_one_replica_to_the_next_and_calls_go_on() {
    let mut world = World::new();
    let (_, links) = deploy(&mut world, replicated("a", 2));
    let name = "a".to_owned();
    let id = world.command(|id| McpCommand::Restart { id, server: name });
    let call = world.call("a", "t");
    let frame = world.sent(links[1]).remove(0);
    world.say(links[1], answer(&frame, json!({})));
    assert!(world.outcome(call).unwrap().is_ok());
    world.exit(links[0], Exit::Code(0));
    let anew = rise(&mut world);
    assert_eq!(anew[0].server, links[0].server);
    assert_eq!(world.reply(id), None);
    world.exit(links[1], Exit::Code(0));
    rise(&mut world);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
}

#[test]
fn a_restart_stops_at_the_first_replica_that_does_not_come_back() {
    let mut world = World::new();
    let (_, links) = deploy(&mut world, replicated("a", 2));
    let name = "a".to_owned();
    let id = world.command(|id| McpCommand::Restart { id, server: name });
    world.exit(links[0], Exit::Code(0));
    let link = world.opened();
    world.feed(Signal::OpenFailed {
        link,
        message: "gone".into(),
        transient: false,
    });
    assert!(matches!(
        world.reply(id),
        Some(Err(CommandError::Failed { .. }))
    ));
    world.call("a", "t");
    assert_eq!(world.sent(links[1]).len(), 1, "the other works on");
}

#[test]
fn a_restart_leaves_alone_whoever_has_the_slot_of_a_replica_that_left() {
    let mut world = World::new();
    let (_, links) = deploy(&mut world, replicated("a", 3));
    let name = "a".to_owned();
    let id = world.command(|id| McpCommand::Restart { id, server: name });
    let config = Box::new(replicated("a", 1));
    world.command(|id| McpCommand::UpdateConfig { id, config });
    world.exit(links[2], Exit::Code(0));
    let (_, other) = deploy(&mut world, server("b"));
    assert_eq!(other[0].server, links[2].server);
    world.clear();
    world.exit(links[0], Exit::Code(0));
    world.exit(links[1], Exit::Code(0));
    rise(&mut world);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(world.state("b"), ServerState::Ready);
    assert!(world.states("b").is_empty());
}

#[test]
fn all_calls_of_a_client_that_is_gone_end_though_others_change_hands() {
    let mut world = World::new();
    let mut config = replicated("a", 2);
    config.limits.in_flight = 1;
    let (_, links) = deploy(&mut world, config);
    let of = |client| CallOptions {
        client: Some(ClientId(client)),
        ..CallOptions::default()
    };
    let first = world.call_with("a", "t", of(1));
    let other = world.call_with("a", "t", of(2));
    let waiting: Vec<CallId> = (0..6).map(|_| world.call_with("a", "t", of(1))).collect();
    let client = ClientId(1);
    world.feed(McpCommand::ClientGone { client });
    for call in waiting.into_iter().chain([first]) {
        let outcome = world.outcome(call);
        assert!(matches!(outcome, Some(Err(CallError::Cancelled { .. }))));
    }
    let frame = world.sent(links[1]).remove(0);
    world.say(links[1], answer(&frame, json!({})));
    assert!(world.outcome(other).unwrap().is_ok());
}

#[test]
fn every_replica_is_asked_for_its_health() {
    let mut world = World::new();
    let (_, links) = deploy(&mut world, replicated("a", 2));
    let id = world.command(|id| McpCommand::HealthCheck { id, server: None });
    let frame = world.sent(links[1]).remove(0);
    world.say(links[1], answer(&frame, discovered(json!({}))));
    world.exit(links[0], Exit::Code(1));
    let Some(Ok(Reply::Health(found))) = world.reply(id) else {
        panic!()
    };
    let found: Vec<_> = found.iter().map(|h| (h.replica, h.is_healthy())).collect();
    assert_eq!(found, [(0, false), (1, true)]);
}

#[test]
fn a_list_is_read_from_another_replica_when_the_first_goes_away() {
    let mut world = World::new();
    let config = Box::new(replicated("a", 2));
    world.command(|id| McpCommand::Deploy { id, config });
    let (one, two) = (world.opened(), world.opened());
    let id = world.command(|id| McpCommand::ListCatalog {
        id,
        server: "a".into(),
        kind: CatalogKind::Tools,
    });
    world.feed(Signal::OpenFailed {
        link: one,
        message: "no".into(),
        transient: false,
    });
    assert_eq!(world.reply(id), None);
    open(&mut world, two);
    assert_eq!(world.reply(id), Some(Ok(Reply::Catalog(vec![]))));
}

#[test]
fn a_server_deployed_while_it_is_undeployed_comes_back() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    let running = world.call("a", "t");
    let frame = world.sent(old[0]).remove(0);
    let name = "a".to_owned();
    let undeploy = world.command(|id| McpCommand::Undeploy { id, server: name });
    let (deploy, new) = deploy(&mut world, server("a"));
    assert_eq!(world.reply(deploy), Some(Ok(Reply::Done)));
    world.say(old[0], answer(&frame, json!({})));
    assert!(world.outcome(running).unwrap().is_ok());
    world.exit(old[0], Exit::Code(0));
    assert_eq!(world.reply(undeploy), Some(Ok(Reply::Done)));
    world.call("a", "t");
    assert_eq!(world.sent(new[0]).len(), 1);
    assert_eq!(world.fleet.stats().servers, 1);
}

#[test]
fn a_server_that_replaces_in_turn_waits_for_the_one_that_is_undeployed() {
    let mut world = World::new();
    let mut config = server("a");
    config.replace = mcp_fleet_core::config::Replace::InTurn;
    let (_, old) = deploy(&mut world, config.clone());
    let name = "a".to_owned();
    world.command(|id| McpCommand::Undeploy { id, server: name });
    let (id, none) = deploy(&mut world, config);
    assert!(none.is_empty());
    let call = world.call("a", "t");
    world.exit(old[0], Exit::Code(0));
    let new = rise(&mut world);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let frame = world.sent(new[0]).remove(0);
    world.say(new[0], answer(&frame, json!({})));
    assert!(world.outcome(call).unwrap().is_ok());
}

#[test]
fn replicas_of_one_server_restart_each_within_its_own_budget() {
    let mut world = World::new();
    let mut config = replicated("a", 2);
    config.restart = Restart::Always;
    let (_, links) = deploy(&mut world, config);
    world.exit(links[0], Exit::Code(1));
    let changed = world.events.iter().rev().find_map(|event| match event {
        Event::ServerChanged { replica, state, .. } => Some((*replica, *state)),
        _ => None,
    });
    assert_eq!(changed, Some((0, ServerState::Backoff)));
    world.call("a", "t");
    assert_eq!(world.sent(links[1]).len(), 1, "the other one has it");
}
