//! A new configuration takes over from the old: beside it, in turn, or not at all.

use std::time::Duration;

use mcp_fleet_core::{
    CommandError, CommandId, Effect, Event, Exit, Failure, LinkId, McpCommand, Reply, ServerState,
    Signal,
    config::{Kind, Replace, Restart, ServerConfig, Stdio},
};
use serde_json::json;

use crate::{
    replicas::{deploy, info, open, replicated, rise},
    world::{World, answer, server},
};

fn with_program(mut config: ServerConfig, program: &str) -> ServerConfig {
    config.kind = Kind::Stdio(Stdio {
        command: program.to_owned(),
        ..Stdio::default()
    });
    config
}

fn update(world: &mut World, config: ServerConfig) -> CommandId {
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config })
}

/// What is opened next, and the program it is to run.
fn opening(world: &mut World) -> (LinkId, String) {
    let place = world
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Open { .. }));
    let Effect::Open { link, kind, .. } = world.effects.remove(place.expect("an Open")) else {
        unreachable!()
    };
    let Kind::Stdio(stdio) = &*kind else {
        panic!("{kind:?}")
    };
    (link, stdio.command.clone())
}

fn fail(world: &mut World, link: LinkId) {
    world.feed(Signal::OpenFailed {
        link,
        message: "no such program".into(),
        transient: false,
    });
}

#[test]
fn newcomers_take_over_when_all_of_them_are_ready_and_no_call_is_lost() {
    let mut world = World::new();
    let mut old = replicated("a", 2);
    old.limits.in_flight = 1;
    let (_, links) = deploy(&mut world, old.clone());
    let calls: Vec<_> = (0..5).map(|_| world.call("a", "t")).collect();
    let frames: Vec<_> = links
        .iter()
        .map(|link| world.sent(*link).remove(0))
        .collect();
    let id = update(&mut world, with_program(old, "new"));
    let (one, program) = opening(&mut world);
    assert_eq!(program, "new");
    let (two, _) = opening(&mut world);
    open(&mut world, one);
    assert_eq!(world.reply(id), None);
    assert!(
        world.sent(one).is_empty(),
        "the old ones serve until all are ready"
    );
    open(&mut world, two);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let (third, fourth) = (world.sent(one).remove(0), world.sent(two).remove(0));
    for (link, frame) in links.iter().zip(&frames) {
        world.say(*link, answer(frame, json!({})));
        assert!(
            world.effects.contains(&Effect::CloseInput { link: *link }),
            "it leaves after its calls"
        );
        world.exit(*link, Exit::Code(0));
    }
    world.say(one, answer(&third, json!({})));
    world.say(two, answer(&fourth, json!({})));
    let fifth = world.sent(one).remove(0);
    world.say(one, answer(&fifth, json!({})));
    for call in calls {
        assert!(world.outcome(call).unwrap().is_ok(), "{call:?}");
    }
    let info = info(&mut world, "a");
    assert_eq!(info.replicas.len(), 2);
    assert_eq!(info.stats.succeeded, 5, "counts go on");
    assert_eq!(info.stats.starts, 4);
}

#[test]
fn a_newcomer_that_fails_is_given_up_and_the_old_one_serves_on() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, replicated("a", 2));
    let id = update(&mut world, with_program(replicated("a", 2), "broken"));
    let ((one, _), (two, _)) = (opening(&mut world), opening(&mut world));
    open(&mut world, one);
    fail(&mut world, two);
    let Some(Err(CommandError::Failed { failure, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(matches!(failure, Failure::CannotStart { .. }));
    assert!(
        world
            .events
            .iter()
            .any(|event| matches!(event, Event::RolledBack { .. }))
    );
    world.exit(one, Exit::Code(0));
    assert_eq!(info(&mut world, "a").replicas.len(), 2);
    world.call("a", "t");
    assert_eq!(world.sent(old[0]).len(), 1);
    let again = update(&mut world, replicated("a", 2));
    assert_eq!(
        world.reply(again),
        Some(Ok(Reply::Done)),
        "it never left the old one"
    );
}

#[test]
fn where_nothing_works_the_new_configuration_is_taken_at_once() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    world.exit(old[0], Exit::Code(1));
    let id = update(&mut world, with_program(server("a"), "new"));
    let call = world.call("a", "t");
    let (link, program) = opening(&mut world);
    assert_eq!((link.server, program.as_str()), (old[0].server, "new"));
    open(&mut world, link);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({})));
    assert!(world.outcome(call).unwrap().is_ok());
}

#[test]
fn a_first_start_that_fails_leaves_the_new_configuration_in_force() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    world.exit(old[0], Exit::Code(1));
    let id = update(&mut world, with_program(server("a"), "new"));
    let (link, _) = opening(&mut world);
    fail(&mut world, link);
    assert!(matches!(
        world.reply(id),
        Some(Err(CommandError::Failed { .. }))
    ));
    world.command(|id| McpCommand::Restart {
        id,
        server: "a".into(),
    });
    assert_eq!(opening(&mut world).1, "new");
}

#[test]
fn servers_that_replace_each_other_in_turn_are_never_there_together() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    let mut config = with_program(server("a"), "new");
    config.replace = Replace::InTurn;
    let id = update(&mut world, config);
    let call = world.call("a", "t");
    assert!(rise(&mut world).is_empty());
    world.exit(old[0], Exit::Code(0));
    let new = rise(&mut world);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let frame = world.sent(new[0]).remove(0);
    world.say(new[0], answer(&frame, json!({})));
    assert!(world.outcome(call).unwrap().is_ok());
}

#[test]
fn a_configuration_that_fails_in_its_probation_gives_way_to_the_one_before() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    update(&mut world, with_program(server("a"), "new"));
    let (new, _) = opening(&mut world);
    open(&mut world, new);
    world.exit(old[0], Exit::Code(0));
    world.pass(Duration::from_secs(29));
    world.clear();
    world.exit(new, Exit::Code(3));
    let told = world.events.iter().find_map(|event| match event {
        Event::RolledBack {
            error: CommandError::Failed { failure, .. },
            ..
        } => Some(failure.clone()),
        _ => None,
    });
    assert!(matches!(told, Some(Failure::Crashed { .. })));
    let waiting = world.call("a", "t");
    let (link, program) = opening(&mut world);
    assert_eq!(program, "server");
    open(&mut world, link);
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({})));
    assert!(world.outcome(waiting).unwrap().is_ok());
}

#[test]
fn calls_that_waited_in_the_probation_are_kept_for_the_configuration_before() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.in_flight = 1;
    deploy(&mut world, config.clone());
    update(&mut world, with_program(config, "new"));
    let (new, _) = opening(&mut world);
    open(&mut world, new);
    world.call("a", "t");
    let waiting = world.call("a", "t");
    world.exit(new, Exit::Code(3));
    assert_eq!(world.outcome(waiting), None);
    let back = rise(&mut world);
    let frame = world.sent(back[0]).remove(0);
    world.say(back[0], answer(&frame, json!({})));
    assert!(world.outcome(waiting).unwrap().is_ok());
}

#[test]
fn after_its_probation_a_configuration_stays_whatever_comes() {
    let mut world = World::new();
    deploy(&mut world, server("a"));
    update(&mut world, with_program(server("a"), "new"));
    let (new, _) = opening(&mut world);
    open(&mut world, new);
    world.pass(Duration::from_secs(30));
    world.clear();
    world.exit(new, Exit::Code(3));
    assert!(
        !world
            .events
            .iter()
            .any(|event| matches!(event, Event::RolledBack { .. }))
    );
    assert!(rise(&mut world).is_empty());
}

#[test]
fn the_last_configuration_wins_and_each_command_ends() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    let first = update(&mut world, with_program(server("a"), "one"));
    let (one, _) = opening(&mut world);
    let second = update(&mut world, with_program(server("a"), "two"));
    assert!(matches!(
        world.reply(first),
        Some(Err(CommandError::Superseded { .. }))
    ));
    assert!(world.effects.contains(&Effect::Kill { link: one }));
    let (two, program) = opening(&mut world);
    assert_eq!(program, "two");
    let back = update(&mut world, server("a"));
    assert!(matches!(
        world.reply(second),
        Some(Err(CommandError::Superseded { .. }))
    ));
    assert_eq!(
        world.reply(back),
        Some(Ok(Reply::Done)),
        "it is in force still"
    );
    world.exit(one, Exit::Signal(9));
    world.exit(two, Exit::Signal(9));
    assert_eq!(info(&mut world, "a").replicas.len(), 1);
    world.call("a", "t");
    assert_eq!(world.sent(old[0]).len(), 1);
}

#[test]
fn an_undeployment_during_a_replacement_takes_newcomers_with_it() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    let replace = update(&mut world, with_program(server("a"), "new"));
    let (new, _) = opening(&mut world);
    let undeploy = world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".into(),
    });
    assert!(matches!(
        world.reply(replace),
        Some(Err(CommandError::Superseded { .. }))
    ));
    world.exit(old[0], Exit::Code(0));
    assert_eq!(world.reply(undeploy), None);
    world.exit(new, Exit::Signal(9));
    assert_eq!(world.reply(undeploy), Some(Ok(Reply::Done)));
    assert_eq!(world.fleet.stats().servers, 0);
}

#[test]
fn a_shutdown_during_a_replacement_ends_both_sides() {
    let mut world = World::new();
    let (_, old) = deploy(&mut world, server("a"));
    let replace = update(&mut world, with_program(server("a"), "new"));
    let (new, _) = opening(&mut world);
    let shutdown = world.command(|id| McpCommand::Shutdown { id, grace: None });
    assert!(matches!(
        world.reply(replace),
        Some(Err(CommandError::Superseded { .. }))
    ));
    world.exit(old[0], Exit::Code(0));
    assert_eq!(world.reply(shutdown), None);
    world.exit(new, Exit::Signal(9));
    assert_eq!(world.reply(shutdown), Some(Ok(Reply::Done)));
}

#[test]
fn a_restart_during_a_replacement_is_done_by_it() {
    let mut world = World::new();
    deploy(&mut world, server("a"));
    update(&mut world, with_program(server("a"), "new"));
    let (new, _) = opening(&mut world);
    let restart = world.command(|id| McpCommand::Restart {
        id,
        server: "a".into(),
    });
    assert_eq!(world.reply(restart), None);
    open(&mut world, new);
    assert_eq!(world.reply(restart), Some(Ok(Reply::Done)));
}

#[test]
fn attached_servers_are_replaced_in_turn() {
    let mut world = World::new();
    let mut config = server("a");
    config.kind = Kind::Attached;
    let (_, old) = deploy(&mut world, config);
    update(&mut world, with_program(server("a"), "new"));
    assert!(rise(&mut world).is_empty());
    world.exit(old[0], Exit::Code(0));
    assert_eq!(opening(&mut world).1, "new");
}

#[test]
fn old_replicas_that_crash_meanwhile_leave_their_calls_to_the_newcomers() {
    let mut world = World::new();
    let mut config = server("a");
    config.restart = Restart::Never;
    config.limits.in_flight = 1;
    let (_, old) = deploy(&mut world, config.clone());
    world.call("a", "t");
    let waiting = world.call("a", "t");
    update(&mut world, with_program(config, "new"));
    let (new, _) = opening(&mut world);
    world.exit(old[0], Exit::Code(1));
    assert_eq!(world.outcome(waiting), None);
    open(&mut world, new);
    let frame = world.sent(new).remove(0);
    world.say(new, answer(&frame, json!({})));
    assert!(world.outcome(waiting).unwrap().is_ok());
    assert_eq!(info(&mut world, "a").state, ServerState::Ready);
}
