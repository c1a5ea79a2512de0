//! What `mcp-fleet` writes to a server, and how it takes what the server answers, seen from the
//! server's end of the pipe. P21 and its like are requirements of the protocol, by number.

use mcp_fleet_tests::{Bench, Result};
use serde_json::{Value, json};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// P21, P22, P33
#[test]
fn every_request_of_the_modern_era_carries_the_envelope() -> Result<()> {
    let bench = Bench::new(&json!({"era": "modern"}))?;
    bench.call("echo", &json!({"a": 1}))?.json(0)?;
    assert_eq!(
        bench.methods()?.first().map(String::as_str),
        Some("server/discover")
    );
    for request in bench.requests()? {
        let meta = &request["params"]["_meta"];
        assert_eq!(meta[VERSION], "2026-07-28", "{request}");
        assert!(
            meta[CAPABILITIES].is_object() && meta[CLIENT_INFO].is_object(),
            "{request}"
        );
    }
    assert_eq!(
        bench.count("initialize")? + bench.count("notifications/initialized")?,
        0
    );
    Ok(())
}

/// P1, P2, P3, P4, P53, P55, P56
#[test]
fn every_line_is_one_message_with_an_id_of_its_own() -> Result<()> {
    for era in ["legacy", "modern"] {
        let bench = Bench::new(&json!({"era": era, "pageSize": 4}))?;
        bench
            .call(
                "echo",
                &json!({"text": "line\nbreak \u{2028} \r\n \u{1f980}"}),
            )?
            .json(0)?;
        let frames = bench.frames()?;
        assert!(
            frames.iter().all(|frame| frame["jsonrpc"] == "2.0"),
            "{frames:#?}"
        );
        let requests = bench.requests()?;
        assert!(
            requests
                .iter()
                .all(|request| request["id"].is_u64() || request["id"].is_string())
        );
        let mut ids: Vec<_> = requests
            .iter()
            .map(|request| request["id"].to_string())
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), requests.len(), "{era}");
    }
    Ok(())
}

/// P34, P43
#[test]
fn whatever_a_legacy_server_says_to_the_probe_it_is_initialized() -> Result<()> {
    for answer in [
        json!(-32601),
        json!(-32602),
        json!(-32000),
        json!("silence"),
        json!("garbage"),
    ] {
        let bench = Bench::new(&json!({"era": "legacy", "discover": answer}))?;
        let result = bench.call("echo", &json!({"a": 1}))?.json(0)?;
        assert_eq!(result["structuredContent"], json!({"a": 1}), "{answer}");
        let methods = bench.methods()?;
        let handshake = ["server/discover", "initialize", "notifications/initialized"];
        assert_eq!(
            methods.get(..3),
            Some(&handshake.map(str::to_owned)[..]),
            "{answer}"
        );
    }
    Ok(())
}

/// P36
#[test]
fn a_server_that_the_probe_ends_is_started_anew_and_initialized() -> Result<()> {
    for answer in ["exit", "close-stdout"] {
        let bench = Bench::new(&json!({"era": "legacy", "discover": answer}))?;
        bench.call("echo", &json!({}))?.json(0)?;
        let record = bench.record()?;
        let starts = record.iter().filter(|line| **line == "start").count();
        assert_eq!(
            (starts, bench.count("server/discover")?),
            (2, 1),
            "{answer}"
        );
    }
    Ok(())
}

/// P26, P35
#[test]
fn a_modern_error_never_leads_to_initialize() -> Result<()> {
    for answer in [json!("unsupported"), json!(-32020), json!(-32021)] {
        let bench = Bench::new(&json!({"era": "modern", "discover": answer}))?;
        let output = bench.call("echo", &json!({}))?;
        assert_eq!(output.status.code(), Some(3), "{answer}: {output:?}");
        assert_eq!(bench.count("initialize")?, 0, "{answer}");
        assert!(bench.count("server/discover")? <= 2, "{answer}");
    }
    Ok(())
}

/// P40
#[test]
fn a_server_that_supports_only_old_revisions_is_initialized() -> Result<()> {
    let script = json!({"revisions": ["2025-06-18"], "discover": "unsupported"});
    let bench = Bench::new(&script)?;
    bench.call("echo", &json!({}))?.json(0)?;
    assert_eq!(bench.count("initialize")?, 1);
    Ok(())
}

/// P44, P45
#[test]
fn an_unknown_revision_ends_the_session() -> Result<()> {
    for version in ["1999-01-01", "2026-07-28"] {
        let bench = Bench::new(&json!({"era": "legacy", "answerVersion": version}))?;
        let output = bench.call("echo", &json!({}))?;
        assert_eq!(output.status.code(), Some(3), "{version}: {output:?}");
        assert_eq!(bench.count("notifications/initialized")?, 0, "{version}");
    }
    Ok(())
}

/// P46
#[test]
fn initialize_is_never_cancelled() -> Result<()> {
    let bench = Bench::new(&json!({"era": "legacy", "initialize": "silence"}))?;
    let bench = bench.with("startTimeoutMs", json!(800));
    let output = bench.call("echo", &json!({}))?;
    assert!(matches!(output.status.code(), Some(3 | 4)), "{output:?}");
    assert_eq!(bench.count("initialize")?, 1);
    assert_eq!(bench.count("notifications/cancelled")?, 0);
    Ok(())
}

/// P48, P49
#[test]
fn a_ping_before_the_session_is_open_is_answered() -> Result<()> {
    let bench = Bench::new(&json!({"era": "legacy", "pingFirst": true}))?;
    bench.call("echo", &json!({}))?.json(0)?;
    Ok(())
}

/// P16
#[test]
fn a_request_of_a_modern_server_is_not_answered() -> Result<()> {
    let bench = Bench::new(&json!({"era": "modern"}))?;
    bench
        .call("ask", &json!({"method": "ping", "wait": false}))?
        .json(0)?;
    assert!(
        bench
            .frames()?
            .iter()
            .all(|frame| frame.get("method").is_some())
    );
    Ok(())
}

/// P47
#[test]
fn what_was_not_offered_is_refused() -> Result<()> {
    for method in [
        "roots/list",
        "sampling/createMessage",
        "elicitation/create",
        "zebra",
    ] {
        let bench = Bench::new(&json!({"era": "legacy"}))?;
        let result = bench.call("ask", &json!({"method": method}))?.json(0)?;
        let code = &result["structuredContent"]["error"]["code"];
        assert!(*code == -32601 || *code == -32602, "{method}: {result}");
    }
    Ok(())
}

/// P9, P17, and what else can be understood after all
#[test]
fn odd_but_clear_answers_are_taken() -> Result<()> {
    let kinds = [
        "normal",
        "string-id",
        "float-id",
        "duplicate",
        "unknown-id-first",
        "no-result-type",
        "invalid-utf8",
    ];
    for era in ["legacy", "modern"] {
        for kind in kinds {
            let bench = Bench::new(&json!({"era": era}))?;
            let output = bench.call("odd", &json!({"kind": kind}))?;
            assert_eq!(output.status.code(), Some(0), "{era}, {kind}: {output:?}");
        }
    }
    Ok(())
}

/// P6, P10, P17
#[test]
fn answers_that_cannot_be_right_fail_the_call() -> Result<()> {
    let kinds = ["result-and-error", "neither", "unknown-result-type"];
    for kind in kinds {
        let bench = Bench::new(&json!({"era": "modern"}))?;
        let output = bench.call("odd", &json!({"kind": kind}))?;
        assert!(
            !output.status.success() && output.status.code().is_some(),
            "{kind}: {output:?}"
        );
    }
    Ok(())
}

/// P55, P57, P58, P59
#[test]
fn bad_writing_changes_nothing() -> Result<()> {
    for script in [
        json!({"splitBytes": 1}),
        json!({"crlf": true, "blankLines": 2}),
        json!({"noiseLines": 3}),
        json!({"stdoutAtStart": ["banner", "", "[1, 2", "{}"]}),
        json!({"stderrAtStart": "ERROR: not really\n", "stderrFlood": 4_000_000}),
    ] {
        let bench = Bench::new(&script)?;
        let text = json!({"text": "h\u{e9}llo \u{1f980}"});
        let result = bench
            .call("echo", &text)?
            .json(0)
            .map_err(|e| format!("{script}: {e}"))?;
        assert_eq!(result["structuredContent"], text, "{script}");
    }
    Ok(())
}

#[test]
fn a_call_that_takes_too_long_is_cancelled_at_the_server() -> Result<()> {
    for era in ["legacy", "modern"] {
        let bench = Bench::new(&json!({"era": era}))?;
        let bench = bench.with("timeoutMs", json!(300));
        let output = bench.call("hang", &json!({}))?;
        assert_eq!(output.status.code(), Some(4), "{era}: {output:?}");
        let frames = bench.frames()?;
        let call = frames
            .iter()
            .find(|frame| frame["method"] == "tools/call")
            .unwrap();
        let cancel = frames
            .iter()
            .find(|frame| frame["method"] == "notifications/cancelled");
        assert_eq!(
            cancel.map(|cancel| &cancel["params"]["requestId"]),
            Some(&call["id"]),
            "{era}"
        );
    }
    Ok(())
}

#[test]
fn rounds_without_questions_are_repeated_with_their_state() -> Result<()> {
    let bench = Bench::new(&json!({"era": "modern"}))?;
    let result = bench
        .call("rounds", &json!({"rounds": 2, "stateOnly": true}))?
        .json(0)?;
    assert_eq!(
        result["structuredContent"]["responses"],
        json!([null, null])
    );
    let states: Vec<_> = bench
        .requests()?
        .into_iter()
        .filter(|request| request["method"] == "tools/call")
        .map(|request| request["params"]["requestState"].clone())
        .collect();
    assert_eq!(states, [Value::Null, json!("[]"), json!("[null]")]);
    Ok(())
}

#[test]
fn pages_are_read_to_their_end() -> Result<()> {
    let whole = Bench::new(&json!({}))?.run("tools", &[])?.json(0)?;
    assert!(
        whole["fake"]
            .as_array()
            .is_some_and(|tools| tools.len() > 4)
    );
    for cursors in ["plain", "empty"] {
        let bench = Bench::new(&json!({"pageSize": 2, "cursors": cursors}))?;
        assert_eq!(bench.run("tools", &[])?.json(0)?, whole, "{cursors}");
    }
    Ok(())
}

#[test]
fn pages_without_end_are_left() -> Result<()> {
    for cursors in ["loop", "stuck", "endless"] {
        let bench = Bench::new(&json!({"pageSize": 2, "cursors": cursors}))?;
        let bench = bench.with("maxPages", json!(50));
        let output = bench.run("tools", &[])?;
        assert!(output.status.code().is_some(), "{cursors}: {output:?}");
        assert!(bench.count("tools/list")? <= 50, "{cursors}");
    }
    Ok(())
}

#[test]
fn a_server_gets_no_variable_that_is_not_declared() -> Result<()> {
    let bench = Bench::new(&json!({}))?;
    let result = bench.call("process", &json!({}))?.json(0)?;
    let environment = result["structuredContent"]["environment"]
        .as_object()
        .unwrap();
    let allowed = [
        "PATH",
        "HOME",
        "LANG",
        "TZ",
        "TMPDIR",
        "USER",
        "SHELL",
        "DECLARED",
        "MCP_FLEET_SERVER",
        "MCP_FLEET_LINK",
    ];
    let strange: Vec<_> = environment
        .keys()
        .filter(|name| !allowed.contains(&name.as_str()) && !name.starts_with("LC_"))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert_eq!(environment["DECLARED"], "yes");
    assert_eq!(
        result["structuredContent"]["directory"],
        json!(bench.directory())
    );
    Ok(())
}

/// P60
#[test]
fn the_end_begins_with_the_end_of_standard_input() -> Result<()> {
    let bench = Bench::new(&json!({}))?;
    bench.call("echo", &json!({}))?.json(0)?;
    assert_eq!(bench.record()?.last(), Some(&json!("eof")));
    Ok(())
}
