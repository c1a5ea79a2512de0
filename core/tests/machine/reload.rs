//! A fleet brought to another configuration.

use mcp_fleet_core::{
    CommandError, CommandId, Exit, McpCommand, ReloadReport, Reply, Signal,
    config::{FleetConfig, Kind, ServerConfig, Stdio},
};

use crate::{
    replicas::{deploy, open, rise},
    world::{World, server},
};

fn fleet(servers: Vec<ServerConfig>) -> FleetConfig {
    FleetConfig {
        servers,
        ..FleetConfig::default()
    }
}

fn reload(world: &mut World, config: FleetConfig) -> CommandId {
    let config = Box::new(config);
    world.command(|id| McpCommand::Reload { id, config })
}

fn report(world: &mut World, id: CommandId) -> ReloadReport {
    match world.reply(id) {
        Some(Ok(Reply::Reloaded(report))) => *report,
        other => panic!("{other:?}"),
    }
}

fn changed(name: &str) -> ServerConfig {
    let mut config = server(name);
    config.kind = Kind::Stdio(Stdio {
        command: "changed".to_owned(),
        ..Stdio::default()
    });
    config
}

#[test]
fn each_server_gets_what_its_change_asks_for_and_no_more() {
    let names = ["gone", "changed", "tuned", "same"];
    let mut world = World::with(fleet(names.map(server).to_vec()));
    let mut links = Vec::new();
    for name in names {
        links.extend(deploy(&mut world, server(name)).1);
    }
    deploy(&mut world, server("adhoc"));
    world.clear();
    let mut tuned = server("tuned");
    tuned.limits.queue = 5;
    let id = reload(
        &mut world,
        fleet(vec![
            server("new"),
            changed("changed"),
            tuned,
            server("same"),
        ]),
    );
    let opened = rise(&mut world);
    assert_eq!(opened.len(), 2, "the new one and the changed one");
    assert_eq!(world.reply(id), None, "until the one that left is gone");
    world.exit(links[0], Exit::Code(0));
    let names = |report: &[mcp_fleet_core::ServerName]| -> Vec<String> {
        report.iter().map(|name| name.as_str().to_owned()).collect()
    };
    let report = report(&mut world, id);
    assert_eq!(names(&report.added), ["new"]);
    assert_eq!(names(&report.removed), ["gone"]);
    assert_eq!(names(&report.replaced), ["changed"]);
    assert_eq!(names(&report.retuned), ["tuned"]);
    assert_eq!(names(&report.unchanged), ["same"]);
    assert!(report.failed.is_empty());
    world.exit(links[1], Exit::Code(0));
    let deployed: Vec<_> = world.fleet.stats().by_server.into_iter().collect();
    let deployed: Vec<_> = deployed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(deployed, ["adhoc", "changed", "new", "same", "tuned"]);
    let call = world.call("same", "t");
    assert_eq!(world.sent(links[3]).len(), 1, "its session goes on");
    drop(world.outcome(call));
}

#[test]
fn what_fails_is_told_server_by_server() {
    let mut world = World::with(fleet(vec![server("a")]));
    deploy(&mut world, server("a"));
    world.clear();
    let id = reload(&mut world, fleet(vec![changed("a"), server("b")]));
    let (one, two) = (world.opened(), world.opened());
    for link in [one, two] {
        world.feed(Signal::OpenFailed {
            link,
            message: "no such program".into(),
            transient: false,
        });
    }
    let report = report(&mut world, id);
    let failed: Vec<_> = report
        .failed
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(failed, ["a", "b"]);
    assert!(report.replaced.is_empty() && report.added.is_empty());
    world.call("a", "t");
    assert_eq!(world.effects.len(), 1, "the old one serves on");
}

#[test]
fn bounds_of_the_fleet_hold_at_once() {
    let mut world = World::new();
    let mut config = fleet(vec![server("a"), server("b")]);
    config.limits.servers = 1;
    let id = reload(&mut world, config);
    rise(&mut world);
    let report = report(&mut world, id);
    assert_eq!(report.added.len(), 1);
    assert!(matches!(
        report.failed[0].1,
        CommandError::FleetFull { limit: 1 }
    ));
}

#[test]
fn a_configuration_that_contradicts_itself_changes_nothing() {
    let mut world = World::with(fleet(vec![server("a")]));
    deploy(&mut world, server("a"));
    world.clear();
    let id = reload(&mut world, fleet(vec![server("b"), server("B")]));
    assert!(matches!(
        world.reply(id),
        Some(Err(CommandError::Invalid { .. }))
    ));
    assert!(world.effects.is_empty());
    assert_eq!(world.fleet.stats().servers, 1);
}

#[test]
fn a_reload_takes_over_servers_deployed_by_hand_that_it_names() {
    let mut world = World::new();
    let (_, links) = deploy(&mut world, server("a"));
    let id = reload(&mut world, fleet(vec![server("a")]));
    assert_eq!(report(&mut world, id).unchanged.len(), 1);
    let id = reload(&mut world, fleet(vec![]));
    world.exit(links[0], Exit::Code(0));
    assert_eq!(report(&mut world, id).removed.len(), 1);
}

#[test]
fn a_second_reload_wins_and_the_first_says_so() {
    let mut world = World::with(fleet(vec![server("a")]));
    deploy(&mut world, server("a"));
    world.clear();
    let first = reload(&mut world, fleet(vec![changed("a")]));
    world.opened();
    let second = reload(&mut world, fleet(vec![server("a")]));
    let failed = report(&mut world, first).failed;
    assert!(matches!(failed[0].1, CommandError::Superseded { .. }));
    assert_eq!(report(&mut world, second).replaced.len(), 1);
}

#[test]
fn an_empty_reload_of_an_empty_fleet_is_done_at_once() {
    let mut world = World::new();
    let id = reload(&mut world, fleet(vec![]));
    assert_eq!(report(&mut world, id), ReloadReport::default());
}

#[test]
fn a_server_that_leaves_by_a_reload_can_come_back_by_the_next() {
    let mut world = World::with(fleet(vec![server("a")]));
    let (_, old) = deploy(&mut world, server("a"));
    world.clear();
    let away = reload(&mut world, fleet(vec![]));
    let back = reload(&mut world, fleet(vec![server("a")]));
    let link = world.opened();
    open(&mut world, link);
    assert_eq!(report(&mut world, back).added.len(), 1);
    world.exit(old[0], Exit::Code(0));
    assert_eq!(report(&mut world, away).removed.len(), 1);
}
