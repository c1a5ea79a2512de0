//! A journal told again.

use std::{fs, process::Stdio, thread};

use serde_json::Value;

use crate::fixture::{Place, words};

const CALL: [&str; 5] = [
    "call",
    "fleet.json",
    "w",
    "count_words",
    r#"{"text":"one two sk-live-123456"}"#,
];

/// A place with a journal `j` of one call.
fn recorded() -> Place {
    let place = Place::with_servers(&words("w", 0));
    record(&place, &[]);
    place
}

fn record(place: &Place, options: &[&str]) {
    let args = [&["--journal", "j"], options, &CALL].concat();
    place.run(&args).ended(0);
}

fn journal(place: &Place) -> String {
    fs::read_to_string(place.path().join("j")).unwrap()
}

#[test]
fn a_journal_is_shown_step_by_step() {
    let place = recorded();
    let said = place.run(&["replay", "j"]);
    said.ended(0);
    assert_eq!(said.err, "");
    let mut out = said.out.as_str();
    for words in [
        "     1  ",
        " deploy w: ",
        "> open w#1: ",
        "* w#1 is starting",
        "w#1 opened, process ",
        "* w#1 is ready",
        "call 2 of w: count_words {",
        " tools/call {",
        " result {",
        "* call 2 ended: {",
        "shut down",
        "\nafter step ",
        "SERVER  STATE ",
        "w       stopped ",
    ] {
        let place = out.find(words);
        out = &out[place.unwrap_or_else(|| panic!("no {words:?} in {out}"))..];
    }
    let said = place.run(&["replay", "j", "--verify"]);
    said.ended(0);
    assert!(
        said.out.starts_with("ok: j: ") && said.out.contains(" steps"),
        "{said:?}"
    );
}

#[test]
fn a_replay_stops_where_it_is_told_to() {
    let place = recorded();
    let all = place.run(&["replay", "j"]).out;
    let said = place.run(&["replay", "j", "--until", "2"]);
    said.ended(0);
    assert!(said.out.contains("\nafter step 2 at "), "{said:?}");
    assert!(said.out.contains("w       probing "), "{said:?}");
    assert!(said.out.contains("next deadline at "), "{said:?}");
    assert!(all.starts_with(said.out.split("\nafter").next().unwrap()));

    let said = place.run(&[
        "replay", "j", "--from", "3", "--until", "4", "--server", "w",
    ]);
    let out = &said.ended(0).out;
    assert!(
        out.starts_with("     3  ") && out.contains("after step 4"),
        "{out}"
    );
    let said = place.run(&["replay", "j", "--server", "other"]);
    assert!(said.ended(0).out.starts_with("\nafter step "), "{said:?}");

    // Times are those of the steps.
    let lines = journal(&place);
    let third: Value = serde_json::from_str(lines.lines().nth(3).unwrap()).unwrap();
    let until = format!("{}ms", third["at"].as_u64().unwrap().div_ceil(1_000_000));
    let said = place.run(&["replay", "j", "--until", &until]);
    let out = &said.ended(0).out;
    assert!(
        out.contains("\n     3  ") && !out.contains("shut down"),
        "{out}"
    );
    let said = place.run(&["replay", "j", "--until", "1h"]);
    assert_eq!(said.ended(0).out, all);
}

#[test]
fn a_replay_as_json_has_everything() {
    let place = recorded();
    let said = place.run(&["replay", "j", "--json"]);
    let lines: Vec<Value> = said
        .ended(0)
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (end, steps) = lines.split_last().unwrap();
    assert_eq!(end["steps"], steps.len());
    assert_eq!(end["first_difference"], Value::Null);
    assert_eq!(end["servers"][0]["state"], "stopped");
    assert_eq!(steps[0]["step"], 1);
    let recorded: Vec<Value> = journal(&place)
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(steps.len(), recorded.len());
    for (step, entry) in steps.iter().zip(&recorded) {
        assert_eq!(step["input"], entry["input"]);
        assert_eq!(step.get("recorded"), None);
    }
    assert!(
        steps
            .iter()
            .any(|step| step["events"][0]["server_changed"]["state"] == "ready")
    );
}

#[test]
fn a_fleet_that_does_something_else_exits_with_1() {
    let place = recorded();
    let changed = journal(&place).replacen("server/discover", "server/discovei", 1);
    place.write(
        "j",
        &changed.replacen("\"version\":\"0", "\"version\":\"99.0", 1),
    );
    for args in [&["replay", "j"][..], &["replay", "j", "--verify"]] {
        let said = place.run(args);
        said.ended(1)
            .complains("warning: the journal was written by version 99.0")
            .complains("error: at step 2 the fleet does something else:\n  recorded: send w#1 ")
            .complains("server/discovei")
            .complains("\n  now:      send w#1 ");
    }
    let said = place.run(&["replay", "j"]);
    assert!(
        said.out.contains("! send w#1 ") && said.out.contains(" was recorded"),
        "{said:?}"
    );
}

#[test]
fn a_journal_that_was_cut_off_is_shown_as_far_as_it_goes() {
    let place = recorded();
    let whole = journal(&place);
    let steps = whole.lines().count() - 2;
    place.write("j", &whole[..whole.len() - 10]);
    let said = place.run(&["replay", "j", "--verify"]);
    said.ended(0).complains(&format!(
        "the last line is cut off, as when the host was killed; {steps} steps are whole"
    ));
    assert!(said.out.contains(&format!(": {steps} steps,")), "{said:?}");
}

#[test]
fn a_host_that_was_killed_leaves_a_journal() {
    // The tool never answers.
    let place = Place::with_tool("", ":");
    let args = ["--journal", "j", "call", "fleet.json", "s", "t"];
    let mut host = place.command(&args).stdout(Stdio::null()).spawn().unwrap();
    let path = place.path().join("j");
    let asked = |journal: String| journal.contains("tools/call") && journal.ends_with('\n');
    while !fs::read_to_string(&path).is_ok_and(asked) {
        assert!(
            host.try_wait().unwrap().is_none(),
            "the host ended by itself"
        );
        thread::yield_now();
    }
    host.kill().unwrap();
    host.wait().unwrap();
    let said = place.run(&["replay", "j"]);
    said.ended(0);
    let state = said.out.split("IN FLIGHT").last().unwrap();
    let cells: Vec<&str> = state.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((cells[1], cells[4]), ("ready", "1"), "{said:?}");
}

#[test]
fn what_is_no_journal_is_refused_with_its_line() {
    let place = recorded();
    let whole = journal(&place);
    let mut lines: Vec<&str> = whole.lines().collect();
    lines.insert(3, "{\"at\":1,\"input\":{\"command\":\"dance\"}}");
    place.write("broken", &(lines.join("\n") + "\n"));
    lines[3] = lines[0];
    place.write("two", &(lines.join("\n") + "\n"));
    place.write("headless", &(lines[1..3].join("\n") + "\n"));
    let later = lines[0].replacen("\"version\":\"0", "\"version\":\"99.0", 1);
    place.write(
        "later",
        &(later.replacen("\"seed\":", "\"grain\":", 1) + "\n"),
    );
    place.write("empty", "");
    for (file, words) in [
        ("none", "cannot read none: "),
        ("empty", "empty is empty"),
        ("fleet.json", "fleet.json is cut off in its first line"),
        ("server.sh", "cannot read server.sh"),
        ("broken", "broken:4: this is no entry of a journal: "),
        ("two", "two:4: a second header"),
        (
            "headless",
            "headless:1: the file does not begin with a header",
        ),
        ("later", "later:1: this header of version 99.0"),
        ("later", "hint: replay it with mcp-fleet 99.0"),
    ] {
        let said = place.run(&["replay", file, "--verify"]);
        said.ended(2).complains(words).complains("hint: ");
    }
}

#[test]
fn a_journal_is_bounded_and_its_end_is_kept() {
    let place = Place::new();
    let demo = ["--journal", "j", "--journal-max", "256k", "demo"];
    place.run(&demo).ended(0);
    let size = |name: &str| fs::metadata(place.path().join(name)).unwrap().len();
    for (name, most) in [
        ("j", 128 << 10),
        ("j.tail", 64 << 10),
        ("j.tail.1", 64 << 10),
    ] {
        assert!(size(name) <= most, "{name}: {}", size(name));
    }
    assert!(size("j") > 100 << 10 && size("j.tail.1") > 40 << 10);
    let said = place.run(&["replay", "j", "--verify"]);
    said.ended(0)
        .complains("the journal reached its limit of 131072 bytes after step ")
        .complains("can be shown, but not replayed: j.tail.1 and then j.tail");
    let said = place.run(&["replay", "j.tail"]);
    said.ended(0)
        .complains("this is a part of a journal from step ");
    assert!(
        said.out.contains("shut down") && said.out.contains(" is gone"),
        "{}",
        said.out
    );
    place
        .run(&["replay", "j.tail", "--verify"])
        .ended(2)
        .complains("hint: verify the file without `.tail`");

    // The parts of an older journal go with it, and other files stay.
    let short = Place::with_servers(&words("w", 0));
    for name in ["j", "j.tail", "j.tail.1"] {
        fs::copy(place.path().join(name), short.path().join(name)).unwrap();
    }
    record(&short, &[]);
    assert!(!short.path().join("j.tail").exists() && !short.path().join("j.tail.1").exists());
    short.write("j.tail", "notes\n");
    let args = [&["--journal", "j"], &CALL[..]].concat();
    short
        .run(&args)
        .ended(2)
        .complains("j.tail exists and is no journal");
    assert_eq!(
        fs::read_to_string(short.path().join("j.tail")).unwrap(),
        "notes\n"
    );
}

#[test]
fn a_journal_leaves_out_what_it_is_told_to() {
    let member = words("w", 0);
    let member = member.trim_end().trim_end_matches('}');
    let place = Place::with_servers(&format!(
        r#"{member}, "env": {{ "TOKEN": "sk-live-123456", "OTHER": "${{JOURNAL_KEY}}-x" }} }}"#
    ));
    for (level, has_token, has_payload) in [
        (None, false, false),
        (Some("payloads"), false, false),
        (Some("secrets"), false, true),
        (Some("nothing"), true, true),
    ] {
        let level = level.map_or(vec![], |level| vec!["--journal-redact", level]);
        let args = [&["--journal", "j"], &level[..], &CALL].concat();
        let mut command = place.command(&args);
        let said: crate::fixture::Said = command
            .env("JOURNAL_KEY", "key-of-journal")
            .output()
            .unwrap()
            .into();
        said.ended(0);
        let text = journal(&place);
        assert_eq!(
            text.contains("sk-live-123456"),
            has_token,
            "{level:?}: {text}"
        );
        assert_eq!(
            text.contains("key-of-journal"),
            has_token,
            "{level:?}: {text}"
        );
        assert_eq!(text.contains("one two"), has_payload, "{level:?}: {text}");
        assert!(
            text.contains("count_words") && text.contains("tools/call"),
            "{text}"
        );
        place.run(&["replay", "j", "--verify"]).ended(0);
    }
}
