//! What keys say beside each other, and servers of each other.

use super::*;

/// A file of these servers, each on a line of its own from line 2, and of these groups on line 1.
fn file(groups: &str, servers: &[(&str, &str)]) -> String {
    let servers: Vec<String> = servers
        .iter()
        .map(|(name, keys)| format!("\"{name}\": {{ \"command\": \"a\"{keys} }}"))
        .collect();
    format!(
        "{{ \"fleet\": {{ \"groups\": {{{groups}}} }}, \"mcpServers\": {{\n{} }} }}",
        servers.join(",\n")
    )
}

#[test]
fn the_order_and_the_groups_are_read() {
    let text = file(
        r#" "g": "one-for-all", "h": "rest_for_one" "#,
        &[
            ("a", r#", "group": "g""#),
            ("b", r#", "after": ["a"], "group": "h""#),
            ("c", r#", "after": ["b", "a"]"#),
        ],
    );
    let fleet = fleet(&text);
    let after = |place: usize| -> Vec<&str> {
        let after = &fleet.servers[place].after;
        after.iter().map(ServerName::as_str).collect()
    };
    assert_eq!((after(0), after(1)), (vec![], vec!["a"]));
    assert_eq!(after(2), ["b", "a"]);
    assert_eq!(fleet.groups["g"], Strategy::OneForAll);
    assert_eq!(fleet.groups["h"], Strategy::RestForOne);
    assert_eq!(fleet.servers[1].group.as_deref(), Some("h"));
}

#[test]
fn a_server_comes_after_others_of_the_file() {
    let text = file(
        "",
        &[
            ("files", ""),
            ("b", r#", "after": ["file", "nobody"]"#),
            ("c", r#", "after": ["Files", "c"]"#),
        ],
    );
    assert_eq!(
        errors(&text),
        [
            "mcp.json:3:34: mcpServers.b.after[0]: the file has no server `file`\n  hint: did you mean `files`?",
            "mcp.json:3:42: mcpServers.b.after[1]: the file has no server `nobody`\n  hint: write the name of a server of this file, or remove it",
            "mcp.json:4:34: mcpServers.c.after[0]: the file has no server `Files`\n  hint: did you mean `files`?",
            "mcp.json:4:43: mcpServers.c.after[1]: a server cannot come after itself\n  hint: remove it",
        ]
    );
}

#[test]
fn a_circle_is_shown_whole_and_once() {
    let text = file(
        "",
        &[
            ("a", r#", "after": ["b", "d"]"#),
            ("b", r#", "after": ["c"]"#),
            ("c", r#", "after": ["d", "b"]"#),
            ("d", ""),
            ("e", r#", "after": ["f", "a"]"#),
            ("f", r#", "after": ["e"]"#),
        ],
    );
    assert_eq!(
        errors(&text),
        [
            "mcp.json:4:39: mcpServers.c.after[1]: servers come after each other in a circle: b -> c -> b\n  hint: take one of them out of the `after` of the one before it",
            "mcp.json:7:34: mcpServers.f.after[0]: servers come after each other in a circle: e -> f -> e\n  hint: take one of them out of the `after` of the one before it",
        ]
    );
    let whole = file(
        "",
        &[
            ("a", r#", "after": ["c"]"#),
            ("b", r#", "after": ["a"]"#),
            ("c", r#", "after": ["b"]"#),
        ],
    );
    let errors = errors(&whole);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("a -> c -> b -> a"), "{errors:?}");
}

#[test]
fn servers_that_never_get_ready_by_themselves_are_warned_of() {
    let text = file(
        "",
        &[
            ("off", r#", "enabled": false, "after": ["lazy"]"#),
            ("lazy", r#", "start": "lazy""#),
            ("own", r#", "scope": "per_client""#),
            ("a", r#", "after": ["off", "lazy", "own"]"#),
        ],
    );
    assert_eq!(
        warnings(&text),
        [
            "mcp.json:5:34: mcpServers.a.after[0]: `off` is disabled, and this server does not start before it is ready\n  hint: remove it, or change `off`",
            "mcp.json:5:49: mcpServers.a.after[2]: `own` is `per_client`: this server waits for the one that serves no client by name\n  hint: remove it, or change `own`",
        ]
    );
}

#[test]
fn groups_are_declared_and_have_members() {
    let text = file(
        r#" "web": "one_for_all" "#,
        &[("a", r#", "group": "wbe""#), ("b", r#", "group": "other""#)],
    );
    let problems = load(&text).unwrap_err();
    assert_eq!(
        shown(&problems.errors),
        [
            "mcp.json:2:33: mcpServers.a.group: `fleet.groups` has no group `wbe`\n  hint: did you mean `web`?",
            "mcp.json:3:33: mcpServers.b.group: `fleet.groups` has no group `other`\n  hint: add `\"groups\": { \"other\": \"one_for_all\" }` to `fleet`, with the strategy that you want",
        ]
    );
    assert_eq!(
        shown(&problems.warnings),
        [
            "mcp.json:1:26: fleet.groups.web: no server is of this group\n  hint: add `\"group\"` to the servers that are, or remove it"
        ]
    );
    assert_eq!(
        errors(&file(r#" "g": "all" "#, &[("a", r#", "group": "g""#)])),
        [
            "mcp.json:1:31: fleet.groups.g: unknown word \"all\"\n  hint: write `one_for_one`, `one_for_all` or `rest_for_one`"
        ]
    );
}

#[test]
fn pairs_of_numbers_must_fit() {
    assert_eq!(
        errors(&one(
            r#"{ "command": "a", "maxReplicas": 2, "replicas": 4 }"#
        )),
        [
            "mcp.json:2:37: mcpServers.s.replicas: `replicas` is 4, but `maxReplicas` is only 2\n  hint: raise `maxReplicas`, or lower `replicas`"
        ]
    );
    assert_eq!(
        server(r#"{ "command": "a", "maxReplicas": 0, "replicas": 4 }"#)
            .limits
            .replicas,
        4
    );
    assert_eq!(
        warnings(
            r#"{ "mcpServers": {}, "fleet": { "defaults": {
"backoffMs": 2000, "backoffMaxMs": 1000 } } }"#
        ),
        [
            "mcp.json:2:20: fleet.defaults.backoffMaxMs: `backoffMs` is 2000, but no pause is longer than `backoffMaxMs`, which is 1000\n  hint: raise `backoffMaxMs`, or lower `backoffMs`"
        ]
    );
}

#[test]
fn keys_that_say_nothing_beside_the_others_are_warned_of() {
    for (keys, key, why) in [
        (
            r#""restart": "never", "maxRestarts": 3"#,
            "maxRestarts",
            "`restart` is `never`",
        ),
        (
            r#""idleStopMs": 1000"#,
            "idleStopMs",
            "only servers that are `lazy` or `per_client` stop when they are idle",
        ),
        (
            r#""maxClients": 3"#,
            "maxClients",
            "all clients share the server",
        ),
        (
            r#""scope": "per_client", "replicas": 2"#,
            "replicas",
            "`scope` is `per_client`, so each client has one of its own",
        ),
        (
            r#""scaleQueue": 2"#,
            "scaleQueue",
            "there are never more replicas than `replicas`",
        ),
        (
            r#""maxEjectedPercent": 2"#,
            "maxEjectedPercent",
            "there is one replica, which is kept from calls or is not",
        ),
        (
            r#""startupIntervalMs": 2"#,
            "startupIntervalMs",
            "there is no `startupProbe`",
        ),
        (
            r#""readinessProbe": "none", "readinessFailures": 2"#,
            "readinessFailures",
            "there is no `readinessProbe`",
        ),
        (
            r#""livenessProbe": "none", "healthIntervalMs": 2"#,
            "healthIntervalMs",
            "`livenessProbe` is `none`",
        ),
        (
            r#""livenessProbe": "tool:t", "healthIntervalMs": 0"#,
            "livenessProbe",
            "`healthIntervalMs` is 0, so its health is not checked",
        ),
        (
            r#""breakerFailures": 0, "breakerPercent": 0, "breakerOpenMs": 2"#,
            "breakerOpenMs",
            "`breakerFailures` and `breakerPercent` are 0, so the breaker never opens",
        ),
        (
            r#""breakerPercent": 0, "breakerCalls": 2"#,
            "breakerCalls",
            "`breakerPercent` is 0",
        ),
        (
            r#""retry": "never", "retryPercent": 2"#,
            "retryPercent",
            "`retry` is `never`",
        ),
        (
            r#""retry": "idempotent", "retryPercent": 0"#,
            "retry",
            "`retryPercent` is 0",
        ),
    ] {
        let warnings = warnings(&one(&format!("{{ \"command\": \"a\", {keys} }}")));
        let expected = format!("mcpServers.s.{key}: has no effect: {why}\n  hint: remove it");
        assert!(
            warnings.len() == 1 && warnings[0].contains(&expected),
            "{keys}: {warnings:?}"
        );
    }
}

#[test]
fn keys_that_have_their_effect_are_not_warned_of() {
    for keys in [
        r#""start": "lazy", "idleStopMs": 0"#,
        r#""scope": "per_client", "idleStopMs": 5, "maxClients": 2"#,
        r#""replicas": 2, "maxEjectedPercent": 20"#,
        r#""replicas": 2, "maxReplicas": 4, "scaleQueue": 2, "scaleDownMs": 9"#,
        r#""startupProbe": "tool:warm", "startupIntervalMs": 10"#,
        r#""readinessProbe": "ping", "readinessIntervalMs": 10, "readinessFailures": 1"#,
        r#""breakerFailures": 0, "breakerCalls": 5, "breakerOpenMs": 5"#,
        r#""retry": "idempotent", "retryPercent": 5"#,
        r#""restart": "on_failure", "backoffMs": 5"#,
    ] {
        server(&format!("{{ \"command\": \"a\", {keys} }}"));
    }
}
