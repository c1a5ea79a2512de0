use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::symlink,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    fixture::{Place, script},
    supervised::{Supervised, file_of, gone, is_alive, mute, noted, sooner_or_later, tracked},
};

fn place(servers: &[String]) -> Place {
    let place = Place::new();
    place.write("fleet.json", &file_of(servers));
    place
}

/// A server with a limit that does not concern its process.
fn limited(name: &str, timeout_ms: u32) -> String {
    tracked(name, &format!(", \"timeoutMs\": {timeout_ms}"))
}

/// A server with an argument, which takes another process to change.
fn argued(name: &str, argument: u32) -> String {
    tracked(
        name,
        &format!(", \"env\": {{ \"VERSION\": \"{argument}\" }}"),
    )
}

#[test]
fn a_fleet_is_up_until_a_signal() {
    let bad = script("bad", "echo alas >&2; exit 3");
    let mut up = Supervised::of(place(&[tracked("good", ""), bad, tracked("fine", "")]));
    let failed = up.until_state("bad", "backoff");
    assert_eq!(failed["why"], "ended before it was ready (exit status 3)");
    let tail = &failed["failure"]["ended_early"]["stderr_tail"];
    assert_eq!(tail.as_str().map(str::trim), Some("alas"), "{failed}");
    // A failed server is started again, and holds up nobody.
    up.until_state("bad", "starting");
    let pids = [up.pids("good", 1), up.pids("fine", 1)].concat();
    up.sometime("tools", |told| {
        told["event"] == "catalog" && told["kind"] == "tools" && told["entries"] == 1
    });
    up.signal("TERM");
    let (code, told, err) = up.end();
    assert_eq!(code, Some(0), "{err}");
    let stopping = told.iter().position(|told| told["event"] == "stopping");
    let stopping = stopping.unwrap();
    assert_eq!(told[stopping]["signal"], "SIGTERM");
    for server in ["good", "fine"] {
        assert!(
            told[stopping..].iter().any(|told| told["event"] == "state"
                && told["server"] == server
                && told["state"] == "stopped"),
            "{told:#?}"
        );
    }
    assert_eq!(err, "");
    gone(&pids);
}

#[test]
fn people_read_lines() {
    let place = place(&[tracked("good", "")]);
    let mut child = place
        .command(&["up", "fleet.json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Without the time.
    let mut next = || lines.next().unwrap().unwrap()[10..].to_owned();
    assert_eq!(next(), "good      starting");
    assert_eq!(next(), "good      ready");
    assert_eq!(next(), "good      lists        1 tool");
    place.write("fleet.json", "{ \"mcpServers\": 7 }");
    assert_eq!(
        next(),
        "-         invalid      the file is wrong; the servers go on as they are"
    );
    let pid = child.id().to_string();
    Command::new("sh")
        .args(["-c", &format!("kill -INT {pid}")])
        .status()
        .unwrap();
    let rest: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert!(
        rest[0].contains("error: fleet.json:1:17: mcpServers: "),
        "{rest:?}"
    );
    assert!(rest[1].starts_with("    hint: "), "{rest:?}");
    assert!(
        rest[2].ends_with("-         stopping     SIGINT; a second signal kills the servers"),
        "{rest:?}"
    );
    assert!(
        rest.last().unwrap().ends_with("good      stopped"),
        "{rest:?}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_fleet_follows_its_file() {
    let first = [
        tracked("stays", ""),
        limited("tuned", 1000),
        argued("changed", 1),
        tracked("removed", ""),
    ];
    let mut up = Supervised::of(place(&first));
    up.until_ready(&["stays", "tuned", "changed", "removed"]);
    let second = [
        tracked("stays", ""),
        limited("tuned", 2000),
        argued("changed", 2),
        tracked("added", ""),
    ];
    up.place.write("fleet.json", &file_of(&second));
    up.until_event("reloading");
    let reloaded = up.until_event("reloaded");
    let expected = json!({
        "event": "reloaded",
        "time": reloaded["time"],
        "added": ["added"],
        "removed": ["removed"],
        "replaced": ["changed"],
        "retuned": ["tuned"],
        "unchanged": ["stays"],
        "failed": [],
        "overtaken": false,
    });
    assert_eq!(reloaded, expected);
    let removed = up.pids("removed", 1);
    let changed = up.pids("changed", 2);
    gone(&removed);
    gone(&changed[..1]);
    assert!(is_alive(changed[1]));
    for server in ["stays", "tuned", "added"] {
        let pids = up.pids(server, 1);
        assert!(pids.len() == 1 && is_alive(pids[0]), "{server}: {pids:?}");
    }
    up.signal("INT");
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn a_server_whose_change_fails_is_named_with_the_reason() {
    let mut up = Supervised::of(place(&[argued("changed", 1), tracked("stays", "")]));
    up.until_state("changed", "ready");
    let broken = noted("changed", "echo broken >&2; exit 7", "");
    up.place
        .write("fleet.json", &file_of(&[broken, tracked("stays", "")]));
    let reloaded = up.until_event("reloaded");
    assert_eq!(reloaded["replaced"], json!([]));
    assert_eq!(reloaded["unchanged"], json!(["stays"]));
    let failed = &reloaded["failed"][0];
    assert_eq!(failed["server"], "changed");
    let why = failed["why"].as_str().unwrap();
    assert!(
        why.contains("exit status 7") && why.contains("broken"),
        "{why}"
    );
    up.signal("TERM");
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn a_change_that_hangs_is_overtaken_by_the_next() {
    let hangs = ", \"startTimeoutMs\": 3600000";
    let mut up = Supervised::of(place(&[argued("a", 1), tracked("b", "")]));
    up.until_ready(&["a", "b"]);
    up.place.write(
        "fleet.json",
        &file_of(&[mute("a", hangs), tracked("b", "")]),
    );
    up.until_event("reloading");
    up.pids("a", 2);
    up.place
        .write("fleet.json", &file_of(&[argued("a", 3), tracked("b", "")]));
    let overtaken = up.until_event("reloaded");
    assert_eq!(overtaken["overtaken"], true);
    assert_eq!(overtaken["replaced"], json!([]));
    assert_eq!(overtaken["failed"], json!([]));
    assert_eq!(up.until_event("reloaded")["replaced"], json!(["a"]));
    let pids = up.pids("a", 3);
    gone(&pids[..2]);
    assert!(is_alive(pids[2]));
    up.signal("TERM");
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_of() {
    let servers = [tracked("a", ""), tracked("b", "")];
    let mut up = Supervised::of(place(&servers));
    up.until_ready(&["a", "b"]);
    let text = file_of(&[
        tracked("a", ", \"timeoutMs\": \"soon\""),
        tracked("b", ", \"comand\": \"x\", \"args\": 7"),
    ]);
    up.place.write("fleet.json", &text);
    let invalid = up.until_event("invalid");
    let at = |problem: &Value| (problem["line"].clone(), problem["key"].clone());
    let errors = invalid["errors"].as_array().unwrap();
    assert_eq!(at(&errors[0]), (json!(2), json!("mcpServers.a.timeoutMs")));
    assert!(errors.iter().any(|error| at(error).0 == 3), "{errors:?}");
    assert!(errors[0]["message"].is_string() && errors[0]["hint"].is_string());
    assert_eq!(
        at(&invalid["warnings"][0]),
        (json!(3), json!("mcpServers.b.comand"))
    );

    // Half of a file is one that is wrong.
    let good = file_of(&servers);
    up.place.write("fleet.json", &good[..good.len() / 2]);
    up.until_event("invalid");

    // As it was before: used again, and nothing to do.
    up.place.write("fleet.json", &good);
    let reloaded = up.until_event("reloaded");
    assert_eq!(reloaded["unchanged"], json!(["a", "b"]));
    for server in ["a", "b"] {
        assert_eq!(up.pids(server, 1).len(), 1);
    }
    up.signal("HUP");
    up.signal("TERM");
    let (code, told, _) = up.end();
    assert!([Some(0), Some(143)].contains(&code), "{code:?} {told:#?}");
}

#[test]
fn a_mounted_config_map_is_followed() {
    let place = Place::new();
    for (version, servers) in [
        ("..1", vec![argued("a", 1)]),
        ("..2", vec![argued("a", 1), tracked("b", "")]),
    ] {
        fs::create_dir(place.path().join(version)).unwrap();
        place.write(&format!("{version}/fleet.json"), &file_of(&servers));
    }
    symlink("..1", place.path().join("..data")).unwrap();
    symlink("..data/fleet.json", place.path().join("fleet.json")).unwrap();
    let mut up = Supervised::of(place);
    up.until_state("a", "ready");
    let new = up.place.path().join("..data_tmp");
    symlink("..2", &new).unwrap();
    fs::rename(&new, up.place.path().join("..data")).unwrap();
    fs::remove_dir_all(up.place.path().join("..1")).unwrap();
    let reloaded = up.until_event("reloaded");
    assert_eq!(reloaded["added"], json!(["b"]));
    assert_eq!(up.pids("a", 1).len(), 1);
    up.signal("TERM");
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn a_file_may_go_and_return() {
    let mut up = Supervised::of(place(&[argued("a", 1)]));
    up.until_state("a", "ready");
    let path = up.place.path().join("fleet.json");
    fs::remove_file(&path).unwrap();
    let unreadable = up.until_event("unreadable");
    let why = unreadable["why"].as_str().unwrap();
    assert!(
        why.starts_with("cannot read fleet.json: No such file"),
        "{why}"
    );
    assert!(is_alive(up.pids("a", 1)[0]));
    up.place.write("new.json", &file_of(&[argued("a", 2)]));
    fs::rename(up.place.path().join("new.json"), &path).unwrap();
    assert_eq!(up.until_event("reloaded")["replaced"], json!(["a"]));
    gone(&up.pids("a", 2)[..1]);
    up.signal("TERM");
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn a_storm_of_writes_is_followed_and_does_not_spin() {
    let mut up = Supervised::of(place(&[tracked("stays", ""), limited("a", 1000)]));
    up.until_state("a", "ready");
    let begun = Instant::now();
    let span = Duration::from_secs(5);
    // In place, so that every other look may find half a file.
    while begun.elapsed() < span {
        let millis = u32::try_from(begun.elapsed().as_millis()).unwrap();
        let text = file_of(&[tracked("stays", ""), limited("a", 1000 + millis)]);
        up.place.write("fleet.json", &text);
        thread::sleep(Duration::from_millis(1));
    }
    let last = file_of(&[
        tracked("stays", ""),
        limited("a", 1000),
        tracked("last", ""),
    ]);
    up.place.write("fleet.json", &last);
    up.until("the last text", |told| told["added"] == json!(["last"]));
    for server in ["stays", "a", "last"] {
        assert_eq!(up.pids(server, 1).len(), 1);
    }
    up.signal("TERM");
    let (code, told, _) = up.end();
    assert_eq!(code, Some(0));
    let reloads = told
        .iter()
        .filter(|told| told["event"] == "reloading")
        .count();
    // One every two seconds, and one at the end.
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() / 2 + 2;
    assert!((1..=most).contains(&reloads), "{reloads} of {most}");
}

#[test]
fn a_file_is_left_alone_where_that_is_asked_for() {
    let mut deaf = Supervised::with(place(&[tracked("a", "")]), &["--no-watch"]);
    deaf.until_state("a", "ready");
    // Another one on the same file says when it was to be seen.
    let other = Place::new();
    symlink(
        deaf.place.path().join("fleet.json"),
        other.path().join("fleet.json"),
    )
    .unwrap();
    let mut awake = Supervised::of(other);
    awake.until_state("a", "ready");
    deaf.place.write("fleet.json", &file_of(&[]));
    assert_eq!(awake.until_event("reloaded")["removed"], json!(["a"]));
    awake.signal("TERM");
    assert_eq!(awake.end().0, Some(0));
    assert!(is_alive(deaf.pids("a", 1)[0]));
    deaf.signal("TERM");
    let (code, told, _) = deaf.end();
    assert_eq!(code, Some(0));
    assert!(
        !told.iter().any(|told| told["event"] == "reloading"),
        "{told:?}"
    );
}

#[test]
fn a_file_that_is_wrong_at_the_start_starts_nothing() {
    let place = Place::new();
    place.write(
        "fleet.json",
        &file_of(&[script("touch", "touch started"), "\"b\": 7".to_owned()]),
    );
    let said = place.run(&["up", "fleet.json"]);
    said.ended(2).complains("error: fleet.json:3:");
    assert_eq!(said.out, "");
    assert!(!place.path().join("started").exists());
    place
        .run(&["up", "missing.json"])
        .ended(2)
        .complains("cannot read missing.json");
}

#[test]
fn a_signal_amid_the_start_stops_what_was_started() {
    let mut up = Supervised::of(place(&[tracked("a", ""), mute("b", "")]));
    up.until_state("a", "ready");
    let pids = [up.pids("a", 1), up.pids("b", 1)].concat();
    up.signal("INT");
    assert_eq!(up.end().0, Some(0));
    gone(&pids);
}

#[test]
fn a_signal_amid_a_reload_stops_old_and_new() {
    let mut up = Supervised::of(place(&[argued("a", 1), tracked("b", "")]));
    up.until_ready(&["a", "b"]);
    up.place
        .write("fleet.json", &file_of(&[mute("a", ""), tracked("b", "")]));
    up.until_event("reloading");
    let pids = [up.pids("a", 2), up.pids("b", 1)].concat();
    up.signal("TERM");
    assert_eq!(up.end().0, Some(0));
    gone(&pids);
}

#[test]
fn a_second_signal_amid_the_drain_kills_at_once() {
    // Deaf to the end of its input and to SIGTERM, and given five minutes.
    let deaf = noted(
        "deaf",
        &format!(
            "trap '' TERM; {} __demo-server; sleep 3600",
            crate::fixture::PROGRAM
        ),
        ", \"closeInputWaitMs\": 300000",
    );
    let mut up = Supervised::of(place(&[deaf]));
    up.until_state("deaf", "ready");
    let pids = up.pids("deaf", 1);
    up.signal("INT");
    up.until_event("stopping");
    up.until("the ladder", |told| told["state"] == "closing");
    up.signal("TERM");
    assert_eq!(up.end().0, Some(143));
    gone(&pids);
}

#[test]
fn a_reader_that_left_ends_it_quietly() {
    let mut up = Supervised::of(place(&[tracked("a", "")]));
    up.until_state("a", "ready");
    let pids = up.pids("a", 1);
    up.stop_reading();
    let mut number = 1000;
    // Only who writes notices, and the first line that is written still finds its reader.
    sooner_or_later("end without a reader", || {
        number += 1;
        up.place
            .write("fleet.json", &file_of(&[limited("a", number)]));
        thread::sleep(Duration::from_millis(50));
        up.has_ended()
    });
    let (code, _, err) = up.end();
    assert_eq!((code, err.as_str()), (Some(0), ""));
    gone(&pids);
}

#[test]
fn a_reader_that_does_not_read_holds_up_no_signal() {
    let place = place(&[tracked("a", "")]);
    let mut child = place
        .command(&["up", "fleet.json", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let pids = place.path().join("a.pids");
    sooner_or_later("process", || pids.exists());
    // So wrong that what is said of it fills the pipe.
    let wrong: Vec<String> = (0..2000)
        .map(|number| format!("\"s{number}\": 7"))
        .collect();
    place.write("fleet.json", &file_of(&wrong));
    let mut heard = String::new();
    while !heard.contains("\"event\":\"invalid\"") {
        let mut some = [0; 512];
        let number = out.read(&mut some).unwrap();
        assert_ne!(number, 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&some[..number]));
    }
    let kill = format!("kill -TERM {}", child.id());
    let status = Command::new("sh").args(["-c", &kill]).status();
    assert!(status.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let pid = fs::read_to_string(pids).unwrap();
    gone(&[pid.trim().parse().unwrap()]);
    drop(out);
}
