//! Tools that change while they are in use.

use std::time::Duration;

use mcp_fleet_core::{CatalogKind, Event, LinkId, McpCommand, RawJson, Reply};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, error, initialized};

/// A ready server of either era with one tool, which it may change.
fn with_tool(world: &mut World, legacy: bool) -> LinkId {
    let (link, _) = world.deploy("a");
    let probe = world.sent(link).remove(0);
    let capabilities = json!({"tools": {"listChanged": true}});
    if legacy {
        world.say(link, error(&probe, -32601, "no"));
        let initialize = world.sent(link).remove(0);
        world.say(
            link,
            answer(&initialize, initialized("2025-11-25", capabilities)),
        );
    } else {
        world.say(link, answer(&probe, discovered(capabilities)));
    }
    link
}

/// Answers the request for the list of tools that was sent, or is sent within the interval.
fn list(world: &mut World, link: LinkId, tools: &Value) {
    world.pass(Duration::from_secs(2));
    let mut asked = world.sent(link);
    asked.retain(|frame| frame["method"] == "tools/list");
    let page = json!({"tools": tools, "ttlMs": 0, "cacheScope": "private"});
    world.say(link, answer(&asked[0], page));
}

fn changed(world: &mut World, link: LinkId, listen: Option<&Value>) {
    let mut change = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    if let Some(listen) = listen {
        change["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] = listen["id"].clone();
    }
    world.say(link, change);
}

fn tools(world: &mut World) -> Vec<Value> {
    let id = world.command(|id| McpCommand::ListCatalog {
        id,
        server: "a".into(),
        kind: CatalogKind::Tools,
    });
    match world.reply(id) {
        Some(Ok(Reply::Catalog(entries))) => entries
            .iter()
            .map(|entry: &RawJson| entry.read().unwrap())
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// How often the application was told that the list of tools is another.
fn tellings(world: &mut World) -> usize {
    let before = world.events.len();
    world.events.retain(|event| {
        !matches!(
            event,
            Event::CatalogChanged {
                kind: CatalogKind::Tools,
                ..
            }
        )
    });
    before - world.events.len()
}

fn listen(world: &World, link: LinkId) -> Option<Value> {
    let is_listen = |effect: &&mcp_fleet_core::Effect| match effect {
        mcp_fleet_core::Effect::Send { link: to, bytes } => {
            *to == link
                && bytes
                    .windows(20)
                    .any(|text| text == b"subscriptions/listen")
        }
        _ => false,
    };
    let found = world.effects.iter().find(is_listen)?;
    match found {
        mcp_fleet_core::Effect::Send { bytes, .. } => serde_json::from_slice(bytes).ok(),
        _ => None,
    }
}

#[test]
fn f39_a_call_of_a_tool_that_is_taken_away_finishes() {
    for legacy in [false, true] {
        let mut world = World::new();
        let link = with_tool(&mut world, legacy);
        let listen = listen(&world, link);
        list(&mut world, link, &json!([{"name": "t"}, {"name": "u"}]));
        assert_eq!(tellings(&mut world), 1);
        let running = world.call("a", "t");
        let call = world.sent(link).remove(0);
        changed(&mut world, link, listen.as_ref());
        list(&mut world, link, &json!([{"name": "u"}]));
        assert_eq!(tools(&mut world), [json!({"name": "u"})]);
        assert_eq!(tellings(&mut world), 1);
        assert!(world.outcome(running).is_none(), "it is still at work");
        world.say(link, answer(&call, json!({"content": []})));
        assert!(world.outcome(running).unwrap().is_ok());
        // Whether a tool is there is for the server to say: its list may be older than its tools.
        let unknown = world.call("a", "t");
        let call = world.sent(link).remove(0);
        world.say(link, error(&call, -32602, "Unknown tool: t"));
        let outcome = world.outcome(unknown).unwrap().unwrap_err();
        assert!(outcome.to_string().contains("Unknown tool: t"), "{outcome}");
    }
}

#[test]
fn f40_a_tool_that_comes_back_with_another_schema_is_told_and_listed_as_it_is() {
    for legacy in [false, true] {
        let mut world = World::new();
        let link = with_tool(&mut world, legacy);
        let listen = listen(&world, link);
        let before = json!({"name": "t", "inputSchema": {"type": "object"}});
        let after = json!({"name": "t", "inputSchema": {"type": "object", "required": ["path"]}});
        for listed in [json!([before]), json!([]), json!([after])] {
            list(&mut world, link, &listed);
            assert_eq!(Value::from(tools(&mut world)), listed);
            assert_eq!(tellings(&mut world), 1, "{listed}");
            changed(&mut world, link, listen.as_ref());
        }
    }
}
