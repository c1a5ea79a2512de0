use std::{io::Read, process::Stdio};

use serde_json::{Value, json};

use crate::fixture::{Place, Said, script, words};

#[test]
fn check_accepts_a_good_file_and_starts_nothing() {
    let touch = script("touch", "touch started");
    let place = Place::with_servers(&touch);
    let said = place.run(&["check", "fleet.json"]);
    let expected = "\
SERVER  KIND   ENABLED  REACHED BY
touch   stdio  yes      sh

ok: fleet.json: 1 server
";
    assert_eq!(
        (said.ended(0).out.as_str(), said.err.as_str()),
        (expected, "")
    );
    assert!(!place.path().join("started").exists());
}

#[test]
fn check_prints_every_error_and_warning() {
    let place = Place::new();
    place.write(
        "fleet.json",
        "{ \"mcpServers\": {\n  \"a\": { \"comand\": \"x\" },\n  \"b\": { \"command\": 7 }\n} }",
    );
    let said = place.run(&["check", "fleet.json"]);
    said.ended(2)
        .complains("error: fleet.json:2:")
        .complains("error: fleet.json:3:");
    said.complains("warning: fleet.json:2:")
        .complains("hint: did you mean `command`?");
    assert_eq!(said.out, "");
}

#[test]
fn check_never_shows_what_may_be_secret() {
    let place = Place::with_servers(
        r#""web": { "type": "http", "url": "https://example.org/key-s3cret?token=s3cret" },
           "run": { "command": "x", "args": ["s3cret"], "env": { "K": "s3cret" } }"#,
    );
    let said = place.run(&["check", "fleet.json"]);
    assert!(said.ended(0).out.contains("example.org"), "{said:?}");
    assert!(
        !said.out.contains("s3cret") && !said.err.contains("s3cret"),
        "{said:?}"
    );
}

#[test]
fn a_remote_server_that_is_in_use_is_warned_of() {
    let web = |name: &str| {
        format!(r#""{name}": {{ "type": "http", "url": "https://s3cret.invalid/mcp" }}"#)
    };
    let off = r#""off": { "type": "http", "url": "https://x.invalid/", "disabled": true }"#;
    let servers = [words("w", 0), web("web"), web("other"), off.to_owned()];
    let place = Place::with_servers(&servers.join(", "));
    let warning = |name: &str| {
        format!(
            "warning: fleet.json: {name:?} is a remote server (`url`), and this version cannot \
             reach remote servers\n  hint: use a local bridge, such as a stdio proxy, or wait for \
             a later version\n"
        )
    };
    let said = place.run(&["check", "fleet.json"]);
    assert_eq!(said.ended(0).err, warning("web") + &warning("other"));
    assert!(said.out.contains("ok: fleet.json: 4 servers, 2 warnings"));

    for args in [&["servers", "fleet.json"][..], &["tools", "fleet.json"]] {
        let said = place.run(args);
        said.ended(3)
            .complains(&warning("web"))
            .complains(&warning("other"));
        assert!(!said.err.contains("off"), "{said:?}");
    }
    let said = place.run(&["call", "fleet.json", "web", "t"]);
    said.ended(3).complains(&warning("web"));
    assert!(!said.err.contains("other"), "{said:?}");
    let said = place.run(&["tools", "fleet.json", "--server", "w"]);
    assert_eq!(said.ended(0).err, "");
}

#[test]
fn tools_are_listed_in_a_table() {
    let place = Place::with_servers(&words("w", 0));
    let said = place.run(&["tools", "fleet.json"]);
    let expected = "\
SERVER  TOOL         DESCRIPTION
w       count_words  Counts the words of a text
";
    assert_eq!(
        (said.ended(0).out.as_str(), said.err.as_str()),
        (expected, "")
    );
}

#[test]
fn tools_as_json_are_what_the_server_gave() {
    // Spelling, order and numbers that a parser would not keep.
    let entry = r#"{"name":"t", "zeta":1.50,"inputSchema":{"type":"object"},"alpha":1e400}"#;
    let answers = [
        r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":"no"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}"#.to_owned(),
        format!(r#"{{"jsonrpc":"2.0","id":ID,"result":{{"tools":[{entry}]}}}}"#),
    ];
    let place = Place::new();
    for (number, answer) in answers.iter().enumerate() {
        place.write(&format!("answer-{number}"), answer);
    }
    // Answers each request with the next file, under its id.
    place.write(
        "server.sh",
        r#"n=0
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  [ -z "$id" ] && continue
  sed "s/ID/$id/" "answer-$n"; echo
  n=$((n+1))
done
"#,
    );
    let server = r#""s": { "command": "sh", "args": ["server.sh"] }"#;
    place.write(
        "fleet.json",
        &format!("{{ \"mcpServers\": {{ {server} }} }}"),
    );
    let said = place.run(&["tools", "fleet.json", "--json"]);
    assert_eq!(said.ended(0).out, format!("{{\"s\":[{entry}]}}\n"));
}

#[test]
fn a_server_that_fails_does_not_hide_the_others() {
    let broken = script("broken", "echo no database >&2; exit 7");
    let place = Place::with_servers(&format!("{broken}, {}", words("w", 0)));
    let said = place.run(&["tools", "fleet.json", "--json"]);
    let tools: Value = serde_json::from_str(&said.ended(3).complains("no database").out).unwrap();
    assert_eq!(tools["w"][0]["name"], "count_words");
    assert!(tools.get("broken").is_none());
    let said = place.run(&["servers", "fleet.json"]);
    said.ended(3)
        .complains("\"broken\" ended before it was ready");
    let rows: Vec<Vec<&str>> = said
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0][..4], ["SERVER", "KIND", "STATE", "PROTOCOL"]);
    assert_eq!(rows[1][..3], ["broken", "stdio", "failed"]);
    assert_eq!(rows[2][..5], ["w", "stdio", "ready", "2026-07-28", "1"]);
}

#[test]
fn servers_as_json_have_their_states() {
    let place = Place::with_servers(&words("w", 0));
    let said = place.run(&["servers", "fleet.json", "--json"]);
    let servers: Value = serde_json::from_str(&said.ended(0).out).unwrap();
    assert_eq!(servers[0]["name"], "w");
    assert_eq!(servers[0]["state"], "ready");
    assert_eq!(servers[0]["tools"], json!(1));
}

#[test]
fn the_demo_calls_three_servers_and_fails_none() {
    for args in [&[][..], &["demo"]] {
        let said = Place::new().run(args);
        let rows: Vec<Vec<&str>> = said
            .ended(0)
            .out
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        for (row, name) in rows[1..4].iter().zip(["words", "sums", "slow"]) {
            assert_eq!((row[0], row[2], row[4]), (name, "ready", "0"), "{said:?}");
            assert!(row[3].parse::<u32>().unwrap() >= 64, "{said:?}");
        }
        assert!(said.out.contains(" calls in "), "{said:?}");
        assert!(
            !said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'),
            "{said:?}"
        );
    }
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let place = Place::with_servers(&words("w", 0));
    let mut command = place.command(&["tools", "fleet.json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn logs_go_to_standard_error_only() {
    let place = Place::with_servers(&words("w", 0));
    let quiet = place.run(&["tools", "fleet.json"]);
    let loud = place.run(&["--log-level", "trace", "tools", "fleet.json"]);
    assert_eq!(quiet.ended(0).out, loud.ended(0).out);
    let from_environment: Said = place
        .command(&["tools", "fleet.json"])
        .env("MCP_FLEET_LOG_LEVEL", "loud")
        .output()
        .unwrap()
        .into();
    from_environment.ended(2);
}

#[test]
fn a_variable_that_only_another_server_needs_may_be_unset() {
    let needy = r#""needy": { "command": "x", "env": { "K": "${MCP_FLEET_NO_SUCH}" } }"#;
    let place = Place::with_servers(&format!("{}, {needy}", words("fine", 0)));
    let said = place.run(&["tools", "fleet.json", "--server", "fine"]);
    assert_eq!(said.ended(0).err, "");
    let call = [
        "call",
        "fleet.json",
        "fine",
        "count_words",
        r#"{"text":""}"#,
    ];
    assert_eq!(place.run(&call).ended(0).err, "");
    let needs = "mcpServers.needy.env.K: the environment variable `MCP_FLEET_NO_SUCH` is not set";
    for args in [
        &["tools", "fleet.json", "--server", "needy"][..],
        &["call", "fleet.json", "needy", "t"],
        &["tools", "fleet.json"],
        &["servers", "fleet.json"],
        &["check", "fleet.json"],
        &["up", "fleet.json"],
    ] {
        place.run(args).ended(2).complains(needs);
    }
}
