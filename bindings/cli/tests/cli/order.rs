use serde_json::{Value, json};

use crate::fixture::{Place, script, words};

const TWO: &str = r#"{"text":"one two"}"#;

/// The member of `mcpServers`, which comes after these servers.
fn after(member: &str, others: &[&str]) -> String {
    let body = member.trim_end_matches(['}', ' ']);
    format!("{body}, \"after\": {} }}", json!(others))
}

#[test]
fn what_a_server_comes_after_is_started_with_it() {
    let log = "echo $MCP_FLEET_SERVER >>started; exec \"$0\" __demo-server --delay-ms=0";
    let member = |name: &str| {
        let program = crate::fixture::PROGRAM;
        format!("{name:?}: {{ \"command\": \"sh\", \"args\": [\"-c\", {log:?}, {program:?}] }}")
    };
    let servers = [
        after(&member("c"), &["b"]),
        after(&member("b"), &["a"]),
        member("a"),
        member("other"),
    ];
    let place = Place::with_servers(&servers.join(", "));
    let said = place.run(&["call", "fleet.json", "c", "count_words", TWO]);
    assert_eq!(said.ended(0).out, "{\"words\":2}\n");
    let started = std::fs::read_to_string(place.path().join("started")).unwrap();
    assert_eq!(started, "a\nb\nc\n");
    let said = place.run(&["tools", "fleet.json", "--server", "c", "--json"]);
    let tools: Value = serde_json::from_str(&said.ended(0).out).unwrap();
    assert_eq!(tools.as_object().unwrap().len(), 1, "{tools}");
}

#[test]
fn a_server_that_waits_says_for_whom_and_why() {
    let servers = [
        after(&words("b", 0), &["a"]),
        script("a", "exit 3"),
        after(&words("c", 0), &["b"]),
        after(&words("d", 0), &["off"]),
        "\"off\": { \"command\": \"x\", \"disabled\": true }".to_owned(),
    ];
    let place = Place::with_servers(&servers.join(", "));
    let said = place.run(&["servers", "fleet.json"]);
    said.ended(3)
        .complains("error: \"a\" ended before it was ready (exit status 3)")
        .complains("error: \"b\" waits for \"a\", which has failed")
        .complains("error: \"c\" waits for \"b\", which waits in vain itself")
        .complains("error: \"d\" waits for \"off\", which is stopped");
    for state in [
        "waiting for a, which has failed",
        "waiting for b, which waits in vain itself",
        "waiting for off, which is stopped",
    ] {
        assert!(said.out.contains(state), "{said:?}");
    }
    let said = place.run(&["call", "fleet.json", "b", "count_words", TWO]);
    said.ended(3)
        .complains("\"a\" ended before it was ready")
        .complains("\"b\" waits for \"a\", which has failed");
}

#[test]
fn a_circle_is_an_error_of_the_file() {
    let servers = [after(&words("a", 0), &["b"]), after(&words("b", 0), &["a"])];
    let place = Place::with_servers(&servers.join(", "));
    let said = place.run(&["check", "fleet.json"]);
    said.ended(2)
        .complains("mcpServers.b.after[0]: servers come after each other in a circle: a -> b -> a");
}
