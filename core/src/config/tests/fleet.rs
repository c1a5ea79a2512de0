//! The object `fleet`, and the whole file.

use super::*;

#[test]
fn the_fleet_object_is_read() {
    let fleet = fleet(
        r#"{ "$schema": "x", "mcpServers": {}, "fleet": { "maxServers": 3, "maxCalls": 9, "maxStarting": 2,
             "client": { "name": "agent", "version": "2.0", "title": "Agent" },
             "roots": [{ "uri": "file://${HOME}/a", "name": "A" }, { "uri": "file:///b" }] } }"#,
    );
    assert_eq!(
        fleet.limits,
        FleetLimits {
            servers: 3,
            calls: 9,
            starting: 2,
            ..FleetLimits::default()
        }
    );
    let client = &fleet.client.implementation;
    assert_eq!(
        (client.name.as_str(), client.version.as_str()),
        ("agent", "2.0")
    );
    assert_eq!(client.title.as_deref(), Some("Agent"));
    let roots = fleet.client.capabilities.roots.unwrap();
    assert_eq!(
        roots[0],
        Root {
            uri: "file:///home/ann/a".to_owned(),
            name: Some("A".to_owned())
        }
    );
    assert_eq!(
        roots[1],
        Root {
            uri: "file:///b".to_owned(),
            name: None
        }
    );
}

#[test]
fn without_a_fleet_object_the_defaults_hold() {
    assert_eq!(fleet(r#"{ "mcpServers": {} }"#), FleetConfig::default());
    let empty = fleet(r#"{ "mcpServers": {}, "fleet": { "roots": [] } }"#);
    assert_eq!(empty.client.capabilities.roots, Some(vec![]));
}

#[test]
fn mistakes_in_the_fleet_object_are_named() {
    let text = r#"{ "mcpServers": {}, "fleet": {
"maxServers": 0,
"defaults": { "command": "a",
"timeoutMs": 700000 },
"client": { "name": "a" },
"roots": [{ "uri": "http://h/" },
{ "name": "" }, 5] } }"#;
    assert_eq!(
        errors(text),
        [
            "mcp.json:2:15: fleet.maxServers: 0 is too small\n  hint: write a whole number of 1 to 65536 (count), without quotes",
            "mcp.json:3:15: fleet.defaults.command: only numbers can be given for all servers at once\n  hint: write it into each server",
            "mcp.json:4:1: fleet.defaults.timeoutMs: `timeoutMs` is 700000, but `timeoutMaxMs` is only 600000\n  hint: raise `timeoutMaxMs`, or lower `timeoutMs`",
            "mcp.json:5:11: fleet.client: a name without a version, or the reverse\n  hint: write both `name` and `version`, or neither",
            "mcp.json:6:20: fleet.roots[0].uri: a root is a `file://` URI with a whole path\n  hint: write it like `file:///home/ann/project`",
            "mcp.json:7:1: fleet.roots[1]: the root has no `uri`\n  hint: add `\"uri\": \"file:///..\"`",
            "mcp.json:7:11: fleet.roots[1].name: the string is empty\n  hint: fill it, or remove the key",
            "mcp.json:7:17: fleet.roots[2]: expected an object, found a number\n  hint: write `{ \"key\": value }`",
        ]
    );
}

#[test]
fn a_fleet_has_no_more_servers_than_its_limit() {
    let text = r#"{ "mcpServers": { "a": { "command": "a" }, "b": { "command": "b" },
"c": { "command": "c" }, "d": { "command": "d" } }, "fleet": { "maxServers": 2 } }"#;
    assert_eq!(
        errors(text),
        [
            "mcp.json:2:1: mcpServers.c: the fleet may have 2 servers, and this is one more\n  hint: raise `fleet.maxServers`"
        ]
    );
}

#[test]
fn keys_at_the_top_that_mean_nothing_are_warned_of() {
    let text = r#"{ "mcpServer": {},
"servers": {}, "theme": "dark",
"files": { "command": "a" },
"maxCalls": 3,
"inputs": [{}] }"#;
    assert_eq!(
        warnings(text),
        [
            "mcp.json:1:3: mcpServer: unknown key of the file; it has no effect\n  hint: did you mean `mcpServers`?",
            "mcp.json:2:16: theme: unknown key of the file; it has no effect\n  hint: remove it, or leave it for the other programs that read this file",
            "mcp.json:3:1: files: unknown key of the file; it has no effect\n  hint: a server stands within `mcpServers`: move it there",
            "mcp.json:4:1: maxCalls: unknown key of the file; it has no effect\n  hint: move it into the object `fleet`",
            "mcp.json:5:1: inputs: prompts of an editor are not asked here\n  hint: write `${NAME}` for each `${input:..}`, and set the variable",
        ]
    );
}

#[test]
fn a_file_without_servers_is_an_empty_fleet_with_a_warning() {
    assert_eq!(
        warnings("{}"),
        [
            "mcp.json:1:1: the file has no servers\n  hint: add `\"mcpServers\": {}`, with the servers in it"
        ]
    );
}

#[test]
fn a_list_is_no_file_of_servers() {
    assert_eq!(
        errors("\n []"),
        ["mcp.json:2:2: expected an object, found a list\n  hint: write `{ \"key\": value }`"]
    );
}
