//! Servers that say themselves whether they have started up, and whether they want calls.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CallOptions, Effect, Event, Exit, Failure, LinkId, McpCommand, Reply,
    ServerInfo, ServerState,
    config::{Probe, Restart, ServerConfig},
};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, error, server};

const SECOND: Duration = Duration::from_secs(1);

fn tool(name: &str) -> Probe {
    Probe::Tool(name.to_owned())
}

fn warming() -> ServerConfig {
    let mut config = server("a");
    config.probes.startup = tool("up");
    config
}

fn checked_for_readiness() -> ServerConfig {
    let mut config = server("a");
    config.probes.readiness = tool("well");
    config.limits.readiness_interval = SECOND;
    config.limits.readiness_failures = 2;
    config
}

/// The one question for this tool that was sent since, where there is one.
fn asked(world: &mut World, link: LinkId, tool: &str) -> Option<Value> {
    let mut frames = world.sent(link);
    frames.retain(|frame| frame["params"]["name"] == tool);
    assert!(frames.len() <= 1, "{frames:?}");
    frames.pop()
}

fn well() -> Value {
    json!({"content": []})
}

fn failed() -> Value {
    json!({"content": [], "isError": true})
}

fn info(world: &mut World) -> ServerInfo {
    let id = world.command(|id| McpCommand::ListServers { id });
    let Some(Ok(Reply::Servers(mut all))) = world.reply(id) else {
        panic!()
    };
    all.remove(0)
}

/// A server that its readiness probe has taken out of rotation.
fn unready(world: &mut World) -> LinkId {
    let link = world.modern(checked_for_readiness());
    for _ in 0..2 {
        world.pass(SECOND);
        let question = asked(world, link, "well").unwrap();
        world.say(link, answer(&question, failed()));
    }
    link
}

#[test]
fn calls_wait_until_the_startup_probe_succeeds() {
    let mut world = World::new();
    let (link, deployed) = world.deploy_config(warming());
    let call = world.call("a", "t");
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({"tools": {}}))));
    let frames = world.sent(link);
    assert_eq!(frames.len(), 1, "nothing but the question: {frames:?}");
    assert_eq!(frames[0]["params"]["name"], "up");
    assert_eq!(frames[0]["params"]["arguments"], Value::Null);
    world.say(link, answer(&frames[0], failed()));
    assert_eq!(world.reply(deployed), None);
    let info = info(&mut world);
    assert_eq!(info.state, ServerState::Warming);
    assert_eq!(info.unwell.as_deref(), Some("up failed"));
    world.pass(SECOND);
    let question = asked(&mut world, link, "up").expect("it is asked again");
    world.say(link, answer(&question, well()));
    assert_eq!(world.reply(deployed), Some(Ok(Reply::Done)));
    let sent = world.sent(link);
    assert!(sent.iter().any(|frame| frame["method"] == "tools/list"));
    assert!(
        sent.iter()
            .any(|frame| frame["params"]["arguments"]["n"] == call.0)
    );
    world.pass(SECOND * 30);
    assert_eq!(asked(&mut world, link, "up"), None, "it has started up");
}

#[test]
fn a_server_that_never_warms_up_says_why_it_failed() {
    for (say, why) in [
        (
            Some(json!({"code": -32000, "message": "loading"})),
            "error -32000: loading",
        ),
        (None, "it was not answered"),
    ] {
        let mut world = World::new();
        let mut config = warming();
        config.limits.start_timeout = SECOND * 3;
        let link = world.modern(config);
        if let Some(error) = &say {
            // What it was asked first is taken by `modern`: answer what comes next.
            world.pass(SECOND * 2);
            let asked = json!({"jsonrpc": "2.0", "id": 2, "error": error});
            world.say(link, asked);
        }
        world.pass(SECOND * 3);
        assert_eq!(world.state("a"), ServerState::Closing);
        world.exit(link, Exit::Signal(15));
        let failure = info(&mut world).failure.unwrap();
        assert!(
            matches!(&failure, Failure::StartTimedOut { probe: Some(problem), .. } if problem == why),
            "{failure:?}"
        );
        let text = failure.to_string();
        assert!(
            text.contains("startup probe never succeeded: ") && text.ends_with(why),
            "{text}"
        );
    }
}

#[test]
fn a_server_that_warms_up_keeps_its_place_among_those_that_start() {
    let mut config = mcp_fleet_core::config::FleetConfig::default();
    config.limits.starting = 1;
    let mut world = World::with(config);
    let (link, _) = world.deploy_config(warming());
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    let other = Box::new(server("b"));
    world.command(|id| McpCommand::Deploy { id, config: other });
    assert_eq!(world.state("b"), ServerState::Waiting);
    let question = asked(&mut world, link, "up").unwrap();
    world.say(link, answer(&question, well()));
    assert_eq!(world.state("b"), ServerState::Starting);
}

#[test]
fn a_server_that_ends_while_it_warms_up_ended_early_and_is_no_legacy_server() {
    let mut world = World::new();
    let link = world.modern(warming());
    let call = world.call("a", "t");
    world.exit(link, Exit::Code(1));
    assert!(matches!(
        info(&mut world).failure,
        Some(Failure::EndedEarly { .. })
    ));
    assert!(matches!(
        world.outcome(call),
        Some(Err(CallError::Unavailable { .. }))
    ));
}

#[test]
fn liveness_and_readiness_do_not_apply_before_the_start_is_over() {
    let mut world = World::new();
    let mut config = warming();
    config.limits.health_interval = SECOND;
    config.limits.health_failures = 1;
    config.limits.request_timeout = SECOND;
    config.probes.readiness = tool("well");
    config.limits.readiness_interval = SECOND;
    config.limits.readiness_failures = 1;
    let link = world.modern(config);
    world.pass(SECOND * 30);
    assert_eq!(world.state("a"), ServerState::Warming);
    let frames = world.sent(link);
    assert!(frames.iter().all(|frame| {
        frame["params"]["name"] == "up" || frame["method"] == "notifications/cancelled"
    }));
}

#[test]
fn a_suspension_of_the_host_is_no_failed_start() {
    let mut world = World::new();
    let link = world.modern(warming());
    world.now = world.now.after(Duration::from_secs(3600));
    while world
        .fleet
        .poll_timeout()
        .is_some_and(|due| due.at <= world.now)
    {
        world.feed(mcp_fleet_core::Signal::Wrote { link, bytes: 1 });
        world.fleet.handle_timeout(world.now);
    }
    assert_eq!(world.state("a"), ServerState::Warming);
    world.pass(Duration::from_secs(60));
    assert_eq!(
        world.state("a"),
        ServerState::Closing,
        "its time began anew"
    );
}

#[test]
fn a_server_that_does_not_read_is_asked_as_soon_as_it_does() {
    let mut world = World::new();
    let mut config = warming();
    config.limits.write_bytes = 1;
    let link = world.modern(config);
    world.pass(SECOND * 5);
    assert_eq!(asked(&mut world, link, "up"), None);
    world.wrote(link, 100_000);
    assert!(asked(&mut world, link, "up").is_some());
}

#[test]
fn an_unready_server_gets_no_new_calls_and_lives_on() {
    let mut world = World::new();
    let link = world.modern(checked_for_readiness());
    let running = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.pass(SECOND);
    let question = asked(&mut world, link, "well").unwrap();
    world.say(link, error(&question, -32000, "busy"));
    assert_eq!(world.state("a"), ServerState::Ready, "once is not enough");
    world.pass(SECOND);
    let question = asked(&mut world, link, "well").unwrap();
    world.say(link, answer(&question, failed()));
    assert_eq!(world.states("a").pop(), Some(ServerState::Unready));
    assert_eq!(info(&mut world).unwell.as_deref(), Some("well failed"));
    assert_eq!(world.fleet.stats().active_servers, 0);
    let waiting = world.call("a", "t");
    let hasty = world.call_with(
        "a",
        "t",
        CallOptions {
            timeout: Some(Duration::from_millis(10)),
            ..CallOptions::default()
        },
    );
    assert_eq!(world.sent(link), Vec::<Value>::new());
    world.say(link, answer(&frame, json!({"content": [1]})));
    assert!(matches!(world.outcome(running), Some(Ok(_))));
    world.pass(SECOND);
    assert!(matches!(
        world.outcome(hasty),
        Some(Err(CallError::TimedOut { .. }))
    ));
    let question = asked(&mut world, link, "well").unwrap();
    world.say(link, answer(&question, well()));
    assert_eq!(world.states("a"), [ServerState::Ready]);
    let sent = world.sent(link);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["params"]["arguments"]["n"], waiting.0);
    assert_eq!(info(&mut world).incarnation, 1);
}

#[test]
fn calls_that_wait_for_an_unready_server_are_bounded() {
    let mut world = World::new();
    let mut config = checked_for_readiness();
    config.limits.queue = 2;
    config.limits.readiness_failures = 1;
    let link = world.modern(config);
    world.pass(SECOND);
    let question = asked(&mut world, link, "well").unwrap();
    world.say(link, answer(&question, failed()));
    let calls: Vec<CallId> = (0..3).map(|_| world.call("a", "t")).collect();
    assert_eq!(world.outcome(calls[1]), None);
    assert!(matches!(
        world.outcome(calls[2]),
        Some(Err(CallError::Overloaded { .. }))
    ));
}

#[test]
fn a_probe_that_asks_for_input_or_hangs_is_not_well() {
    let mut world = World::new();
    let mut config = checked_for_readiness();
    config.limits.request_timeout = SECOND;
    let link = world.modern(config);
    world.pass(SECOND);
    let question = asked(&mut world, link, "well").unwrap();
    let round = json!({"resultType": "input_required", "requestState": "s"});
    world.say(link, answer(&question, round));
    world.pass(SECOND * 2);
    assert_eq!(world.state("a"), ServerState::Unready);
    let why = info(&mut world).unwell.unwrap();
    assert!(why.contains("no answer within"), "{why}");
}

#[test]
fn a_suspension_of_the_host_is_not_held_against_anybody() {
    let mut world = World::new();
    let mut config = checked_for_readiness();
    config.restart = Restart::Always;
    config.limits.health_interval = SECOND;
    config.limits.health_failures = 1;
    config.limits.readiness_failures = 1;
    world.modern(config);
    for _ in 0..5 {
        world.pass(SECOND + Duration::from_millis(1));
        // The questions are under way when the host is suspended.
        world.now = world.now.after(Duration::from_secs(3600));
        while world
            .fleet
            .poll_timeout()
            .is_some_and(|due| due.at <= world.now)
        {
            world.fleet.handle_timeout(world.now);
        }
        assert_eq!(world.state("a"), ServerState::Ready);
    }
}

#[test]
fn a_tool_tells_of_life_whatever_it_answers() {
    let mut world = World::new();
    let mut config = server("a");
    config.probes.liveness = tool("alive");
    config.limits.health_interval = SECOND;
    config.limits.health_failures = 1;
    config.limits.request_timeout = SECOND;
    let link = world.legacy(config, "2025-11-25");
    for _ in 0..3 {
        world.pass(SECOND);
        let question = asked(&mut world, link, "alive").unwrap();
        world.say(link, error(&question, -32602, "no such tool"));
    }
    world.pass(SECOND);
    let question = asked(&mut world, link, "alive").unwrap();
    world.say(link, answer(&question, failed()));
    assert_eq!(world.state("a"), ServerState::Ready);
    world.pass(SECOND * 2);
    assert_eq!(world.state("a"), ServerState::Closing);
}

#[test]
fn probes_change_while_the_server_runs() {
    let mut world = World::new();
    let link = unready(&mut world);
    let mut config = checked_for_readiness();
    config.probes.readiness = Probe::None;
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config });
    assert_eq!(world.state("a"), ServerState::Ready);
    world.sent(link);
    world.pass(SECOND * 10);
    assert_eq!(world.sent(link), Vec::<Value>::new());

    let mut world = World::new();
    world.modern(warming());
    let config = Box::new(server("a"));
    world.command(|id| McpCommand::UpdateConfig { id, config });
    assert_eq!(world.state("a"), ServerState::Ready);
}

#[test]
fn a_restart_brings_an_unready_server_back_into_rotation() {
    let mut world = World::new();
    let link = unready(&mut world);
    let id = world.command(|id| McpCommand::Restart {
        id,
        server: "a".to_owned(),
    });
    world.exit(link, Exit::Code(0));
    let link = world.opened();
    world.feed(mcp_fleet_core::Signal::Opened { link, pid: None });
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({}))));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(world.state("a"), ServerState::Ready);
}

#[test]
fn a_health_check_says_who_gets_no_calls() {
    let mut world = World::new();
    let link = unready(&mut world);
    let id = world.command(|id| McpCommand::HealthCheck { id, server: None });
    let ping = world.sent(link).pop().unwrap();
    assert_eq!(ping["method"], "server/discover");
    world.say(link, answer(&ping, discovered(json!({}))));
    let Some(Ok(Reply::Health(found))) = world.reply(id) else {
        panic!()
    };
    assert!(found[0].latency.is_some() && !found[0].is_healthy());
    assert_eq!(found[0].state, ServerState::Unready);
    assert_eq!(
        found[0].problem.as_deref(),
        Some("gets no new calls: well failed")
    );
    assert!(
        !world
            .events
            .iter()
            .any(|event| matches!(event, Event::Violation { .. }))
    );
}

#[test]
fn questions_of_the_same_moment_do_not_starve_each_other() {
    let mut world = World::new();
    let mut config = checked_for_readiness();
    config.limits.health_interval = SECOND;
    config.limits.write_bytes = 1;
    let (link, _) = world.deploy_config(config);
    let greeting = handed(&world);
    let probe = world.sent(link).remove(0);
    world.wrote(link, greeting);
    world.say(link, answer(&probe, discovered(json!({}))));
    world.pass(SECOND);
    let question = handed(&world);
    let first = world.sent(link);
    assert_eq!(first.len(), 1, "there is credit for one: {first:?}");
    assert_eq!(first[0]["method"], "server/discover");
    world.wrote(link, question);
    assert!(
        asked(&mut world, link, "well").is_some(),
        "it is asked as soon as there is credit again"
    );
}

/// Length of what waits to be looked at.
fn handed(world: &World) -> u64 {
    let length = |effect: &Effect| match effect {
        Effect::Send { bytes, .. } => bytes.len() as u64,
        _ => 0,
    };
    world.effects.iter().map(length).sum()
}
