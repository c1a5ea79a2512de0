//! How the story of a scenario is told: everything that both runtimes must agree on, and nothing
//! that differs from one run to the next.

use std::{collections::BTreeMap, fmt::Debug, fmt::Write as _};

use mcp_fleet_core::{CallError, Event, RawJson, ServerInfo, ServerStats};
use mcp_fleet_driver::{ExecuteError, ManageError};
use serde_json::{Value, json};

/// Longer lines are told by their beginning, their length and a checksum.
const LINE_MAX: usize = 1000;
const BEGINNING: usize = 60;
/// What a fake server records when it starts.
const START: &str = "start";

/// Text that may be long.
pub(crate) trait Abridge {
    fn abridged(&self) -> String;
}

impl Abridge for str {
    fn abridged(&self) -> String {
        if self.len() <= LINE_MAX {
            return self.to_owned();
        }
        let beginning: String = self.chars().take(BEGINNING).collect();
        let (length, sum) = (self.len(), checksum(self));
        format!("{beginning}... ({length} bytes, checksum {sum:016x})")
    }
}

/// FNV-1a: the same everywhere and for ever.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The outcome of a call.
pub(crate) fn call(outcome: &Result<RawJson, ExecuteError>) -> String {
    match outcome {
        Ok(result) => result.as_str().abridged(),
        // How long to wait is told by the latencies so far.
        Err(ExecuteError::Call(CallError::Overloaded { server, .. })) => {
            format!("Overloaded {{ server: {server:?} }}")
        }
        Err(ExecuteError::Call(error)) => format!("{error:?}").abridged(),
        Err(error) => format!("{error:?}"),
    }
}

/// The outcome of a command.
pub(crate) fn command<T: Debug>(outcome: &Result<T, ManageError>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}"),
        Err(ManageError::Command(error)) => format!("{error:?}"),
        Err(error) => format!("{error:?}"),
    }
}

/// The counts that are not zero; latencies are left out.
pub(crate) fn counts(stats: &ServerStats) -> String {
    let mut value = serde_json::to_value(stats).unwrap();
    let members = value.as_object_mut().unwrap();
    members.remove("latency");
    if let Some(Value::Object(errors)) = members.get_mut("errors") {
        errors.retain(|_, count| *count != 0);
    }
    members.retain(|name, count| {
        // These two are always told: they are what must go back to zero.
        name == "in_flight" || name == "queued" || (*count != 0 && *count != json!({}))
    });
    value.to_string()
}

/// What is known of a server, but for its process and its counts.
pub(crate) fn info(info: &ServerInfo) -> String {
    let mut value = serde_json::to_value(info).unwrap();
    let members = value.as_object_mut().unwrap();
    members.remove("stats");
    members.remove("replicas");
    if let Some(pid) = members.get_mut("pid").filter(|pid| pid.is_number()) {
        *pid = json!("<pid>");
    }
    members.retain(|_, member| !member.is_null());
    value.to_string()
}

/// Events by server. Those of different servers have no order among them.
pub(crate) fn events(events: &[Event]) -> BTreeMap<String, String> {
    let mut asking = BTreeMap::new();
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        let (server, line) = match event {
            Event::ServerChanged {
                server,
                incarnation,
                state,
                failure,
                waiting,
                ..
            } => {
                let failure = failure.as_ref().map(|failure| format!(": {failure:?}"));
                let waiting = waiting.as_ref().map(|waiting| format!(" for {waiting}"));
                let why = failure.or(waiting).unwrap_or_default();
                let line = format!("#{incarnation} {state}{why}");
                (server.to_string(), line)
            }
            Event::CatalogChanged {
                server,
                kind,
                entries,
            } => (server.to_string(), format!("has {entries} {kind:?}")),
            Event::InputRequested {
                input,
                server,
                call,
                method,
                params,
            } => {
                asking.insert(*input, server.to_string());
                let cause = if call.is_some() { " for a call" } else { "" };
                let params = params.as_ref().map_or("", RawJson::as_str);
                (
                    server.to_string(),
                    format!("asks {input:?}{cause}: {method} {params}"),
                )
            }
            Event::InputWithdrawn { input } => (
                asking.get(input).unwrap().clone(),
                format!("withdraws {input:?}"),
            ),
            Event::Notified {
                server,
                method,
                params,
            } => {
                let params = params.as_ref().map_or("", RawJson::as_str);
                (
                    server.to_string(),
                    format!("notifies {method} {params}").abridged(),
                )
            }
            Event::Abandoned { server, .. } => (server.to_string(), "is abandoned".to_owned()),
            Event::Violation { server, message } => (
                server.to_string(),
                format!("violates: {message}").abridged(),
            ),
            other => panic!("subscribers do not get {other:?}"),
        };
        let lines = told.entry(server).or_default();
        writeln!(lines, "{line}").unwrap();
    }
    told
}

/// One line of what a server received: a message, or a word of the server's own.
pub(crate) fn frame(line: &str) -> String {
    let mut frame = match serde_json::from_str(line).unwrap() {
        Value::Object(frame) => frame,
        Value::String(word) if word == START || word == "eof" => return word,
        other => panic!("no message was sent to a server: {other}"),
    };
    assert_eq!(frame.remove("jsonrpc"), Some(json!("2.0")), "{line}");
    let (id, method) = (frame.remove("id"), frame.remove("method"));
    let Some(Value::String(method)) = method else {
        return format!("answer to {}: {}", id.unwrap(), Value::Object(frame));
    };
    let mut words = id.map_or_else(|| method.clone(), |id| format!("{id} {method}"));
    let mut params = frame.remove("params");
    let meta = params
        .as_mut()
        .and_then(Value::as_object_mut)
        .and_then(|params| params.remove("_meta"));
    if let Some(params) = params.filter(|params| *params != json!({})) {
        write!(words, " {params}").unwrap();
    }
    if let Some(Value::Object(mut meta)) = meta {
        if let Some(envelope) = envelope(&mut meta) {
            write!(words, " {envelope}").unwrap();
        }
        if !meta.is_empty() {
            write!(words, " _meta {}", Value::Object(meta)).unwrap();
        }
    }
    assert!(frame.is_empty(), "more than a message: {line}");
    words
}

/// Ids of requests grow throughout the life of a process, so that none is ever used twice.
pub(crate) fn check_ids(record: &str) {
    let mut last = 0;
    for line in record.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        if value == START {
            last = 0;
        } else if value["method"].is_string()
            && let Some(id) = value.get("id")
        {
            let id = id.as_u64().expect("our ids are numbers");
            assert!(id > last, "id {id} after {last}");
            last = id;
        }
    }
}

/// Takes the whole envelope of the modern era, and nothing less, out of `_meta`.
fn envelope(meta: &mut serde_json::Map<String, Value>) -> Option<String> {
    let name = |member: &str| format!("io.modelcontextprotocol/{member}");
    let version = meta.remove(&name("protocolVersion"))?;
    let info = meta.remove(&name("clientInfo"))?;
    let capabilities = meta.remove(&name("clientCapabilities"))?;
    assert_eq!(version, "2026-07-28");
    assert_eq!(
        info,
        json!({"name": "mcp-fleet", "version": env!("CARGO_PKG_VERSION")})
    );
    if capabilities == json!({}) {
        return Some("+envelope".to_owned());
    }
    Some(format!("+envelope of {capabilities}"))
}
