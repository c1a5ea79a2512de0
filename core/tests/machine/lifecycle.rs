//! Start, drain, close ladder, restart, shutdown.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CommandError, Effect, Event, Exit, Failure, LinkId, McpCommand, Reply, Sent,
    ServerState, Signal,
    config::{Kind, Replace, Stdio},
};
use serde_json::json;

use crate::world::{World, answer, discovered, server};

fn rungs(world: &mut World, link: LinkId) -> Vec<&'static str> {
    let mut rungs = Vec::new();
    world.effects.retain(|effect| {
        let rung = match effect {
            Effect::CloseInput { link: on } if *on == link => "close input",
            Effect::Terminate { link: on } if *on == link => "terminate",
            Effect::Kill { link: on } if *on == link => "kill",
            Effect::Abandon { link: on } if *on == link => "abandon",
            _ => return true,
        };
        rungs.push(rung);
        false
    });
    rungs
}

#[test]
fn a_command_that_cannot_start_fails_at_once_and_is_not_tried_again() {
    let mut world = World::new();
    let config = Box::new(server("a"));
    let id = world.command(|id| McpCommand::Deploy { id, config });
    let link = world.opened();
    let message = "no program named server on PATH".to_owned();
    world.feed(Signal::OpenFailed {
        link,
        message: message.clone(),
        transient: false,
    });
    let failure = Failure::CannotStart {
        message,
        transient: false,
    };
    let want = CommandError::Failed {
        server: server("a").name,
        failure,
    };
    assert_eq!(world.reply(id), Some(Err(want)));
    world.pass(Duration::from_secs(600));
    assert!(world.effects.is_empty());
    assert_eq!(world.state("a"), ServerState::Failed);
}

#[test]
fn the_start_deadline_ends_a_server_that_never_answers() {
    let mut world = World::new();
    let (link, id) = world.deploy("a");
    let parked = world.call("a", "t");
    world.pass(Duration::from_secs(60));
    assert_eq!(rungs(&mut world, link), ["close input"]);
    world.pass(Duration::from_secs(4));
    assert_eq!(rungs(&mut world, link), ["terminate", "kill"]);
    world.exit(link, Exit::Signal(9));
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(
        matches!(failure, Failure::StartTimedOut { .. }),
        "{failure:?}"
    );
    assert!(matches!(
        world.outcome(parked),
        Some(Err(CallError::TimedOut { .. }))
    ));
}

#[test]
fn each_rung_of_the_ladder_waits_its_time() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let id = world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    assert_eq!(rungs(&mut world, link), ["close input"]);
    world.pass(Duration::from_millis(1999));
    assert!(rungs(&mut world, link).is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(rungs(&mut world, link), ["terminate"]);
    world.pass(Duration::from_millis(2000));
    assert_eq!(rungs(&mut world, link), ["kill"]);
    assert_eq!(world.reply(id), None, "until nothing is left of it");
    world.exit(link, Exit::Signal(9));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
}

#[test]
fn a_server_that_survives_sigkill_is_given_up_and_said_to_be_left() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let id = world.command(|id| McpCommand::Restart {
        id,
        server: "a".into(),
    });
    world.pass(Duration::from_secs(4));
    assert_eq!(
        rungs(&mut world, link),
        ["close input", "terminate", "kill"]
    );
    world.pass(Duration::from_millis(4999));
    assert!(rungs(&mut world, link).is_empty());
    world.events.clear();
    world.pass(Duration::from_millis(1));
    assert_eq!(rungs(&mut world, link), ["abandon"]);
    let left = Event::Abandoned {
        server: server("a").name,
        replica: 0,
        incarnation: link.incarnation,
        pid: Some(4711),
    };
    assert_eq!(world.events, [left]);
    assert_eq!(world.reply(id), None, "until the link is closed");
    world.feed(Signal::Closed { link });
    let next = world.opened();
    assert_eq!(next.incarnation, link.incarnation + 1);
    world.pass(Duration::from_secs(30));
    assert!(rungs(&mut world, link).is_empty(), "once is enough");
}

#[test]
fn a_start_that_never_comes_to_an_end_is_given_up() {
    let mut world = World::new();
    let config = Box::new(server("a"));
    let id = world.command(|id| McpCommand::Deploy { id, config });
    let link = world.opened();
    world.pass(Duration::from_secs(60));
    assert_eq!(rungs(&mut world, link), ["kill"]);
    world.pass(Duration::from_secs(5));
    assert_eq!(rungs(&mut world, link), ["abandon"]);
    world.feed(Signal::OpenFailed {
        link,
        message: "its start did not come to an end".to_owned(),
        transient: true,
    });
    assert!(matches!(
        world.reply(id),
        Some(Err(CommandError::Failed { .. }))
    ));
}

#[test]
fn a_server_that_ends_with_its_input_is_swept_and_not_signalled() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    world.feed(Signal::Eof { link });
    world.feed(Signal::Exited {
        link,
        exit: Exit::Code(0),
    });
    assert_eq!(
        rungs(&mut world, link),
        ["close input", "kill"],
        "its group is swept"
    );
    world.feed(Signal::Closed { link });
    world.pass(Duration::from_secs(60));
    assert!(world.effects.is_empty());
}

#[test]
fn the_exit_of_the_child_ends_the_incarnation_though_the_pipe_is_held_open() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.feed(Signal::Exited {
        link,
        exit: Exit::Code(0),
    });
    world.say(link, answer(&frame, json!({"last": "words"})));
    assert!(
        world.outcome(call).unwrap().is_ok(),
        "what it still wrote counts"
    );
    world.pass(Duration::from_millis(500));
    assert_eq!(rungs(&mut world, link), ["close input", "kill"]);
    world.feed(Signal::Closed { link });
    assert_eq!(world.state("a"), ServerState::Failed);
}

#[test]
fn a_server_that_closes_its_output_is_walked_down_the_ladder() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    world.feed(Signal::Eof { link });
    assert_eq!(world.state("a"), ServerState::Closing);
    world.pass(Duration::from_secs(4));
    assert_eq!(
        rungs(&mut world, link),
        ["close input", "terminate", "kill"]
    );
    world.exit(link, Exit::Signal(9));
    assert!(matches!(
        world.outcome(call),
        Some(Err(CallError::ServerGone { .. }))
    ));
}

#[test]
fn draining_lets_calls_end_and_takes_no_new_ones() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let running = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    let id = world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    assert_eq!(world.state("a"), ServerState::Draining);
    let late = world.call("a", "t");
    assert!(matches!(
        world.outcome(late),
        Some(Err(CallError::Unavailable { .. }))
    ));
    assert!(rungs(&mut world, link).is_empty());
    world.say(link, answer(&frame, json!({})));
    assert!(world.outcome(running).unwrap().is_ok());
    assert_eq!(rungs(&mut world, link), ["close input"]);
    world.exit(link, Exit::Code(0));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let gone = world.call("a", "t");
    assert!(matches!(
        world.outcome(gone),
        Some(Err(CallError::NotFound { .. }))
    ));
}

#[test]
fn the_drain_deadline_ends_calls_whose_outcome_is_unknown() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "for ever");
    world.wrote(link, 100_000);
    world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    world.pass(Duration::from_secs(10));
    world.exit(link, Exit::Code(0));
    let outcome = world.outcome(call).unwrap().unwrap_err();
    let CallError::ServerGone { sent, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(sent, Sent::Unknown);
}

#[test]
fn a_restart_keeps_waiting_calls_and_drops_the_old_incarnations_words() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let id = world.command(|id| McpCommand::Restart {
        id,
        server: "a".into(),
    });
    let waiting = world.call("a", "t");
    world.exit(link, Exit::Code(0));
    let next = world.opened();
    assert_eq!(next.incarnation, link.incarnation + 1);
    world.say(link, json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    assert_eq!(world.fleet.stats().stale_signals, 1);
    world.feed(Signal::Opened {
        link: next,
        pid: None,
    });
    let probe = world.sent(next).remove(0);
    world.say(next, answer(&probe, discovered(json!({}))));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let frame = world.sent(next).remove(0);
    world.say(next, answer(&frame, json!({})));
    assert!(world.outcome(waiting).unwrap().is_ok());
}

#[test]
fn a_slot_that_is_used_again_goes_on_counting_incarnations() {
    let mut world = World::new();
    let first = world.modern(server("a"));
    world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    world.exit(first, Exit::Code(0));
    world.clear();
    let second = world.modern(server("b"));
    assert_eq!(second.server, first.server);
    assert_eq!(second.incarnation, first.incarnation + 1);
    world.feed(Signal::Exited {
        link: first,
        exit: Exit::Code(1),
    });
    assert_eq!(world.state("b"), ServerState::Ready);
}

#[test]
fn a_server_undeployed_while_it_starts_is_killed_and_forgotten() {
    let mut world = World::new();
    let config = Box::new(server("a"));
    let deploy = world.command(|id| McpCommand::Deploy { id, config });
    let link = world.opened();
    let undeploy = world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    assert_eq!(rungs(&mut world, link), ["kill"]);
    world.feed(Signal::Opened { link, pid: None });
    assert_eq!(
        rungs(&mut world, link),
        ["kill"],
        "it may have opened after the first"
    );
    world.exit(link, Exit::Signal(9));
    assert!(matches!(
        world.reply(deploy),
        Some(Err(CommandError::Superseded { .. }))
    ));
    assert_eq!(world.reply(undeploy), Some(Ok(Reply::Done)));
    assert_eq!(world.fleet.stats().servers, 0);
}

#[test]
fn opposite_wishes_end_in_the_last_one() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let restart = world.command(|id| McpCommand::Restart {
        id,
        server: "a".into(),
    });
    let undeploy = world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    let again = world.command(|id| McpCommand::Restart {
        id,
        server: "a".into(),
    });
    world.exit(link, Exit::Code(0));
    assert!(matches!(
        world.reply(restart),
        Some(Err(CommandError::Superseded { .. }))
    ));
    assert!(matches!(
        world.reply(again),
        Some(Err(CommandError::Superseded { .. }))
    ));
    assert_eq!(world.reply(undeploy), Some(Ok(Reply::Done)));
}

#[test]
fn limits_change_in_place_and_anything_else_starts_anew() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let mut config = server("a");
    config.limits.in_flight = 1;
    config.replace = Replace::InTurn;
    let tuned = Box::new(config.clone());
    let id = world.command(|id| McpCommand::UpdateConfig { id, config: tuned });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert!(world.effects.is_empty());
    world.call("a", "one");
    world.call("a", "two");
    let frame = world.sent(link);
    assert_eq!(frame.len(), 1, "the new limit holds");

    let args = vec!["--new".to_owned()];
    config.kind = Kind::Stdio(Stdio {
        command: "server".into(),
        args,
        ..Stdio::default()
    });
    let replaced = Box::new(config);
    let id = world.command(|id| McpCommand::UpdateConfig {
        id,
        config: replaced,
    });
    world.say(link, answer(&frame[0], json!({})));
    world.exit(link, Exit::Code(0));
    let place = world
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Open { .. }));
    let Effect::Open {
        link: next, kind, ..
    } = world.effects.remove(place.unwrap())
    else {
        panic!()
    };
    assert!(matches!(&*kind, Kind::Stdio(stdio) if stdio.args == ["--new"]));
    world.feed(Signal::Opened {
        link: next,
        pid: None,
    });
    let probe = world.sent(next).remove(0);
    world.say(next, answer(&probe, discovered(json!({}))));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(
        world.sent(next)[0]["params"]["name"],
        "two",
        "the waiting call was kept"
    );
}

#[test]
fn names_are_unique_ignoring_case_and_the_fleet_has_a_limit() {
    let mut config = mcp_fleet_core::config::FleetConfig::default();
    config.limits.servers = 2;
    let mut world = World::with(config);
    world.modern(server("files"));
    let mut deploy = |name: &str| {
        let config = Box::new(server(name));
        let id = world.command(|id| McpCommand::Deploy { id, config });
        world.reply(id)
    };
    assert!(matches!(
        deploy("FILES"),
        Some(Err(CommandError::AlreadyDeployed { .. }))
    ));
    assert!(deploy("other").is_none());
    assert_eq!(
        deploy("third"),
        Some(Err(CommandError::FleetFull { limit: 2 }))
    );
}

#[test]
fn a_disabled_server_is_listed_and_refuses_calls() {
    let mut world = World::new();
    let mut config = server("a");
    config.enabled = false;
    let config = Box::new(config);
    let id = world.command(|id| McpCommand::Deploy { id, config });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert!(world.effects.is_empty());
    let call = world.call("a", "t");
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert_eq!(
        outcome.to_string(),
        "a is unavailable: is disabled in its configuration"
    );
}

#[test]
fn shutdown_drains_all_and_ends_when_nothing_is_left() {
    let mut world = World::new();
    let (one, two) = (world.modern(server("one")), world.modern(server("two")));
    let running = world.call("two", "t");
    let frame = world.sent(two).remove(0);
    let id = world.command(|id| McpCommand::Shutdown { id, grace: None });
    let refused = world.call("one", "t");
    assert_eq!(world.outcome(refused), Some(Err(CallError::ShuttingDown)));
    world.exit(one, Exit::Code(0));
    assert_eq!(world.reply(id), None);
    world.say(two, answer(&frame, json!({})));
    assert!(world.outcome(running).unwrap().is_ok());
    world.exit(two, Exit::Code(0));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert!(world.fleet.is_shut_down());
    let again = world.command(|id| McpCommand::Shutdown { id, grace: None });
    assert_eq!(world.reply(again), Some(Ok(Reply::Done)));
}

#[test]
fn a_shutdown_with_no_grace_does_not_wait_for_calls() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    world.call("a", "for ever");
    let grace = Some(Duration::ZERO);
    world.command(|id| McpCommand::Shutdown { id, grace });
    world.pass(Duration::ZERO);
    assert_eq!(rungs(&mut world, link), ["close input"]);
}

#[test]
fn a_line_without_end_fails_the_server_and_holds_no_memory() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.line_bytes = 1000;
    let link = world.modern(config);
    let call = world.call("a", "t");
    for _ in 0..100 {
        world.say_raw(link, "x".repeat(100));
    }
    assert_eq!(world.state("a"), ServerState::Closing);
    world.exit(link, Exit::Code(0));
    assert!(matches!(
        world.outcome(call),
        Some(Err(CallError::ServerGone { .. }))
    ));
}

#[test]
fn endless_noise_is_no_server() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.noise_lines = 10;
    let (link, id) = world.deploy_config(config);
    world.say_raw(link, "hello\n".repeat(11));
    world.exit(link, Exit::Code(0));
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(matches!(failure, Failure::Protocol { .. }), "{failure:?}");
}

#[test]
fn health_is_a_round_trip_in_either_era() {
    let mut world = World::new();
    let new = world.modern(server("new"));
    let old = world.legacy(server("old"), "2025-11-25");
    let id = world.command(|id| McpCommand::HealthCheck { id, server: None });
    let (discover, ping) = (world.sent(new).remove(0), world.sent(old).remove(0));
    assert_eq!(discover["method"], "server/discover");
    assert_eq!(ping["method"], "ping");
    world.pass(Duration::from_millis(3));
    world.say(new, answer(&discover, discovered(json!({}))));
    assert_eq!(world.reply(id), None);
    world.pass(Duration::from_secs(15));
    let Some(Ok(Reply::Health(health))) = world.reply(id) else {
        panic!()
    };
    assert_eq!(health[0].latency, Some(Duration::from_millis(3)));
    assert!(!health[1].is_healthy() && health[1].problem.is_some());
    assert_eq!(world.sent(old)[0]["method"], "notifications/cancelled");
}

#[test]
fn time_that_stands_still_jumps_or_goes_back_harms_nothing() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    world.pass(Duration::from_secs(30));
    world.now = mcp_fleet_core::Time::ZERO;
    world.fleet.handle_timeout(world.now);
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({})));
    assert!(world.outcome(call).unwrap().is_ok());
}

#[test]
fn a_server_that_breaks_the_protocol_while_it_drains_is_still_forgotten() {
    let mut config = server("a");
    config.limits.line_bytes = 1000;
    let mut world = World::new();
    let link = world.legacy(config, "2025-11-25");
    world.call("a", "t");
    let id = world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".to_owned(),
    });
    world.say_raw(link, "x".repeat(1001));
    world.exit(link, Exit::Signal(9));
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert!(world.fleet.stats().by_server.is_empty());
}

#[test]
fn a_server_that_goes_on_making_noise_crashed_once() {
    let mut config = server("a");
    config.limits.noise_lines = 2;
    let mut world = World::new();
    let link = world.legacy(config, "2025-11-25");
    world.say_raw(link, "tick\n".repeat(50));
    world.say_raw(link, "tock\n".repeat(50));
    world.exit(link, Exit::Code(1));
    assert_eq!(world.fleet.stats().total.crashes, 1);
}

#[test]
fn nothing_is_asked_of_a_link_that_is_closed() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    let call = world.call("a", "t");
    world.clear();
    world.feed(Signal::Closed { link });
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    assert!(world.outcome(call).unwrap().is_err());
    assert_eq!(world.state("a"), ServerState::Failed);
}

#[test]
fn nothing_is_sent_after_the_input_is_closed() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    let call = world.call("a", "t");
    world.feed(Signal::Eof { link });
    assert_eq!(world.state("a"), ServerState::Closing);
    world.sent(link);
    world.feed(McpCommand::Cancel { call, reason: None });
    world.say(link, json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
    assert!(world.outcome(call).unwrap().is_err());
    assert!(world.sent(link).is_empty());
}

#[test]
fn a_command_that_may_not_wait_has_no_effect_but_an_undeploy_is_always_taken() {
    let mut config = server("a");
    config.limits.waiting = 1;
    let mut world = World::new();
    let link = world.legacy(config, "2025-11-25");
    world.call("a", "t");
    world.sent(link);
    let name = || "a".to_owned();
    let first = world.command(|id| McpCommand::Restart { id, server: name() });
    let second = world.command(|id| McpCommand::Restart { id, server: name() });
    let mut changed = server("a");
    changed.enabled = false;
    let config = Box::new(changed);
    let third = world.command(|id| McpCommand::UpdateConfig { id, config });
    for refused in [second, third] {
        let want = CommandError::Overloaded {
            server: server("a").name,
            limit: 1,
        };
        assert_eq!(world.reply(refused), Some(Err(want)));
    }
    let farewell = world.command(|id| McpCommand::Undeploy { id, server: name() });
    let again = world.command(|id| McpCommand::Undeploy { id, server: name() });
    assert!(matches!(world.reply(again), Some(Err(_))));
    world.exit(link, Exit::Code(0));
    assert!(matches!(
        world.reply(first),
        Some(Err(CommandError::Superseded { .. }))
    ));
    assert_eq!(world.reply(farewell), Some(Ok(Reply::Done)));
}

#[test]
fn a_failed_server_that_is_disabled_is_stopped() {
    let mut world = World::new();
    let link = world.legacy(server("a"), "2025-11-25");
    world.exit(link, Exit::Code(1));
    let mut config = server("a");
    config.enabled = false;
    let config = Box::new(config);
    let id = world.command(|id| McpCommand::UpdateConfig { id, config });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(world.state("a"), ServerState::Stopped);
    let call = world.call("a", "t");
    let Some(Err(CallError::Unavailable { reason, .. })) = world.outcome(call) else {
        panic!()
    };
    assert!(reason.contains("disabled"), "{reason}");
}

#[test]
fn a_shutdown_tells_no_state_of_a_server_that_was_stopped() {
    let mut world = World::new();
    let mut config = server("a");
    config.enabled = false;
    let config = Box::new(config);
    world.command(|id| McpCommand::Deploy { id, config });
    world.command(|id| McpCommand::Shutdown { id, grace: None });
    assert!(world.states("a").is_empty());
}

#[test]
fn a_last_answer_without_a_line_break_counts_and_a_part_of_one_does_not() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let call = world.call("a", "t");
    let frame = world.sent(link).remove(0);
    world.say_raw(link, answer(&frame, json!({"last": "words"})).to_string());
    world.exit(link, Exit::Code(0));
    assert_eq!(world.outcome(call).unwrap().unwrap()["last"], "words");

    let link = world.modern(server("b"));
    let call = world.call("b", "t");
    let frame = world.sent(link).remove(0);
    let whole = answer(&frame, json!({"secret": "words"})).to_string();
    world.say_raw(link, &whole[..whole.len() - 3]);
    world.exit(link, Exit::Code(0));
    let outcome = world.outcome(call).unwrap().unwrap_err();
    assert!(matches!(outcome, CallError::ServerGone { .. }));
    assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
}

#[test]
fn disabling_a_server_ends_when_a_restart_brings_it_back() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    let mut config = server("a");
    config.enabled = false;
    let config = Box::new(config);
    let disable = world.command(|id| McpCommand::UpdateConfig { id, config });
    let restart = world.command(|id| McpCommand::Restart {
        id,
        server: "a".to_owned(),
    });
    let Some(Err(CommandError::Superseded { by, .. })) = world.reply(disable) else {
        panic!()
    };
    assert_eq!(by, "restarted");
    world.exit(link, Exit::Code(0));
    world.opened();
    assert_eq!(world.reply(restart), None);
}
