//! Servers that run only while they are needed, and those of one client alone.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CallOptions, CatalogKind, ClientId, CommandId, Effect, Exit, Limit, LinkId,
    McpCommand, RawJson, Reply, Request, ServerState, Signal,
    config::{FleetConfig, Kind, Restart, Scope, ServerConfig, Start, Stdio},
};
use serde_json::json;

use crate::{
    replicas::{info, open, replicated, rise},
    world::{World, answer, discovered, server},
};

const STOP: Duration = Duration::from_secs(5);

fn lazy(name: &str) -> ServerConfig {
    let mut config = server(name);
    config.start = Start::Lazy;
    config.limits.idle_stop = STOP;
    config
}

fn per_client(name: &str) -> ServerConfig {
    let mut config = server(name);
    config.scope = Scope::PerClient;
    config.limits.idle_stop = STOP;
    config
}

fn deploy(world: &mut World, config: ServerConfig) {
    let config = Box::new(config);
    let id = world.command(|id| McpCommand::Deploy { id, config });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(opens(world), 0);
}

fn opens(world: &World) -> usize {
    let open = |effect: &&Effect| matches!(effect, Effect::Open { .. });
    world.effects.iter().filter(open).count()
}

fn call_of(world: &mut World, client: u64) -> CallId {
    let client = (client > 0).then_some(ClientId(client));
    let options = CallOptions {
        client,
        ..CallOptions::default()
    };
    world.call_with("a", "t", options)
}

fn answer_all(world: &mut World, link: LinkId) {
    for frame in world.sent(link) {
        if frame["method"] == "tools/call" {
            world.say(link, answer(&frame, json!({})));
        }
    }
}

fn list(world: &mut World, name: &str) -> CommandId {
    let (server, kind) = (name.to_owned(), CatalogKind::Tools);
    world.command(|id| McpCommand::ListCatalog { id, server, kind })
}

#[test]
fn a_lazy_server_starts_once_however_many_call_it() {
    let mut world = World::new();
    deploy(&mut world, lazy("a"));
    assert_eq!(world.state("a"), ServerState::Asleep);
    let calls: Vec<CallId> = (0..3).map(|_| world.call("a", "t")).collect();
    assert_eq!(opens(&world), 1);
    let links = rise(&mut world);
    answer_all(&mut world, links[0]);
    for call in calls {
        assert!(world.outcome(call).unwrap().is_ok());
    }
}

#[test]
fn a_server_without_work_sleeps_and_the_next_call_wakes_it() {
    let mut world = World::new();
    deploy(&mut world, lazy("a"));
    let call = world.call("a", "t");
    let link = rise(&mut world).remove(0);
    world.pass(STOP * 3);
    assert_eq!(world.state("a"), ServerState::Ready, "it has a call");
    answer_all(&mut world, link);
    assert!(world.outcome(call).unwrap().is_ok());
    world.pass(STOP - Duration::from_millis(1));
    assert_eq!(world.state("a"), ServerState::Ready);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.state("a"), ServerState::Closing);
    let waits = world.call("a", "t");
    assert_eq!(opens(&world), 0, "nothing starts beside what ends");
    world.exit(link, Exit::Code(0));
    let next = rise(&mut world).remove(0);
    answer_all(&mut world, next);
    assert!(world.outcome(waits).unwrap().is_ok());
    world.pass(STOP);
    world.exit(next, Exit::Code(0));
    assert_eq!(world.state("a"), ServerState::Asleep);
    world.pass(STOP * 10);
    assert_eq!(opens(&world), 0, "a server that sleeps opens nothing");
}

#[test]
fn what_was_subscribed_to_keeps_a_server_awake() {
    let mut world = World::new();
    deploy(&mut world, lazy("a"));
    let ask = |world: &mut World, method: &str| {
        let params = RawJson::parse("{\"uri\":\"file:///x\"}".to_owned()).unwrap();
        let request = Request::Method {
            method: method.to_owned(),
            params: Some(params),
        };
        let call = CallId(world.id());
        world.feed(McpCommand::Execute {
            call,
            server: "a".into(),
            request,
            options: CallOptions::default(),
        });
    };
    ask(&mut world, "resources/subscribe");
    let link = rise(&mut world).remove(0);
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({"resultType": "complete"})));
    world.pass(STOP * 4);
    assert_eq!(world.state("a"), ServerState::Ready);
    ask(&mut world, "resources/unsubscribe");
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({"resultType": "complete"})));
    world.pass(STOP * 2);
    assert_eq!(world.state("a"), ServerState::Closing);
}

#[test]
fn replicas_wake_together_and_sleep_together() {
    let mut world = World::new();
    let mut config = replicated("a", 2);
    config.start = Start::Lazy;
    config.limits.idle_stop = STOP;
    deploy(&mut world, config);
    world.call("a", "t");
    let links = rise(&mut world);
    assert_eq!(links.len(), 2);
    world.pass(STOP * 3);
    let states: Vec<ServerState> = info(&mut world, "a")
        .replicas
        .iter()
        .map(|r| r.state)
        .collect();
    assert_eq!(states, [ServerState::Ready; 2], "one of them has a call");
    for link in &links {
        answer_all(&mut world, *link);
    }
    world.pass(STOP * 2);
    for link in links {
        world.exit(link, Exit::Code(0));
    }
    assert_eq!(world.state("a"), ServerState::Asleep);
    world.pass(STOP * 10);
    assert_eq!(opens(&world), 0);
}

#[test]
fn a_start_that_fails_fails_the_calls_and_is_tried_again_for_the_next_only() {
    let mut world = World::new();
    let mut config = lazy("a");
    config.restart = Restart::Always;
    config.limits.restarts = 1;
    config.limits.revive = STOP;
    deploy(&mut world, config);
    let call = world.call("a", "t");
    for _ in 0..2 {
        let link = world.opened();
        world.feed(Signal::Opened { link, pid: None });
        // Of the probe, and of the handshake.
        world.exit(link, Exit::Code(1));
        let link = world.opened();
        world.feed(Signal::Opened { link, pid: None });
        world.exit(link, Exit::Code(1));
        world.pass(Duration::from_secs(1));
    }
    let error = world.outcome(call).unwrap().unwrap_err();
    assert!(matches!(error, CallError::Unavailable { .. }), "{error:?}");
    assert_eq!(world.state("a"), ServerState::Failed);
    world.pass(STOP);
    assert_eq!(world.state("a"), ServerState::Asleep);
    assert_eq!(opens(&world), 0, "nobody needs it");
    world.call("a", "t");
    assert_eq!(opens(&world), 1);
}

#[test]
fn a_list_wakes_a_server_only_where_it_is_not_known() {
    let mut world = World::new();
    deploy(&mut world, lazy("a"));
    let first = list(&mut world, "a");
    assert_eq!(world.reply(first), None);
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({"tools": {}}))));
    let page = world.sent(link).remove(0);
    let tools = json!({"resultType": "complete", "tools": [{"name": "t"}], "ttlMs": 0,
        "cacheScope": "private"});
    world.say(link, answer(&page, tools));
    let entries = |reply| match reply {
        Some(Ok(Reply::Catalog(entries))) => entries,
        other => panic!("{other:?}"),
    };
    let told = entries(world.reply(first));
    assert_eq!(told.len(), 1);
    world.pass(STOP);
    world.exit(link, Exit::Code(0));
    assert_eq!(world.state("a"), ServerState::Asleep);
    let second = list(&mut world, "a");
    assert_eq!(entries(world.reply(second)), told);
    assert_eq!(opens(&world), 0);
}

#[test]
fn who_comes_after_a_server_that_sleeps_wakes_it() {
    let mut world = World::with(FleetConfig::default());
    let mut needed = lazy("b");
    // It must not fall asleep again before the one that waits for it has started.
    needed.limits.idle_stop = Duration::from_millis(1);
    deploy(&mut world, needed);
    let mut config = server("a");
    config.after = vec![mcp_fleet_core::ServerName::new("b").unwrap()];
    let config = Box::new(config);
    let id = world.command(|id| McpCommand::Deploy { id, config });
    assert_eq!(world.state("a"), ServerState::Waiting);
    let link = world.opened();
    open(&mut world, link);
    let link = world.opened();
    open(&mut world, link);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
}

#[test]
fn a_new_configuration_of_a_server_that_sleeps_does_not_wake_it() {
    let mut world = World::new();
    deploy(&mut world, lazy("a"));
    let mut config = lazy("a");
    config.kind = Kind::Stdio(Stdio {
        command: "other".into(),
        ..Stdio::default()
    });
    let config = Box::new(config);
    let id = world.command(|id| McpCommand::UpdateConfig { id, config });
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    assert_eq!(opens(&world), 0);
    let server = "a".to_owned();
    let id = world.command(|id| McpCommand::Restart { id, server });
    assert_eq!(world.reply(id), None);
    rise(&mut world);
    assert_eq!(
        world.reply(id),
        Some(Ok(Reply::Done)),
        "who restarts it means it"
    );
}

#[test]
fn each_client_has_a_server_of_its_own_until_it_is_gone() {
    let mut world = World::new();
    deploy(&mut world, per_client("a"));
    let calls = [1, 2, 1, 0, 0].map(|client| call_of(&mut world, client));
    let links = rise(&mut world);
    assert_eq!(links.len(), 3, "those without a name share one");
    let sent: Vec<usize> = links.iter().map(|link| world.sent(*link).len()).collect();
    assert_eq!(sent, [2, 1, 2]);
    let clients: Vec<_> = info(&mut world, "a")
        .replicas
        .iter()
        .map(|r| r.client)
        .collect();
    assert_eq!(clients, [None, Some(ClientId(1)), Some(ClientId(2))]);
    let client = ClientId(1);
    world.feed(McpCommand::ClientGone { client });
    for call in [calls[0], calls[2]] {
        assert!(matches!(
            world.outcome(call),
            Some(Err(CallError::Cancelled { .. }))
        ));
    }
    world.exit(links[0], Exit::Code(0));
    let clients: Vec<_> = info(&mut world, "a")
        .replicas
        .iter()
        .map(|r| r.client)
        .collect();
    assert_eq!(clients, [None, Some(ClientId(2))]);
}

#[test]
fn a_client_that_crashes_its_server_harms_no_other() {
    let mut world = World::new();
    deploy(&mut world, per_client("a"));
    let [one, two] = [1, 2].map(|client| call_of(&mut world, client));
    let links = rise(&mut world);
    let waits = call_of(&mut world, 1);
    world.exit(links[0], Exit::Code(1));
    for call in [one, waits] {
        assert!(matches!(
            world.outcome(call),
            Some(Err(CallError::ServerGone { .. }))
        ));
    }
    answer_all(&mut world, links[1]);
    assert!(world.outcome(two).unwrap().is_ok());
    world.pass(STOP);
    world.exit(links[1], Exit::Code(0));
    let replicas = info(&mut world, "a").replicas;
    assert!(
        replicas
            .iter()
            .all(|replica| replica.client != Some(ClientId(2)))
    );
}

#[test]
fn the_client_that_was_idle_longest_makes_way_and_none_that_has_calls() {
    let mut world = World::new();
    let mut config = per_client("a");
    config.limits.clients = 2;
    deploy(&mut world, config);
    for client in [1, 2] {
        call_of(&mut world, client);
    }
    let links = rise(&mut world);
    let refused = call_of(&mut world, 3);
    let error = world.outcome(refused).unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Overloaded {
                limit: Limit::Clients,
                ..
            }
        ),
        "{error:?}"
    );
    answer_all(&mut world, links[1]);
    world.pass(Duration::from_millis(10));
    answer_all(&mut world, links[0]);
    let taken = call_of(&mut world, 3);
    assert_eq!(world.outcome(taken), None);
    let serving: Vec<_> = info(&mut world, "a")
        .replicas
        .into_iter()
        .filter(|replica| replica.state != ServerState::Closing)
        .map(|replica| replica.client)
        .collect();
    assert_eq!(serving, [None, Some(ClientId(1)), Some(ClientId(3))]);
}

#[test]
fn a_restart_and_a_new_configuration_reach_every_client() {
    let mut world = World::new();
    deploy(&mut world, per_client("a"));
    for client in [1, 2] {
        call_of(&mut world, client);
    }
    let links = rise(&mut world);
    for link in &links {
        answer_all(&mut world, *link);
    }
    let mut config = per_client("a");
    config.kind = Kind::Stdio(Stdio {
        command: "other".into(),
        ..Stdio::default()
    });
    let config = Box::new(config);
    let id = world.command(|id| McpCommand::UpdateConfig { id, config });
    for link in links {
        world.exit(link, Exit::Code(0));
    }
    let next = rise(&mut world);
    assert_eq!(next.len(), 2);
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
    let server = "a".to_owned();
    let id = world.command(|id| McpCommand::Restart { id, server });
    for link in next {
        world.exit(link, Exit::Code(0));
        assert_eq!(rise(&mut world).len(), 1);
    }
    assert_eq!(world.reply(id), Some(Ok(Reply::Done)));
}
