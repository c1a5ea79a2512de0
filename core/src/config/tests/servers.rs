//! What a good file becomes.

use std::time::Duration;

use super::*;

fn stdio(server: &ServerConfig) -> &Stdio {
    let Kind::Stdio(stdio) = &server.kind else {
        panic!("{:?}", server.kind)
    };
    stdio
}

fn http(server: &ServerConfig) -> &Http {
    let Kind::Http(http) = &server.kind else {
        panic!("{:?}", server.kind)
    };
    http
}

#[test]
fn a_local_server_keeps_every_word() {
    let server = server(
        r#"{ "type": "stdio", "command": "npx", "args": ["-y", "", "a b"],
             "env": { "B": "2", "A": "" }, "cwd": "/srv" }"#,
    );
    let expected = Stdio {
        command: "npx".to_owned(),
        args: ["-y", "", "a b"].map(str::to_owned).to_vec(),
        env: [("A", ""), ("B", "2")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        cwd: Some("/srv".to_owned()),
    };
    assert_eq!(stdio(&server), &expected);
    assert!(server.enabled);
    assert_eq!(server.limits, ServerLimits::default());
}

#[test]
fn a_remote_server_keeps_url_and_headers() {
    let server = server(r#"{ "url": "https://h/mcp", "headers": { "X-Key": "${TOKEN}" } }"#);
    let headers = [("X-Key".to_owned(), "s3cret".to_owned())].into();
    assert_eq!(
        http(&server),
        &Http {
            url: "https://h/mcp".to_owned(),
            headers
        }
    );
}

#[test]
fn every_spelling_of_streamable_http_is_one() {
    for word in [
        "http",
        "streamable-http",
        "streamableHttp",
        "streamable_http",
        "HTTP",
    ] {
        let server = server(&format!(r#"{{ "type": "{word}", "url": "http://h/" }}"#));
        assert_eq!(http(&server).url, "http://h/", "{word}");
    }
}

#[test]
fn references_expand_in_every_field_that_may_hold_them() {
    let local = server(
        r#"{ "command": "~/bin/${TOKEN}", "args": ["~/x", "${HOME}/y", "$HOME", "$${HOME}"],
             "env": { "K": "${env:TOKEN}", "${HOME}": "1" }, "cwd": "${userHome}/w" }"#,
    );
    let local = stdio(&local);
    assert_eq!(local.command, "/home/ann/bin/s3cret");
    assert_eq!(local.args, ["~/x", "/home/ann/y", "$HOME", "${HOME}"]);
    assert_eq!(local.env["K"], "s3cret");
    assert_eq!(local.env["${HOME}"], "1");
    assert_eq!(local.cwd.as_deref(), Some("/home/ann/w"));
    let remote =
        server(r#"{ "url": "${BASE:-http://h:1}/mcp", "headers": { "A": "B ${TOKEN}" } }"#);
    assert_eq!(http(&remote).url, "http://h:1/mcp");
    assert_eq!(http(&remote).headers["A"], "B s3cret");
    let cwd = server(r#"{ "command": "a", "cwd": "~" }"#);
    assert_eq!(stdio(&cwd).cwd.as_deref(), Some("/home/ann"));
}

#[test]
fn either_switch_turns_a_server_off() {
    for (switches, enabled) in [
        ("", true),
        (r#", "disabled": true"#, false),
        (r#", "disabled": false"#, true),
        (r#", "enabled": false"#, false),
        (r#", "enabled": true, "disabled": false"#, true),
        (r#", "enabled": false, "disabled": true"#, false),
    ] {
        let server = server(&format!(r#"{{ "command": "a"{switches} }}"#));
        assert_eq!(server.enabled, enabled, "{switches}");
    }
}

#[test]
fn null_counts_as_absent() {
    let server = server(
        r#"{ "command": "a", "args": null, "env": null, "cwd": null, "url": null, "type": null,
             "disabled": null, "timeoutMs": null }"#,
    );
    let plain = Stdio {
        command: "a".to_owned(),
        ..Stdio::default()
    };
    assert_eq!(server.kind, Kind::Stdio(plain));
    assert_eq!(server.limits, ServerLimits::default());
}

#[test]
fn servers_keep_the_order_of_the_file_over_both_keys() {
    let fleet = fleet(
        r#"{ "servers": { "z": { "command": "1" }, "y": { "command": "2" } },
             "mcpServers": { "x": { "command": "3" }, "a": { "command": "4" } } }"#,
    );
    let names: Vec<&str> = fleet
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    assert_eq!(names, ["z", "y", "x", "a"]);
}

#[test]
fn comments_and_trailing_commas_are_allowed() {
    let fleet = fleet(
        "// first\n{ /* a */ \"mcpServers\": { \"a\": { \"command\": \"a\", \"args\": [\"//x\",], }, }, }\n// end",
    );
    assert_eq!(stdio(&fleet.servers[0]).args, ["//x"]);
}

#[test]
fn every_number_of_the_table_reaches_the_limits() {
    for key in KEYS {
        let Some((least, most)) = key.range else {
            continue;
        };
        if key.place != Place::Server {
            continue;
        }
        // The bound that holds beside the range is tested on its own.
        let extra = if key.name == "timeoutMs" {
            r#", "timeoutMaxMs": 604800000"#
        } else {
            ""
        };
        let extra = if key.name == "probeTimeoutMs" {
            r#", "startTimeoutMs": 3600000"#
        } else {
            extra
        };
        for number in [least, most.min(3_599_999)] {
            // As little as that would clash with the default of another key.
            if number == 1 && matches!(key.name, "timeoutMaxMs" | "startTimeoutMs") {
                continue;
            }
            // Alone, some say nothing, which is warned of.
            let text = one(&format!(
                r#"{{ "command": "a", "{}": {number}{extra} }}"#,
                key.name
            ));
            let server = load(&text).expect(key.name).config.servers.remove(0);
            let keys::Slot::ServerLimit(bound) = key.slot else {
                panic!("{}", key.name)
            };
            assert_eq!((bound.of)(&server.limits), number, "{}", key.name);
        }
        for number in [least.checked_sub(1), most.checked_add(1)]
            .into_iter()
            .flatten()
        {
            let text = one(&format!(
                r#"{{ "command": "a", "{}": {number} }}"#,
                key.name
            ));
            let problems = load(&text).expect_err(key.name);
            let hint = format!("write a whole number of {least} to {most} ({})", key.unit);
            assert!(problems.errors[0].remedy.starts_with(&hint), "{problems}");
        }
    }
}

#[test]
fn defaults_hold_for_servers_that_do_not_say_otherwise() {
    let fleet = fleet(
        r#"{ "mcpServers": { "a": { "command": "a", "maxQueue": 3 }, "b": { "command": "b" } },
             "fleet": { "defaults": { "timeoutMs": 1500, "maxQueue": 7 } } }"#,
    );
    let limits = |index: usize| {
        (
            fleet.servers[index].limits.timeout,
            fleet.servers[index].limits.queue,
        )
    };
    assert_eq!(limits(0), (Duration::from_millis(1500), 3));
    assert_eq!(limits(1), (Duration::from_millis(1500), 7));
}

#[test]
fn supervision_is_given_in_words() {
    let fleet = fleet(
        r#"{ "mcpServers": { "s": { "command": "x", "restart": "on-failure", "start": "lazy", "scope": "per_client",
             "after": ["db", "cache"], "group": "web", "startupProbe": "ping", "readinessProbe": "tool:ready",
             "livenessProbe": "none", "retry": "idempotent", "maxClients": 5 },
             "db": { "command": "x", "replicas": 2, "maxReplicas": 5 }, "cache": { "command": "x" } },
             "fleet": { "groups": { "web": "one_for_all" } } }"#,
    );
    let (server, db) = (&fleet.servers[0], &fleet.servers[1]);
    assert_eq!(server.restart, Restart::OnFailure);
    assert_eq!(server.start, Start::Lazy);
    assert_eq!(server.scope, Scope::PerClient);
    let after: Vec<_> = server.after.iter().map(|name| name.as_str()).collect();
    assert_eq!(after, ["db", "cache"]);
    assert_eq!(server.group.as_deref(), Some("web"));
    let probes = Probes {
        startup: Probe::Ping,
        readiness: Probe::Tool("ready".to_owned()),
        liveness: Probe::None,
    };
    assert_eq!(server.probes, probes);
    assert_eq!(server.retry, Retry::Idempotent);
    assert_eq!((db.limits.replicas, db.limits.replicas_max), (2, 5));
    assert_eq!(server.limits.clients, 5);
}
