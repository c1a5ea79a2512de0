//! All servers fail at once; the host does not.

use std::{collections::BTreeSet, time::Duration};

use mcp_fleet_core::{
    CallError, Effect, Exit, LinkId, McpCommand, Reply, Sent, ServerState, Signal, config::Restart,
};
use serde_json::json;

use crate::world::{World, answer, discovered, server};

const NAMES: [&str; 5] = ["files", "git", "mail", "search", "time"];

/// Opens whatever is to be opened, up to readiness.
fn revive_all(world: &mut World) -> Vec<LinkId> {
    let is_open = |effect: &Effect| matches!(effect, Effect::Open { .. });
    let mut links = Vec::new();
    while world.effects.iter().any(is_open) {
        let link = world.opened();
        world.feed(Signal::Opened { link, pid: None });
        let probe = world.sent(link).remove(0);
        world.say(link, answer(&probe, discovered(json!({}))));
        links.push(link);
    }
    links
}

#[test]
fn f49_every_error_names_its_server_and_the_host_goes_on() {
    let mut world = World::new();
    let mut lives = Vec::new();
    for name in NAMES {
        let mut config = server(name);
        config.restart = Restart::Always;
        config.limits.in_flight = 2;
        let link = world.modern(config);
        let calls: Vec<_> = (0..3).map(|_| world.call(name, "t")).collect();
        let written = world.effects.iter().map(|effect| match effect {
            Effect::Send { bytes, .. } => bytes.len() as u64,
            _ => 0,
        });
        let written = written.sum();
        assert_eq!(world.sent(link).len(), 2, "the third waits");
        world.wrote(link, written);
        lives.push((name, link, calls));
    }
    for (_, link, _) in &lives {
        world.exit(*link, Exit::Signal(9));
    }

    for (name, _, calls) in &lives {
        for call in &calls[..2] {
            let error = world.outcome(*call).unwrap().unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{name} is gone")),
                "{error}"
            );
            let CallError::ServerGone { server, sent, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((server.as_str(), sent), (*name, Sent::Unknown));
        }
        assert!(
            world.outcome(calls[2]).is_none(),
            "it was never sent, and waits"
        );
    }
    assert_eq!(world.fleet.stats().active_servers, 0);

    // Whoever asks is answered, and told of each.
    let id = world.command(|id| McpCommand::HealthCheck { id, server: None });
    let Some(Ok(Reply::Health(health))) = world.reply(id) else {
        panic!("no answer while all servers are down")
    };
    assert_eq!(health.len(), NAMES.len());
    for (health, name) in health.iter().zip(NAMES) {
        assert_eq!(
            (health.server.as_str(), health.state),
            (name, ServerState::Backoff)
        );
        assert!(
            !health.is_healthy() && health.problem.is_some(),
            "{health:?}"
        );
    }
    let newcomer = world.modern(server("newcomer"));
    let call = world.call("newcomer", "t");
    let frame = world.sent(newcomer).remove(0);
    world.say(newcomer, answer(&frame, json!({"ok": true})));
    assert_eq!(world.outcome(call).unwrap().unwrap()["ok"], true);

    // They come back, each for itself, and take up what waited.
    let mut back = BTreeSet::new();
    while back.len() < NAMES.len() {
        let deadline = world.fleet.poll_timeout().expect("a deadline").at;
        world.pass(deadline.since(world.now));
        assert!(world.now.since(mcp_fleet_core::Time::ZERO) < Duration::from_secs(60));
        for link in revive_all(&mut world) {
            let frame = world.sent(link).remove(0);
            world.say(link, answer(&frame, json!({"again": true})));
            assert!(back.insert(link.server), "one start each");
        }
    }
    for (_, _, calls) in &lives {
        assert_eq!(world.outcome(calls[2]).unwrap().unwrap()["again"], true);
    }
}
