//! Servers that start after others, and stop before them.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CommandError, CommandId, Effect, Exit, LinkId, McpCommand, Obstacle, Reply, Sent,
    ServerInfo, ServerName, ServerState, Signal, Time, Timer, WaitingFor,
    config::{FleetConfig, Restart, ServerConfig},
};
use serde_json::json;

use crate::world::{World, answer, discovered, server};

/// A server that comes after others, and starts again when it ends.
fn after(name: &str, others: &[&str]) -> ServerConfig {
    let mut config = server(name);
    config.restart = Restart::Always;
    config.after = others
        .iter()
        .map(|other| ServerName::new(other).unwrap())
        .collect();
    config
}

fn deploy(world: &mut World, config: ServerConfig) -> CommandId {
    let config = Box::new(config);
    world.command(|id| McpCommand::Deploy { id, config })
}

fn restart(world: &mut World, server: &str) -> CommandId {
    let server = server.to_owned();
    world.command(|id| McpCommand::Restart { id, server })
}

fn update(world: &mut World, config: ServerConfig) -> CommandId {
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config })
}

fn undeploy(world: &mut World, server: &str) -> CommandId {
    let server = server.to_owned();
    world.command(|id| McpCommand::Undeploy { id, server })
}

/// Brings what was opened to readiness.
fn greet(world: &mut World) -> LinkId {
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    link
}

fn opens(world: &World) -> usize {
    let open = |effect: &&Effect| matches!(effect, Effect::Open { .. });
    world.effects.iter().filter(open).count()
}

fn info(world: &mut World, name: &str) -> ServerInfo {
    let id = world.command(|id| McpCommand::ListServers { id });
    let Some(Ok(Reply::Servers(all))) = world.reply(id) else {
        panic!()
    };
    all.into_iter()
        .find(|info| info.name.as_str() == name)
        .unwrap()
}

/// What keeps a server from starting: another one, and why that one is not ready.
fn obstacle(world: &mut World, name: &str) -> (String, Obstacle) {
    let info = info(world, name);
    assert_eq!(info.state, ServerState::Waiting);
    let Some(WaitingFor::Server { server, obstacle }) = info.waiting else {
        panic!("{:?}", info.waiting)
    };
    (server.to_string(), obstacle)
}

fn blocked(world: &mut World, id: CommandId) -> (String, Obstacle) {
    let Some(Err(CommandError::Blocked {
        dependency,
        obstacle,
        ..
    })) = world.reply(id)
    else {
        panic!("not blocked")
    };
    (dependency.to_string(), obstacle)
}

#[test]
fn a_server_starts_when_all_are_ready_that_it_comes_after() {
    let mut world = World::new();
    let last = deploy(&mut world, after("c", &["a", "b"]));
    assert_eq!(opens(&world), 0);
    deploy(&mut world, after("a", &[]));
    assert_eq!(obstacle(&mut world, "c").1, Obstacle::NotDeployed);
    deploy(&mut world, after("b", &[]));
    assert_eq!(obstacle(&mut world, "c"), ("a".into(), Obstacle::NotReady));
    greet(&mut world);
    assert_eq!(opens(&world), 1, "b is not ready yet");
    assert_eq!(obstacle(&mut world, "c"), ("b".into(), Obstacle::NotReady));
    assert_eq!(world.reply(last), None);
    greet(&mut world);
    greet(&mut world);
    assert_eq!(world.reply(last), Some(Ok(Reply::Done)));
    assert_eq!(info(&mut world, "c").waiting, None);
}

#[test]
fn whoever_waits_for_another_holds_no_place_and_has_no_deadline() {
    let mut config = FleetConfig::default();
    config.limits.starting = 1;
    let mut world = World::with(config);
    deploy(&mut world, after("a", &[]));
    let a = world.opened();
    let waiting = deploy(&mut world, after("b", &["a"]));
    let turn = deploy(&mut world, after("c", &[]));
    assert_eq!(info(&mut world, "c").waiting, Some(WaitingFor::Turn));
    world.feed(Signal::Opened { link: a, pid: None });
    world.sent(a);
    world.pass(Duration::from_secs(50));
    world.exit(a, Exit::Code(1));
    // The place that `a` gives back goes to `c`: `b` does not stand in the line.
    assert_eq!(world.reply(waiting), None, "the respawn is still to come");
    greet(&mut world);
    assert_eq!(world.reply(turn), Some(Ok(Reply::Done)));
}

#[test]
fn a_restart_waits_too_and_the_end_of_another_takes_nobody_along() {
    let mut world = World::new();
    let a = world.modern(after("a", &[]));
    let b = world.modern(after("b", &["a"]));
    world.exit(a, Exit::Code(1));
    assert_eq!(world.state("b"), ServerState::Ready);
    world.exit(b, Exit::Code(1));
    let call = world.call("b", "t");
    while world.state("b") == ServerState::Backoff {
        let deadline = world.fleet.poll_timeout().unwrap();
        world.pass(deadline.at.since(world.now));
    }
    if world.state("b") == ServerState::Waiting {
        assert_eq!(obstacle(&mut world, "b").0, "a");
    }
    while world.state("b") != ServerState::Ready {
        if opens(&world) == 0 {
            let deadline = world.fleet.poll_timeout().unwrap();
            world.pass(deadline.at.since(world.now));
        } else {
            let open = world.opened();
            assert!(
                open.server == a.server || world.state("a") == ServerState::Ready,
                "b opens while a is not ready"
            );
            world.feed(Signal::Opened {
                link: open,
                pid: None,
            });
            let probe = world.sent(open).remove(0);
            world.say(open, answer(&probe, discovered(json!({}))));
        }
    }
    assert_eq!(world.outcome(call), None, "the call was sent");
    assert_eq!(world.fleet.stats().total.in_flight, 1);
}

#[test]
fn a_command_ends_once_another_server_has_failed_and_the_start_comes_later() {
    let mut world = World::new();
    let mut config = after("a", &[]);
    config.restart = Restart::Never;
    deploy(&mut world, config);
    let a = world.opened();
    let b = deploy(&mut world, after("b", &["a"]));
    let c = deploy(&mut world, after("c", &["b"]));
    let list = world.command(|id| McpCommand::ListCatalog {
        id,
        server: "c".into(),
        kind: mcp_fleet_core::CatalogKind::Tools,
    });
    world.feed(Signal::OpenFailed {
        link: a,
        message: "no such program".to_owned(),
        transient: false,
    });
    assert_eq!(blocked(&mut world, b), ("a".into(), Obstacle::Failed));
    assert_eq!(blocked(&mut world, c), ("b".into(), Obstacle::Blocked));
    let Some(Err(error)) = world.reply(list) else {
        panic!()
    };
    let text = error.to_string();
    assert!(text.contains("waits for b, which waits in vain"), "{text}");
    assert_eq!(obstacle(&mut world, "b"), ("a".into(), Obstacle::Failed));
    let again = restart(&mut world, "c");
    assert_eq!(blocked(&mut world, again).0, "b");

    let back = restart(&mut world, "a");
    let later = restart(&mut world, "c");
    assert_eq!(obstacle(&mut world, "c"), ("b".into(), Obstacle::NotReady));
    greet(&mut world);
    assert_eq!(world.reply(back), Some(Ok(Reply::Done)));
    greet(&mut world);
    greet(&mut world);
    assert_eq!(world.reply(later), Some(Ok(Reply::Done)));
}

#[test]
fn a_server_that_is_not_deployed_is_waited_for_as_long_as_a_start_may_take() {
    let mut world = World::new();
    let mut config = after("b", &["a"]);
    config.limits.start_timeout = Duration::from_secs(3);
    config.limits.timeout = Duration::from_secs(1);
    config.limits.queue = 1;
    let deployed = deploy(&mut world, config);
    let (first, second) = (world.call("b", "t"), world.call("b", "t"));
    assert!(matches!(
        world.outcome(second),
        Some(Err(CallError::Overloaded { .. }))
    ));
    world.pass(Duration::from_millis(2999));
    let late = world.outcome(first).unwrap().unwrap_err();
    assert!(
        matches!(late, CallError::TimedOut { sent: Sent::No, .. }),
        "{late:?}"
    );
    assert_eq!(world.reply(deployed), None);
    let deadline = world.fleet.poll_timeout().unwrap();
    assert_eq!(deadline.timer, Timer::Dependency);
    world.pass(Duration::from_millis(1));
    let expected = ("a".into(), Obstacle::NotDeployed);
    assert_eq!(blocked(&mut world, deployed), expected);
    assert_eq!(world.fleet.poll_timeout(), None);
    let call = world.call("b", "t");
    deploy(&mut world, after("a", &[]));
    greet(&mut world);
    let link = greet(&mut world);
    assert_eq!(world.sent(link).len(), 1);
    assert_eq!(world.outcome(call), None);
}

#[test]
fn a_disabled_server_is_in_the_way_until_it_is_enabled() {
    let mut world = World::new();
    let deployed = deploy(&mut world, after("b", &["a"]));
    let mut disabled = after("a", &[]);
    disabled.enabled = false;
    deploy(&mut world, disabled);
    assert_eq!(
        blocked(&mut world, deployed),
        ("a".into(), Obstacle::Stopped)
    );
    update(&mut world, after("a", &[]));
    greet(&mut world);
    greet(&mut world);
    assert_eq!(world.state("b"), ServerState::Ready);
    undeploy(&mut world, "a");
    assert_eq!(world.state("b"), ServerState::Ready);
}

#[test]
fn circles_and_unknown_groups_are_refused_and_change_nothing() {
    let mut world = World::new();
    deploy(&mut world, after("a", &["c"]));
    deploy(&mut world, after("b", &["a"]));
    let invalid = |world: &mut World, id| {
        let Some(Err(CommandError::Invalid { message })) = world.reply(id) else {
            panic!("not refused")
        };
        message
    };
    let circle = deploy(&mut world, after("c", &["b"]));
    let message = invalid(&mut world, circle);
    assert!(message.contains("c -> b -> a -> c"), "{message}");
    let own = deploy(&mut world, after("c", &["c"]));
    assert!(invalid(&mut world, own).contains("c -> c"));
    deploy(&mut world, after("c", &[]));
    let circle = update(&mut world, after("c", &["b"]));
    assert!(invalid(&mut world, circle).contains("c -> b -> a -> c"));
    let mut config = after("d", &[]);
    config.group = Some("web".to_owned());
    let unknown = deploy(&mut world, config);
    assert!(invalid(&mut world, unknown).contains("fleet.groups"));
    greet(&mut world);
    greet(&mut world);
    greet(&mut world);
    assert_eq!(world.fleet.stats().active_servers, 3);
}

#[test]
fn another_place_in_the_order_takes_effect_at_once_for_whoever_waits() {
    let mut world = World::new();
    deploy(&mut world, after("b", &["a"]));
    update(&mut world, after("b", &["x"]));
    assert_eq!(
        obstacle(&mut world, "b"),
        ("x".into(), Obstacle::NotDeployed)
    );
    update(&mut world, after("b", &[]));
    greet(&mut world);
    assert_eq!(world.state("b"), ServerState::Ready);
    update(&mut world, after("b", &["a"]));
    assert_eq!(world.state("b"), ServerState::Ready, "only starts wait");
}

#[test]
fn a_turn_that_comes_when_another_server_is_down_is_passed_on() {
    let mut config = FleetConfig::default();
    config.limits.starting = 1;
    let mut world = World::with(config);
    let a = world.modern(after("a", &[]));
    deploy(&mut world, after("x", &[]));
    let x = world.opened();
    deploy(&mut world, after("b", &["a"]));
    assert_eq!(info(&mut world, "b").waiting, Some(WaitingFor::Turn));
    undeploy(&mut world, "a");
    world.exit(a, Exit::Code(0));
    world.feed(Signal::Opened { link: x, pid: None });
    let probe = world.sent(x).remove(0);
    world.say(x, answer(&probe, discovered(json!({}))));
    assert_eq!(opens(&world), 0);
    assert_eq!(
        obstacle(&mut world, "b"),
        ("a".into(), Obstacle::NotDeployed)
    );
    deploy(&mut world, after("a", &[]));
    greet(&mut world);
    greet(&mut world);
    assert_eq!(world.state("b"), ServerState::Ready);
}

#[test]
fn many_that_wait_for_one_are_let_go_over_several_turns() {
    let mut config = FleetConfig::default();
    config.limits.starting = 1000;
    let mut world = World::with(config);
    for number in 0..600 {
        deploy(&mut world, after(&format!("s{number}"), &["a"]));
    }
    deploy(&mut world, after("a", &[]));
    while world.fleet.poll_timeout().unwrap().timer == Timer::Turn {
        world.pass(Duration::ZERO);
    }
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    let mut batches = vec![opens(&world)];
    while world.fleet.poll_timeout().unwrap().timer == Timer::Turn {
        assert_eq!(world.fleet.poll_timeout().unwrap().at, world.now);
        let before = opens(&world);
        world.fleet.handle_timeout(world.now);
        world.pass(Duration::ZERO);
        batches.push(opens(&world) - before);
    }
    assert!(batches.iter().all(|batch| *batch <= 512), "{batches:?}");
    assert_eq!(batches.iter().sum::<usize>(), 600);
    assert!(batches[0] <= 256, "{batches:?}");
}

#[test]
fn whoever_waits_can_be_undeployed_and_leaves_nothing() {
    let mut world = World::new();
    let deployed = deploy(&mut world, after("b", &["a"]));
    let call = world.call("b", "t");
    let gone = undeploy(&mut world, "b");
    assert_eq!(world.reply(gone), Some(Ok(Reply::Done)));
    assert!(matches!(
        world.reply(deployed),
        Some(Err(CommandError::Superseded { .. }))
    ));
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert!(
        matches!(outcome, CallError::Unavailable { .. }),
        "{outcome}"
    );
    assert_eq!(world.fleet.poll_timeout(), None);
    deploy(&mut world, after("a", &[]));
    greet(&mut world);
    assert_eq!(opens(&world), 0);
}

/// The servers that are on their way out, in the order in which they went.
fn leaving(world: &mut World) -> Vec<LinkId> {
    let links: Vec<LinkId> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::CloseInput { link } => Some(*link),
            Effect::Open { .. }
            | Effect::Send { .. }
            | Effect::Terminate { .. }
            | Effect::Kill { .. }
            | Effect::Abandon { .. } => None,
        })
        .collect();
    world.effects.clear();
    links
}

#[test]
fn a_fleet_stops_in_the_reverse_order() {
    let mut world = World::new();
    let a = world.modern(after("a", &[]));
    let b = world.modern(after("b", &["a"]));
    let c = world.modern(after("c", &["a", "b"]));
    let d = world.modern(after("d", &[]));
    deploy(&mut world, after("e", &["a", "nobody"]));
    world.clear();
    let down = world.command(|id| McpCommand::Shutdown { id, grace: None });
    assert_eq!(world.state("e"), ServerState::Stopped);
    assert_eq!(leaving(&mut world), [c, d]);
    world.exit(d, Exit::Code(0));
    assert_eq!(leaving(&mut world), []);
    world.exit(c, Exit::Code(0));
    assert_eq!(leaving(&mut world), [b]);
    world.exit(b, Exit::Code(0));
    assert_eq!(leaving(&mut world), [a]);
    assert_eq!(world.reply(down), None);
    world.exit(a, Exit::Code(0));
    assert_eq!(world.reply(down), Some(Ok(Reply::Done)));
    assert_eq!(world.fleet.poll_timeout(), None);
}

#[test]
fn the_grace_of_a_shutdown_is_for_all_servers_together() {
    let mut world = World::new();
    let a = world.modern(after("a", &[]));
    let b = world.modern(after("b", &["a"]));
    let (first, second) = (world.call("a", "t"), world.call("b", "t"));
    for link in [a, b] {
        world.sent(link);
    }
    world.clear();
    let grace = Some(Duration::from_secs(5));
    world.command(|id| McpCommand::Shutdown { id, grace });
    world.pass(Duration::from_secs(5));
    assert_eq!(leaving(&mut world), [b]);
    let at = world.now;
    world.pass(Duration::from_secs(1));
    world.exit(b, Exit::Code(0));
    assert!(world.outcome(second).unwrap().is_err());
    world.pass(Duration::ZERO);
    assert_eq!(leaving(&mut world), [a], "its time was over by {at:?}");
    world.exit(a, Exit::Code(0));
    assert!(world.outcome(first).unwrap().is_err());
    assert!(world.fleet.is_shut_down());
}

#[test]
fn a_server_that_crashes_while_it_waits_to_stop_stays_down() {
    let mut world = World::new();
    let a = world.modern(after("a", &[]));
    let b = world.modern(after("b", &["a"]));
    let down = world.command(|id| McpCommand::Shutdown { id, grace: None });
    world.clear();
    world.exit(a, Exit::Code(1));
    world.exit(b, Exit::Code(0));
    assert_eq!(world.reply(down), Some(Ok(Reply::Done)));
    assert_eq!(world.fleet.poll_timeout(), None);
    assert_eq!(opens(&world), 0);
    assert!(world.now == Time::ZERO && world.fleet.is_shut_down());
}
