//! The fake server does what its manual says, so that tests may build on it.

use std::{fs, time::Instant};

use mcp_fleet_tests::{
    Client, Era, Launch, Marker, Result, RpcError, Scratch, fake_server, signal,
};
use serde_json::{Value, json};

#[test]
fn both_eras_are_spoken() -> Result<()> {
    let mut legacy = Client::start(&fake(&[])?, Era::Legacy)?;
    assert_eq!(legacy.greeting()["protocolVersion"], "2025-11-25");
    let result = legacy.call("echo", json!({"a": [1, "two"]}))?;
    assert_eq!(result["structuredContent"], json!({"a": [1, "two"]}));
    assert_eq!(result.get("resultType"), None);

    let mut modern = Client::start(&fake(&[])?, Era::Modern)?;
    assert_eq!(
        modern.greeting()["supportedVersions"],
        json!(["2026-07-28"])
    );
    let result = modern.call("echo", json!({}))?;
    assert_eq!(result["resultType"], "complete");
    assert!(modern.close()?.success());
    Ok(())
}

#[test]
fn one_era_refuses_the_other() -> Result<()> {
    let modern = Client::start(&fake(&["--era", "legacy"])?, Era::Modern);
    assert_eq!(code(modern)?, -32601);
    let legacy = Client::start(&fake(&["--era", "modern"])?, Era::Legacy);
    assert_eq!(code(legacy)?, -32022);
    let chosen = Client::start(&fake(&["--discover", "-32000"])?, Era::Modern);
    assert_eq!(code(chosen)?, -32000);
    Ok(())
}

#[test]
fn an_incomplete_envelope_is_refused() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Legacy)?;
    let version = "io.modelcontextprotocol/protocolVersion";
    let refused = client.request("tools/list", json!({"_meta": {version: "2026-07-28"}}));
    assert_eq!(code(refused)?, -32602);
    Ok(())
}

#[test]
fn pages_lead_to_the_same_list() -> Result<()> {
    let whole = Client::start(&fake(&[])?, Era::Legacy)?.list("tools/list", "tools")?;
    for cursors in ["plain", "empty"] {
        let launch = fake(&["--page-size", "2", "--cursors", cursors])?;
        let mut client = Client::start(&launch, Era::Modern)?;
        assert_eq!(client.list("tools/list", "tools")?, whole, "{cursors}");
    }
    for cursors in ["loop", "stuck", "endless"] {
        let launch = fake(&["--page-size", "2", "--cursors", cursors])?;
        let mut client = Client::start(&launch, Era::Legacy)?;
        let error = client.list("tools/list", "tools").unwrap_err();
        assert!(error.to_string().contains("no end"), "{cursors}: {error}");
    }
    Ok(())
}

#[test]
fn sleeping_calls_overtake_each_other() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Legacy)?;
    let mut sleep = |ms: u64| {
        client.send(
            "tools/call",
            json!({"name": "sleep", "arguments": {"ms": ms}}),
        )
    };
    let (slow, fast) = (sleep(400)?, sleep(1)?);
    assert_eq!(client.receive()?["id"], fast);
    assert_eq!(client.receive()?["id"], slow);
    Ok(())
}

#[test]
fn cancelled_calls_stay_silent_or_answer_late() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Legacy)?;
    let silent = client.send("tools/call", json!({"name": "hang", "arguments": {}}))?;
    let late = client.send(
        "tools/call",
        json!({"name": "hang", "arguments": {"late": true}}),
    )?;
    for id in [&silent, &late] {
        client.notify("notifications/cancelled", json!({"requestId": id}))?;
    }
    assert_eq!(client.receive()?["id"], late);
    let last = client.send("ping", json!({}))?;
    assert_eq!(client.receive()?["id"], last);
    Ok(())
}

#[test]
fn writing_badly_changes_no_message() -> Result<()> {
    for flags in [
        &["--split-bytes", "1"][..],
        &["--crlf", "--blank-lines", "2"],
        &["--join-frames", "1", "--split-bytes", "7"],
    ] {
        let mut client = Client::start(&fake(flags)?, Era::Legacy)?;
        let result = client.call("echo", json!({"text": "h\u{e9}llo"}))?;
        assert_eq!(
            result["structuredContent"]["text"], "h\u{e9}llo",
            "{flags:?}"
        );
    }
    let noisy = Client::start(&fake(&["--noise-lines", "1"])?, Era::Legacy);
    assert!(noisy.is_err(), "the reference client tolerates no noise");
    Ok(())
}

#[test]
fn odd_answers_are_odd() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Modern)?;
    let mut odd = |kind: &str| -> Result<(Value, Value)> {
        let call = json!({"name": "odd", "arguments": {"kind": kind}});
        Ok((client.send("tools/call", call)?, client.receive()?))
    };
    let (id, answer) = odd("string-id")?;
    assert_eq!(answer["id"], json!(id.to_string()));
    let (id, answer) = odd("float-id")?;
    assert!(answer["id"].is_f64() && answer["id"].as_f64() == id.as_f64());
    let (_, answer) = odd("result-and-error")?;
    assert!(answer.get("result").is_some() && answer.get("error").is_some());
    let (_, answer) = odd("neither")?;
    assert!(answer.get("result").is_none() && answer.get("error").is_none());
    let (_, answer) = odd("unknown-result-type")?;
    assert_eq!(answer["result"]["resultType"], "zebra");
    let (_, answer) = odd("array")?;
    assert!(answer.is_array());
    let (id, answer) = odd("duplicate")?;
    assert_eq!(answer["id"], id);
    assert_eq!(client.receive()?, answer);
    Ok(())
}

#[test]
fn text_is_spliced_as_it_stands() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Modern)?;
    let result = r#"{ "b":1e2,"a":"\u00e9" }"#;
    assert_eq!(
        client.call("verbatim", json!({"result": result}))?,
        json!({"b": 1e2, "a": "\u{e9}"})
    );
    Ok(())
}

#[test]
fn rounds_collect_the_responses() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Modern)?;
    let mut params = json!({"name": "rounds", "arguments": {"rounds": 2}});
    for round in 1..=2 {
        let result = client.request("tools/call", params.clone())?;
        assert_eq!(result["resultType"], "input_required");
        let key = format!("question-{round}");
        assert_eq!(
            result["inputRequests"][&key]["method"],
            "elicitation/create"
        );
        params["requestState"] = result["requestState"].clone();
        params["inputResponses"] = json!({key: {"action": "accept", "content": {"n": round}}});
    }
    let result = client.request("tools/call", params)?;
    assert_eq!(
        result["structuredContent"]["responses"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    Ok(())
}

#[test]
fn the_client_is_asked_and_its_answer_told() -> Result<()> {
    let mut client = Client::start(&fake(&["--ping-first"])?, Era::Legacy)?;
    let result = client.call("ask", json!({"method": "roots/list"}))?;
    assert_eq!(result["structuredContent"]["error"]["code"], -32601);
    Ok(())
}

#[test]
fn floods_progress_and_changes_arrive_before_the_answer() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Legacy)?;
    for (tool, arguments) in [
        ("flood", json!({"count": 50})),
        ("burst", json!({"count": 50})),
        ("change", json!({"times": 50})),
    ] {
        client.call(tool, arguments)?;
        assert_eq!(client.notifications().len(), 50, "{tool}");
    }
    let progress = json!({
        "name": "progress",
        "arguments": {"steps": 3},
        "_meta": {"progressToken": "mine"},
    });
    client.request("tools/call", progress)?;
    let told = client.notifications();
    let steps: Vec<_> = told
        .iter()
        .map(|told| told["params"]["progress"].as_u64())
        .collect();
    assert_eq!(steps, [Some(1), Some(2), Some(3)]);
    assert_eq!(told[0]["params"]["progressToken"], "mine");
    Ok(())
}

#[test]
fn listeners_of_the_modern_era_hear_of_changes() -> Result<()> {
    let mut client = Client::start(&fake(&["--era", "modern"])?, Era::Modern)?;
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let listen = client.send("subscriptions/listen", filter)?;
    client.call("change", json!({}))?;
    let heard = client.notifications();
    let methods: Vec<_> = heard
        .iter()
        .map(|heard| heard["method"].as_str().unwrap())
        .collect();
    assert_eq!(
        methods,
        [
            "notifications/subscriptions/acknowledged",
            "notifications/tools/list_changed"
        ]
    );
    assert_eq!(
        heard[1]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        listen
    );
    Ok(())
}

#[test]
fn what_was_received_is_on_record() -> Result<()> {
    let scratch = Scratch::new("record")?;
    let path = scratch.path().join("record.jsonl");
    let launch = fake(&["--record"])?.arg(&path);
    let mut client = Client::start(&launch, Era::Legacy)?;
    client.request("ping", json!({}))?;
    client.close()?;
    let record = fs::read_to_string(&path)?;
    let lines: Vec<Value> = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let methods: Vec<_> = lines
        .iter()
        .filter_map(|line| line["method"].as_str())
        .collect();
    assert_eq!(methods, ["initialize", "notifications/initialized", "ping"]);
    assert_eq!(
        (&lines[0], lines.last().unwrap()),
        (&json!("start"), &json!("eof"))
    );
    Ok(())
}

#[test]
fn closing_streams_leaves_the_process() -> Result<()> {
    for tool in ["close-stdout", "close-stdin"] {
        let marker = Marker::new();
        let mut client = Client::start(&marker.mark(fake(&[])?), Era::Legacy)?;
        let pid = marker.present(1)?[0].pid;
        client.send("tools/call", json!({"name": tool, "arguments": {}}))?;
        if tool == "close-stdout" {
            assert!(client.receive().is_err());
        } else {
            while client.notify("notifications/any", json!({})).is_ok() {}
        }
        assert_eq!(marker.present(1)?[0].pid, pid, "{tool}");
    }
    Ok(())
}

#[test]
fn deaf_servers_and_grandchildren_stay() -> Result<()> {
    let marker = Marker::new();
    let flags = [
        "--ignore-sigterm",
        "--ignore-eof",
        "--grandchild",
        "own-group",
    ];
    let mut client = Client::start(&marker.mark(fake(&flags)?), Era::Legacy)?;
    let before = marker.present(2)?;
    assert_eq!(before.len(), 2);
    let server = before
        .iter()
        .find(|process| !process.command.contains("linger"))
        .unwrap();
    signal(server.pid, "TERM")?;
    client.request("ping", json!({}))?;
    assert_eq!(marker.processes()?, before);
    Ok(())
}

#[test]
fn a_giant_line_needs_no_giant_server() -> Result<()> {
    let mut client = Client::start(&fake(&[])?, Era::Legacy)?;
    let begun = Instant::now();
    client.send(
        "tools/call",
        json!({"name": "line", "arguments": {"bytes": 64_000_000}}),
    )?;
    let error = client.receive().unwrap_err();
    assert!(
        error.to_string().contains("expected value"),
        "{error} after {:?}",
        begun.elapsed()
    );
    Ok(())
}

fn fake(flags: &[&str]) -> Result<Launch> {
    Ok(Launch::new(fake_server()?).args(flags))
}

/// The code of the error that a server answered with.
fn code<T>(outcome: Result<T>) -> Result<Value> {
    match outcome {
        Ok(_) => Err("the server did not refuse".into()),
        Err(error) => Ok(error
            .downcast::<RpcError>()?
            .0
            .get("code")
            .cloned()
            .unwrap_or_default()),
    }
}
