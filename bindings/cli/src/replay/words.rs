//! What a fleet was told, does and tells, in words.

use std::collections::BTreeMap;

use mcp_fleet_core::{
    CallId, Deadline, Effect, Event, Input, LinkId, McpCommand, Reply, Request, ServerId,
    ServerName, Signal,
    config::{Kind, ServerConfig},
};
use serde_json::{Map, Value};

use crate::output;

/// No text of a peer takes more of a line.
const TEXT_CHARACTERS_MAX: usize = 100;

/// Which names and calls belong to which server, as far as the journal has told.
#[derive(Debug, Default)]
pub(super) struct Names {
    servers: BTreeMap<ServerId, ServerName>,
    calls: BTreeMap<CallId, String>,
}

/// A line of words, and the server it is about.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) server: Option<String>,
    pub(super) words: String,
}

impl Said {
    fn of(server: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            server: Some(server.into()),
            words: words.into(),
        }
    }

    fn of_all(words: impl Into<String>) -> Self {
        Self {
            server: None,
            words: words.into(),
        }
    }
}

impl Names {
    /// Learns whose calls and links those of this turn are.
    pub(super) fn learn(&mut self, input: Option<&Input>, effects: &[Effect]) {
        if let Some(Input::Command(McpCommand::Execute { call, server, .. })) = input {
            self.calls.insert(*call, server.clone());
        }
        for effect in effects {
            if let Effect::Open { link, server, .. } = effect {
                self.servers.insert(link.server, server.clone());
            }
        }
    }

    fn server(&self, id: ServerId) -> String {
        self.servers
            .get(&id)
            .map_or_else(|| format!("server {}", id.0), ToString::to_string)
    }

    fn link(&self, link: LinkId) -> String {
        format!("{}#{}", self.server(link.server), link.incarnation)
    }

    /// What the fleet was told. `due` is the deadline that had passed, where one had.
    pub(super) fn input(&self, input: Option<&Input>, due: Option<Deadline>) -> Said {
        match (input, due) {
            (Some(Input::Command(command)), _) => self.command(command),
            (Some(Input::Signal(signal)), _) => self.signal(signal),
            (None, Some(due)) => Said::of(
                self.server(due.server),
                format!("deadline of {}", self.deadline(due)),
            ),
            (None, None) => Said::of_all("wakes up"),
        }
    }

    /// Whose deadline it is, and for what.
    pub(super) fn deadline(&self, deadline: Deadline) -> String {
        let timer = snake(&format!("{:?}", deadline.timer));
        format!("{}: {timer}", self.server(deadline.server))
    }

    fn command(&self, command: &McpCommand) -> Said {
        let of_some = |server: &Option<String>, words: &str| match server {
            Some(server) => Said::of(server, format!("{words} of {server}")),
            None => Said::of_all(format!("{words} of all servers")),
        };
        match command {
            McpCommand::Deploy { config, .. } => of_config("deploy", config),
            McpCommand::UpdateConfig { config, .. } => of_config("update", config),
            McpCommand::Undeploy { server, .. } => Said::of(server, format!("undeploy {server}")),
            McpCommand::Restart { server, .. } => Said::of(server, format!("restart {server}")),
            McpCommand::Execute {
                call,
                server,
                request,
                ..
            } => {
                let what = match request {
                    Request::Tool { name, arguments } => {
                        let arguments = arguments.as_ref().map_or("", |json| json.as_str());
                        format!("{name} {arguments}")
                    }
                    Request::Method { method, params } => {
                        let params = params.as_ref().map_or("", |json| json.as_str());
                        format!("{method} {params}")
                    }
                };
                Said::of(
                    server,
                    format!("call {} of {server}: {}", call.0, shortened(&what)),
                )
            }
            McpCommand::Cancel { call, reason } => {
                let reason = reason
                    .as_ref()
                    .map_or_else(String::new, |why| format!(": {}", shortened(why)));
                self.of_call(*call, format!("cancel call {}{reason}", call.0))
            }
            McpCommand::HealthCheck { server, .. } => of_some(server, "health check"),
            McpCommand::GetMetrics { server, .. } => of_some(server, "metrics"),
            McpCommand::ListServers { .. } => Said::of_all("list servers"),
            McpCommand::ListCatalog { server, kind, .. } => Said::of(
                server,
                format!("list {} of {server}", snake(&format!("{kind:?}"))),
            ),
            McpCommand::Answer { input, answer, .. } => Said::of_all(format!(
                "answer question {}: {}",
                input.0,
                match answer {
                    Ok(json) => shortened(json.as_str()),
                    Err(error) => error.to_string(),
                }
            )),
            McpCommand::Shutdown { .. } => Said::of_all("shut down"),
            McpCommand::Reload { config, .. } => {
                let servers = output::count(config.servers.len(), "server");
                Said::of_all(format!("reload {servers}"))
            }
            McpCommand::ClientGone { client, .. } => {
                Said::of_all(format!("client {} is gone", client.0))
            }
            _ => Said::of_all(shortened(&format!("{command:?}"))),
        }
    }

    fn signal(&self, signal: &Signal) -> Said {
        let link = self.link(signal.link());
        let words = match signal {
            Signal::Opened { pid, .. } => {
                let pid = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
                format!("{link} opened{pid}")
            }
            Signal::OpenFailed { message, .. } => {
                format!("{link} cannot open: {}", shortened(message))
            }
            Signal::Bytes { bytes, .. } => format!("{link} says {}", chunk(bytes)),
            Signal::Eof { .. } => format!("{link} ended its output"),
            Signal::Wrote { bytes, .. } => format!("{link} took {bytes} bytes"),
            Signal::WriteFailed { message, .. } => {
                format!("{link} takes nothing more: {}", shortened(message))
            }
            Signal::Stderr { bytes, dropped, .. } => {
                let dropped = if *dropped > 0 {
                    format!(" after {dropped} that were left out")
                } else {
                    String::new()
                };
                format!("{link} logs {}{dropped}", chunk(bytes))
            }
            Signal::Exited { exit, .. } => format!("{link} exited: {exit}"),
            Signal::Closed { .. } => format!("{link} is gone"),
            _ => format!("{link}: {}", shortened(&format!("{signal:?}"))),
        };
        Said::of(self.server(signal.link().server), words)
    }

    /// What the fleet wants done.
    pub(super) fn effect(&self, effect: &Effect) -> Said {
        let link = self.link(effect.link());
        let words = match effect {
            Effect::Open { kind, .. } => format!("open {link}: {}", shortened(&reached_by(kind))),
            Effect::Send { bytes, .. } => format!("send {link} {}", chunk(bytes)),
            Effect::CloseInput { .. } => format!("close the input of {link}"),
            Effect::Terminate { .. } => format!("terminate {link}"),
            Effect::Kill { .. } => format!("kill {link}"),
            Effect::Abandon { .. } => format!("give up {link}"),
        };
        Said::of(self.server(effect.link().server), words)
    }

    /// What the fleet tells.
    pub(super) fn event(&self, event: &Event) -> Said {
        match event {
            Event::CommandEnded { id, outcome } => Said::of_all(format!(
                "command {} ended: {}",
                id.0,
                match outcome {
                    Ok(reply) => reply_words(reply),
                    Err(error) => shortened(&error.to_string()),
                }
            )),
            Event::CallEnded { call, outcome } => self.of_call(
                *call,
                match outcome {
                    Ok(result) => format!("call {} ended: {}", call.0, shortened(result.as_str())),
                    Err(error) => {
                        format!("call {} failed: {}", call.0, shortened(&error.to_string()))
                    }
                },
            ),
            Event::CallProgress {
                call,
                progress,
                total,
                message,
            } => {
                let total = total.map_or_else(String::new, |total| format!(" of {total}"));
                let message = message
                    .as_ref()
                    .map_or_else(String::new, |text| format!(": {}", shortened(text)));
                self.of_call(
                    *call,
                    format!("call {} is at {progress}{total}{message}", call.0),
                )
            }
            Event::ServerChanged {
                server,
                replica,
                incarnation,
                state,
                failure,
                waiting,
            } => {
                let replica = of_replica(*replica);
                let why = match (failure, waiting) {
                    (Some(failure), _) => format!(": {}", shortened(&failure.to_string())),
                    (None, Some(waiting)) => format!(" for {waiting}"),
                    (None, None) => String::new(),
                };
                Said::of(
                    server.as_str(),
                    format!("{server}{replica}#{incarnation} is {state}{why}"),
                )
            }
            Event::RolledBack { server, error } => Said::of(
                server.as_str(),
                format!(
                    "{server} has its configuration before again: {}",
                    shortened(&error.to_string())
                ),
            ),
            Event::CatalogChanged {
                server,
                kind,
                entries,
            } => {
                let kind = snake(&format!("{kind:?}"));
                Said::of(server.as_str(), format!("{server} has {kind}: {entries}"))
            }
            Event::InputRequested {
                input,
                server,
                method,
                ..
            } => Said::of(
                server.as_str(),
                format!("{server} asks question {}: {method}", input.0),
            ),
            Event::InputWithdrawn { input } => {
                Said::of_all(format!("question {} needs no answer any more", input.0))
            }
            Event::Notified { server, method, .. } => {
                Said::of(server.as_str(), format!("{server} notifies: {method}"))
            }
            Event::Violation { server, message } => Said::of(
                server.as_str(),
                format!("{server} broke the protocol: {}", shortened(message)),
            ),
            Event::BreakerChanged {
                server,
                replica,
                state,
            } => {
                let replica = of_replica(*replica);
                Said::of(
                    server.as_str(),
                    format!("the breaker of {server}{replica} is {state}"),
                )
            }
            Event::Abandoned {
                server,
                replica,
                incarnation,
                pid,
            } => {
                let process = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
                let replica = of_replica(*replica);
                let text =
                    format!("{server}{replica}#{incarnation} is left to the system{process}");
                Said::of(server.as_str(), text)
            }
            _ => Said::of_all(shortened(&format!("{event:?}"))),
        }
    }

    fn of_call(&self, call: CallId, words: String) -> Said {
        Said {
            server: self.calls.get(&call).cloned(),
            words,
        }
    }
}

/// What tells one replica from the first.
fn of_replica(replica: u32) -> String {
    match replica {
        0 => String::new(),
        replica => format!(".{replica}"),
    }
}

fn of_config(verb: &str, config: &ServerConfig) -> Said {
    let name = config.name.as_str();
    let how = shortened(&reached_by(&config.kind));
    Said::of(name, format!("{verb} {name}: {how}"))
}

fn reached_by(kind: &Kind) -> String {
    match kind {
        Kind::Stdio(stdio) => {
            let mut words = vec![stdio.command.as_str()];
            words.extend(stdio.args.iter().map(String::as_str));
            words.join(" ")
        }
        Kind::Http(http) => http.url.clone(),
        Kind::InProcess | Kind::Attached | _ => kind.as_str().to_owned(),
    }
}

fn reply_words(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".to_owned(),
        Reply::Servers(servers) => output::count(servers.len(), "server"),
        Reply::Catalog(entries) => {
            output::count(entries.len(), "entry").replace("entrys", "entries")
        }
        Reply::Health(health) => {
            let healthy = health.iter().filter(|one| one.is_healthy()).count();
            format!(
                "{healthy} of {} healthy",
                output::count(health.len(), "server")
            )
        }
        Reply::Metrics(stats) => format!("metrics of {}", output::count(stats.servers, "server")),
        Reply::Reloaded(report) => {
            let parts = [
                (report.added.len(), "added"),
                (report.removed.len(), "removed"),
                (report.replaced.len(), "replaced"),
                (report.retuned.len(), "retuned"),
                (report.unchanged.len(), "unchanged"),
                (report.failed.len(), "failed"),
            ];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<_> = parts
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            format!("reloaded: {}", parts.join(", "))
        }
        _ => shortened(&format!("{reply:?}")),
    }
}

/// Bytes as text on one line, and how many they are. Of a message, what tells it from others comes
/// first.
fn chunk(bytes: &[u8]) -> String {
    let lines = bytes.split(|byte| *byte == b'\n');
    let messages: Option<Vec<String>> =
        lines.filter(|line| !line.is_empty()).map(message).collect();
    let text = match messages {
        Some(messages) => shortened(&messages.join(" | ")),
        None => shortened(&String::from_utf8_lossy(bytes)),
    };
    format!("{} bytes: {text}", bytes.len())
}

/// A message as `7 tools/call {..}`, `7 result {..}`, `7 error {..}`, without its `_meta`.
fn message(bytes: &[u8]) -> Option<String> {
    let message: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let id = message.get("id").map(|id| format!("{id} "));
    let method = message.get("method").and_then(Value::as_str);
    let (word, mut body) = match method {
        Some(method) => (method, message.get("params").cloned()),
        None => ["result", "error"]
            .into_iter()
            .find_map(|word| message.get(word).map(|body| (word, Some(body.clone()))))?,
    };
    if let Some(Value::Object(members)) = &mut body {
        members.remove("_meta");
    }
    let body = body.map(|body| format!(" {body}")).unwrap_or_default();
    Some(format!("{}{word}{body}", id.unwrap_or_default()))
}

/// The beginning of a text, on one line.
pub(super) fn shortened(text: &str) -> String {
    let text = text.trim_end();
    let mut out = String::new();
    let mut characters = text.chars();
    for c in characters.by_ref().take(TEXT_CHARACTERS_MAX) {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    if !characters.as_str().is_empty() {
        out.push('…');
    }
    output::plain(&out)
}

/// The name of a variant as people write it.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_peers_stay_on_their_line() {
        assert_eq!(shortened("a\r\nb\u{1b}[2J\n"), "a\\r\\nb\u{fffd}[2J");
        let long = "x".repeat(TEXT_CHARACTERS_MAX + 1);
        assert_eq!(shortened(&long).chars().count(), TEXT_CHARACTERS_MAX + 1);
        assert!(shortened(&long).ends_with('…'));
        assert_eq!(snake("CloseInput"), "close input");
    }

    #[test]
    fn a_message_begins_with_what_tells_it_from_others() {
        for (message, words) in [
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"m","params":{"_meta":{"a":1},"b":2}}"#,
                r#"7 m {"b":2}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":"x","result":{}}"#,
                r#""x" result {}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":1}}"#,
                r#"7 error {"code":1}"#,
            ),
            (r#"{"jsonrpc":"2.0","method":"m"}"#, "m"),
            (r#"{"other":1}"#, r#"{"other":1}"#),
            ("{\"method\":\"m\"}\n{\"method\":\"n\"}\n", "m | n"),
        ] {
            let bytes = message.len();
            assert_eq!(chunk(message.as_bytes()), format!("{bytes} bytes: {words}"));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_all_the_same() {
        assert_eq!(chunk(b"a\xff\n"), "3 bytes: a\u{fffd}");
    }
}
