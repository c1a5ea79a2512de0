//! Lists: pages, loops, floods, changes.

use std::time::Duration;

use mcp_fleet_core::{
    CatalogKind, CommandError, CommandId, Event, Exit, LinkId, McpCommand, Reply, Timer,
};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, error, initialized, server};

fn list(world: &mut World, kind: CatalogKind) -> CommandId {
    world.command(|id| McpCommand::ListCatalog {
        id,
        server: "a".into(),
        kind,
    })
}

fn names(world: &mut World, id: CommandId) -> Vec<String> {
    match world.reply(id) {
        Some(Ok(Reply::Catalog(entries))) => entries
            .iter()
            .map(|entry| {
                entry.read::<Value>().unwrap()["name"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn with_tools(world: &mut World, config: mcp_fleet_core::config::ServerConfig) -> LinkId {
    let (link, _) = world.deploy_config(config);
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({"tools": {}}))));
    link
}

fn page(names: &[&str], next: Option<&str>) -> Value {
    let tools: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
    let mut page = json!({"tools": tools, "ttlMs": 0, "cacheScope": "private"});
    if let Some(next) = next {
        page["nextCursor"] = json!(next);
    }
    page
}

#[test]
fn all_pages_are_read_and_an_empty_cursor_is_a_cursor() {
    let mut world = World::new();
    let link = with_tools(&mut world, server("a"));
    let id = list(&mut world, CatalogKind::Tools);
    let first = world.sent(link).remove(0);
    assert!(first["params"].get("cursor").is_none());
    world.say(link, answer(&first, page(&["b"], Some(""))));
    let second = world.sent(link).remove(0);
    assert_eq!(second["params"]["cursor"], "");
    assert_eq!(world.reply(id), None, "the list is not whole yet");
    world.say(link, answer(&second, page(&["a", "c"], None)));
    assert_eq!(
        names(&mut world, id),
        ["b", "a", "c"],
        "in the server's order"
    );
}

#[test]
fn a_cursor_loop_ends_in_degradation_not_in_a_restart() {
    let mut world = World::new();
    let link = with_tools(&mut world, server("a"));
    let id = list(&mut world, CatalogKind::Tools);
    for _ in 0..2 {
        let frame = world.sent(link).remove(0);
        world.say(link, answer(&frame, page(&["x"], Some("again"))));
    }
    assert!(
        world.sent(link).is_empty(),
        "nobody goes round a second time"
    );
    let Some(Err(CommandError::Catalog { message, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(message.contains("circle"), "{message}");
    let call = world.call("a", "x");
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, json!({})));
    assert!(
        world.outcome(call).unwrap().is_ok(),
        "a server with bad lists still takes calls"
    );
}

#[test]
fn pages_and_entries_are_bounded() {
    for (pages, entries) in [(3, 1000), (1000, 3)] {
        let mut world = World::new();
        let mut config = server("a");
        config.limits.pages = pages;
        config.limits.entries = entries;
        let link = with_tools(&mut world, config);
        let id = list(&mut world, CatalogKind::Tools);
        let mut asked = 0;
        while let Some(frame) = world.sent(link).pop() {
            asked += 1;
            world.say(link, answer(&frame, page(&["x"], Some(&asked.to_string()))));
            assert!(asked <= 4);
        }
        assert!(matches!(
            world.reply(id),
            Some(Err(CommandError::Catalog { .. }))
        ));
    }
}

#[test]
fn a_list_that_fails_or_hangs_is_tried_again_with_growing_pauses() {
    let mut world = World::new();
    let link = with_tools(&mut world, server("a"));
    let frame = world.sent(link).remove(0);
    world.say(link, error(&frame, -32603, "broken"));
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let before = world.now;
        while world
            .sent(link)
            .first()
            .is_none_or(|frame| frame["method"] != "tools/list")
        {
            world.pass(Duration::from_millis(100));
        }
        pauses.push(world.now.since(before));
        world.pass(Duration::from_secs(15)); // hangs
    }
    assert!(
        pauses.is_sorted() && pauses[3] >= pauses[0] * 4,
        "{pauses:?}"
    );
}

#[test]
fn a_storm_of_changes_is_one_reading_an_interval() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    world.say(link, error(&probe, -32601, "no"));
    let initialize = world.sent(link).remove(0);
    let capabilities = json!({"tools": {"listChanged": true}});
    world.say(
        link,
        answer(&initialize, initialized("2025-11-25", capabilities)),
    );
    let first = world.sent(link).pop().unwrap();
    world.say(link, answer(&first, page(&["x"], None)));
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let mut readings = 0;
    for _ in 0..1000 {
        world.say(link, changed.clone());
        world.pass(Duration::from_millis(5));
        for frame in world.sent(link) {
            readings += 1;
            world.say(link, answer(&frame, page(&["x", "y"], None)));
        }
    }
    assert!(
        (4..=6).contains(&readings),
        "{readings} readings in five seconds"
    );
    let changes = world
        .events
        .iter()
        .filter(|event| matches!(event, Event::CatalogChanged { .. }))
        .count();
    assert_eq!(
        changes, 2,
        "told when first read, and when it really changed"
    );
}

#[test]
fn a_modern_server_is_listened_to_and_its_changes_are_read() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    let capabilities = json!({"tools": {"listChanged": true}, "prompts": {}});
    world.say(link, answer(&probe, discovered(capabilities)));
    let sent = world.sent(link);
    let listen = sent
        .iter()
        .find(|frame| frame["method"] == "subscriptions/listen")
        .unwrap();
    assert_eq!(
        listen["params"]["notifications"],
        json!({"toolsListChanged": true})
    );
    assert!(listen["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string());
    for frame in &sent {
        match frame["method"].as_str() {
            Some("tools/list") => world.say(link, answer(frame, page(&["x"], None))),
            Some("prompts/list") => world.say(link, answer(frame, json!({"prompts": []}))),
            _ => {}
        }
    }
    let meta = json!({"io.modelcontextprotocol/subscriptionId": listen["id"]});
    world.say(
        link,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed",
            "params": {"_meta": meta}}),
    );
    let id = list(&mut world, CatalogKind::Tools);
    assert_eq!(world.reply(id), None, "a refresh is under way");
    world.pass(Duration::from_secs(1));
    let frame = world.sent(link).remove(0);
    world.say(link, answer(&frame, page(&["x", "y"], None)));
    assert_eq!(names(&mut world, id), ["x", "y"]);
    assert_eq!(world.fleet.stats().total.violations, 0);

    world.say(link, answer(listen, json!({"resultType": "complete"})));
    world.pass(Duration::from_secs(2));
    assert_eq!(
        world.sent(link)[0]["method"],
        "subscriptions/listen",
        "asked for again"
    );
}

#[test]
fn only_what_is_offered_is_asked_for() {
    let mut world = World::new();
    let link = world.modern(server("a"));
    assert!(world.sent(link).is_empty());
    let id = list(&mut world, CatalogKind::Prompts);
    assert_eq!(world.reply(id), Some(Ok(Reply::Catalog(Vec::new()))));
}

#[test]
fn templates_have_no_capability_so_a_refusal_means_none() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({"resources": {}}))));
    for frame in world.sent(link) {
        match frame["method"].as_str().unwrap() {
            "resources/list" => world.say(link, answer(&frame, json!({"resources": []}))),
            _ => world.say(link, error(&frame, -32601, "no templates")),
        }
    }
    let id = list(&mut world, CatalogKind::Templates);
    assert_eq!(world.reply(id), Some(Ok(Reply::Catalog(Vec::new()))));
    let id = world.command(|id| McpCommand::ListServers { id });
    let Some(Ok(Reply::Servers(all))) = world.reply(id) else {
        panic!()
    };
    assert_eq!(
        (all[0].resources, all[0].templates, &all[0].degraded),
        (Some(0), None, &None)
    );
}

#[test]
fn a_list_asked_for_while_the_server_starts_waits_and_a_failed_start_ends_it() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let id = list(&mut world, CatalogKind::Tools);
    assert_eq!(world.reply(id), None);
    world.exit(link, Exit::Code(1));
    let second = world.opened();
    let message = "gone".to_owned();
    world.feed(mcp_fleet_core::Signal::OpenFailed {
        link: second,
        message,
        transient: false,
    });
    assert!(matches!(
        world.reply(id),
        Some(Err(CommandError::Catalog { .. }))
    ));
}

#[test]
fn a_list_that_changed_is_not_due_while_the_server_drains() {
    let mut world = World::new();
    let link = with_tools(&mut world, server("a"));
    let asked = world.sent(link).remove(0);
    world.say(link, answer(&asked, page(&["t"], None)));
    let call = world.call("a", "t");
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    world.say(link, changed.clone());
    world.command(|id| McpCommand::Undeploy {
        id,
        server: "a".to_owned(),
    });
    world.say(link, changed);
    let deadline = world.fleet.poll_timeout().unwrap();
    assert_eq!(deadline.timer, Timer::Drain);
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.fleet.poll_timeout(), None);
    world.exit(link, Exit::Code(0));
    assert!(world.outcome(call).unwrap().is_err());
}

#[test]
fn whoever_asks_for_a_list_that_never_stops_changing_gets_it() {
    let mut world = World::new();
    let link = with_tools(&mut world, server("a"));
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let mut asked = None;
    for reading in 0..5 {
        world.say(link, changed.clone());
        world.pass(Duration::from_secs(1));
        if reading == 2 {
            asked = Some(list(&mut world, CatalogKind::Tools));
        }
        let request = world.sent(link).pop().unwrap();
        world.say(link, changed.clone());
        world.say(
            link,
            answer(&request, page(&[&format!("t{reading}")], None)),
        );
    }
    assert_eq!(names(&mut world, asked.unwrap()), ["t2"]);
}

#[test]
fn a_list_that_takes_too_many_bytes_is_degraded() {
    let mut config = server("a");
    config.limits.line_bytes = 1000;
    let mut world = World::new();
    let link = with_tools(&mut world, config);
    for cursor in 0..4 {
        if let Some(request) = world.sent(link).pop() {
            let name = "x".repeat(400);
            world.say(
                link,
                answer(&request, page(&[&name], Some(&cursor.to_string()))),
            );
        }
    }
    let id = list(&mut world, CatalogKind::Tools);
    let Some(Err(CommandError::Catalog { message, .. })) = world.reply(id) else {
        panic!()
    };
    assert!(message.contains("bytes"), "{message}");
}

#[test]
fn a_subscription_that_ended_is_asked_for_again_and_the_lists_are_read_anew() {
    let mut world = World::new();
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    let capabilities = json!({"tools": {"listChanged": true}});
    world.say(link, answer(&probe, discovered(capabilities)));
    let requests = world.sent(link);
    assert_eq!(requests[0]["method"], "subscriptions/listen");
    world.say(link, answer(&requests[1], page(&["t"], None)));
    world.say(
        link,
        answer(&requests[0], json!({"resultType": "complete"})),
    );
    world.pass(Duration::from_secs(2));
    let again: Vec<_> = world
        .sent(link)
        .iter()
        .map(|request| request["method"].clone())
        .collect();
    assert_eq!(again, ["subscriptions/listen", "tools/list"]);
}

#[test]
fn whoever_waits_for_a_list_of_a_server_that_does_not_read_is_told() {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.write_bytes = 1;
    config.limits.waiting = 1;
    let link = with_tools(&mut world, config);
    let id = list(&mut world, CatalogKind::Tools);
    world.pass(Duration::from_secs(14));
    assert_eq!(world.reply(id), None);
    world.pass(Duration::from_secs(1));
    let Some(Err(CommandError::Catalog { message, .. })) = world.reply(id) else {
        panic!()
    };
    assert_eq!(
        message,
        "tools/list: the server did not read its input for 15s"
    );
    // It is asked as soon as it reads again.
    world.wrote(link, 10_000);
    world.pass(Duration::from_secs(2));
    let request = world.sent(link).remove(0);
    world.say(link, answer(&request, page(&["t"], None)));
    let id = list(&mut world, CatalogKind::Tools);
    assert_eq!(names(&mut world, id), ["t"]);
    assert_eq!(world.fleet.poll_timeout(), None);
}
