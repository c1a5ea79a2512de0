use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::fixture::{Place, script, words};

const THREE: &str = r#"{"text":"one two three"}"#;

#[test]
fn text_is_printed_as_it_is() {
    let place = Place::with_servers(&words("w", 0));
    let said = place.run(&["call", "fleet.json", "w", "count_words", THREE]);
    assert_eq!(
        (said.ended(0).out.as_str(), said.err.as_str()),
        ("{\"words\":3}\n", "")
    );
}

#[test]
fn json_is_the_whole_result() {
    let place = Place::with_servers(&words("w", 0));
    let said = place.run(&["call", "fleet.json", "w", "count_words", THREE, "--json"]);
    let result: Value = serde_json::from_str(&said.ended(0).out).unwrap();
    assert_eq!(result["structuredContent"], json!({ "words": 3 }));
    assert_eq!(result["content"][0]["text"], "{\"words\":3}");
}

#[test]
fn arguments_come_from_a_file_or_standard_input() {
    let place = Place::with_servers(&words("w", 0));
    place.write("args.json", "{\n  \"text\": \"a b\"\n}\n");
    let said = place.run(&["call", "fleet.json", "w", "count_words", "@args.json"]);
    assert_eq!(said.ended(0).out, "{\"words\":2}\n");
    let said = place.run_with_input(&["call", "fleet.json", "w", "count_words", "-"], THREE);
    assert_eq!(said.ended(0).out, "{\"words\":3}\n");
}

#[test]
fn a_tool_that_fails_exits_with_1() {
    let place = Place::with_servers(&words("w", 0));
    let said = place.run(&["call", "fleet.json", "w", "count_words", "{}"]);
    assert!(said.ended(1).out.contains("missing field `text`"));
    let said = place.run(&["call", "fleet.json", "w", "count_words", "--json"]);
    let result: Value = serde_json::from_str(&said.ended(1).out).unwrap();
    assert_eq!(result["isError"], true);
}

#[test]
fn a_tool_that_does_not_exist_exits_with_1_and_names_a_near_one() {
    let place = Place::with_servers(&words("w", 0));
    let said = place.run(&["call", "fleet.json", "w", "count_word", THREE]);
    said.ended(1)
        .complains("error -32602")
        .complains("hint: did you mean `count_words`?");
    assert_eq!(said.out, "");
    let said = place.run(&["call", "fleet.json", "w", "paint"]);
    said.ended(1)
        .complains("hint: `mcp-fleet tools fleet.json --server w` lists its tools");
}

#[test]
fn a_wrong_command_line_exits_with_2_before_anything_starts() {
    let touch = script("files", "touch started");
    let off = r#""off": { "command": "sh", "disabled": true }"#;
    let place = Place::with_servers(&format!("{touch}, {off}"));
    for (args, words) in [
        (
            &["call", "nope.json", "files", "t"][..],
            "cannot read nope.json",
        ),
        (
            &["call", "fleet.json", "file", "t"],
            "hint: did you mean `files`?",
        ),
        (
            &["call", "fleet.json", "xyz", "t"],
            "hint: it has files, off",
        ),
        (
            &["call", "fleet.json", "off", "t"],
            "off is disabled in fleet.json",
        ),
        (&["call", "fleet.json", "files", "t", "{a"], "are not JSON"),
        (
            &["call", "fleet.json", "files", "t", "[1]"],
            "are not a JSON object",
        ),
        (
            &["call", "fleet.json", "files", "t", "@none"],
            "cannot read arguments from none",
        ),
        (
            &["call", "fleet.json", "files", "t", "--timeout", "0"],
            "must be more than 0",
        ),
        (&["call", "fleet.json", "files"], "<TOOL>"),
        (
            &["tools", "fleet.json", "--server", "file"],
            "hint: did you mean `files`?",
        ),
        (
            &["--journal", "none/j", "tools", "fleet.json"],
            "cannot write the journal none/j",
        ),
        (&["--log-level", "loud", "demo"], "--log-level"),
    ] {
        let said = place.run(args);
        said.ended(2).complains(words);
        assert_eq!(said.out, "", "{args:?}");
    }
    assert!(!place.path().join("started").exists());
}

#[test]
fn a_server_that_ends_early_exits_with_3_and_its_last_words() {
    let place = Place::with_servers(&script("broken", "echo no database >&2; exit 7"));
    let said = place.run(&["call", "fleet.json", "broken", "t"]);
    said.ended(3)
        .complains("broken ended before it was ready (exit status 7)");
    said.complains("  standard error of broken ends with:\n")
        .complains("    no database\n");
}

#[test]
fn an_answer_beyond_the_limit_exits_with_3_and_says_so() {
    let server = words("w", 0).replace(" }", ", \"maxLineBytes\": 1024 }");
    let place = Place::with_servers(&server);
    // The answer says that there is no tool of that name.
    let said = place.run(&["call", "fleet.json", "w", &"x".repeat(2000)]);
    said.ended(3)
        .complains("it broke the protocol: a line is longer than 1024 bytes");
}

#[test]
fn a_program_that_does_not_exist_exits_with_3() {
    let place = Place::with_servers(r#""ghost": { "command": "no-such-program-of-mine" }"#);
    let said = place.run(&["call", "fleet.json", "ghost", "t"]);
    said.ended(3)
        .complains("ghost cannot start")
        .complains("no-such-program-of-mine");
}

#[test]
fn a_slow_tool_exits_with_4() {
    let place = Place::with_servers(&words("w", 3_600_000));
    let said = place.run(&[
        "call",
        "fleet.json",
        "w",
        "count_words",
        THREE,
        "--timeout",
        "1.5",
    ]);
    said.ended(4)
        .complains("the call timed out after 1.50 s; it may have run");
}

#[test]
fn a_server_that_never_gets_ready_exits_with_4() {
    let place = Place::with_servers(&script("mute", "exec sleep 3600"));
    let said = place.run(&["call", "fleet.json", "mute", "t", "--timeout", "300ms"]);
    said.ended(4)
        .complains("mute was not ready within 300 ms")
        .complains("--timeout DURATION");
}

#[test]
fn only_the_server_that_is_called_is_started() {
    let other = script("other", "touch started");
    let place = Place::with_servers(&format!("{}, {other}", words("w", 0)));
    place
        .run(&["call", "fleet.json", "w", "count_words", THREE])
        .ended(0);
    place
        .run(&["tools", "fleet.json", "--server", "w"])
        .ended(0);
    assert!(!place.path().join("started").exists());
}

#[test]
fn the_journal_holds_every_input() {
    let place = Place::with_servers(&words("w", 0));
    let args = [
        "--journal",
        "journal",
        "call",
        "fleet.json",
        "w",
        "count_words",
        THREE,
    ];
    place.run(&args).ended(0);
    let path = place.path().join("journal");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let journal = fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() > 5, "{journal}");
    assert!(
        journal.contains("count_words") && journal.contains("shutdown"),
        "{journal}"
    );
}
