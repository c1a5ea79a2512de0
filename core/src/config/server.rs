//! One server of a file.

use std::collections::BTreeMap;

use jsonc_parser::{
    ast::{ObjectProp, StringLit, Value},
    common::Ranged,
};

use super::{
    Probes, ServerConfig, ServerLimits,
    draft::{Draft, Transport},
    expand::Tilde,
    idle::Sight,
    keys::{Place, Slot},
    path::{Path, shown},
    supervision::{REPLACES, RESTARTS, RETRIES, SCOPES, STARTS},
    url,
    values::{Given, Reader},
};
use crate::ids::ServerName;

impl Reader<'_> {
    /// Reads one server; it is absent where an error was reported.
    pub(super) fn server(
        &mut self,
        path: &Path<'_>,
        prop: &ObjectProp<'_>,
        defaults: &ServerLimits,
    ) -> Option<ServerConfig> {
        let name = self.server_name(path, prop);
        let object = self.object(path, &prop.value)?;
        let mut draft = Draft {
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            transport: None,
            url: None,
            headers: BTreeMap::new(),
            enabled: None,
            disabled: None,
            restart: None,
            start: None,
            scope: None,
            after: Vec::new(),
            group: None,
            probes: Probes::default(),
            retry: None,
            replace: None,
            limits: defaults.clone(),
            timeout: None,
            probe_timeout: None,
            given: Vec::new(),
            local: Vec::new(),
            remote: Vec::new(),
        };
        for entry in self.entries(Place::Server, path, object) {
            let path = &path.key(entry.key.name);
            let (offset, value) = (entry.offset, entry.value);
            match entry.key.slot {
                Slot::Command => {
                    let (offset, value) = (value.start(), self.expanded(path, value, Tilde::Home));
                    draft.command = Some(Given { offset, value });
                }
                Slot::Args => {
                    draft.args = self.expanded_list(path, value);
                    if !draft.args.is_empty() {
                        draft.local.push((offset, entry.key.name));
                    }
                }
                Slot::Env => {
                    draft.env = self.env(path, value);
                    if !draft.env.is_empty() {
                        draft.local.push((offset, entry.key.name));
                    }
                }
                Slot::EnvFile => self.report.error(
                    offset,
                    path,
                    "files of variables are not read",
                    "write the variables into `env`, or set them where mcp-fleet is started and \
                     refer to them as `${NAME}` in `env`",
                ),
                Slot::Cwd => {
                    draft.cwd = self.expanded(path, value, Tilde::Home);
                    draft.local.push((offset, entry.key.name));
                }
                Slot::Type => {
                    let value = self.transport(path, value);
                    draft.transport = Some(Given { offset, value });
                }
                Slot::Url => {
                    let value = self.url(path, value);
                    draft.url = Some(Given { offset, value });
                }
                Slot::Headers => {
                    draft.headers = self.headers(path, value);
                    if !draft.headers.is_empty() {
                        draft.remote.push((offset, entry.key.name));
                    }
                }
                Slot::Enabled => {
                    let value = self.flag(path, value);
                    draft.enabled = Some(Given { offset, value });
                }
                Slot::Disabled => {
                    let value = self.flag(path, value);
                    draft.disabled = Some(Given { offset, value });
                }
                Slot::Restart => draft.restart = self.word(path, value, RESTARTS),
                Slot::Start => draft.start = self.word(path, value, STARTS),
                Slot::Scope => draft.scope = self.word(path, value, SCOPES),
                Slot::After => draft.after = self.names(path, value),
                Slot::Group => draft.group = self.filled_text(path, value),
                Slot::StartupProbe => {
                    draft.probes.startup = self.probe(path, value).unwrap_or(draft.probes.startup);
                }
                Slot::ReadinessProbe => {
                    draft.probes.readiness =
                        self.probe(path, value).unwrap_or(draft.probes.readiness);
                }
                Slot::LivenessProbe => {
                    draft.given.push((offset, entry.key.name));
                    draft.probes.liveness =
                        self.probe(path, value).unwrap_or(draft.probes.liveness);
                }
                Slot::Retry => {
                    draft.given.push((offset, entry.key.name));
                    draft.retry = self.word(path, value, RETRIES);
                }
                Slot::Replace => draft.replace = self.word(path, value, REPLACES),
                Slot::ServerLimit(bound) => {
                    draft.given.push((offset, entry.key.name));
                    match entry.key.name {
                        name @ ("timeoutMs" | "timeoutMaxMs") => {
                            draft.timeout = Some((offset, name));
                        }
                        name @ ("probeTimeoutMs" | "startTimeoutMs") => {
                            draft.probe_timeout = Some((offset, name));
                        }
                        _ => {}
                    }
                    if let Some(number) = self.number(path, entry.key, value) {
                        (bound.set)(&mut draft.limits, number);
                    }
                }
                Slot::Servers
                | Slot::FleetObject
                | Slot::Inputs
                | Slot::Schema
                | Slot::FleetLimit(_)
                | Slot::Defaults
                | Slot::Groups
                | Slot::Client
                | Slot::Roots
                | Slot::Name
                | Slot::Version
                | Slot::Title
                | Slot::Uri => {}
            }
        }
        self.check_limits(path, &draft.limits, draft.timeout, draft.probe_timeout);
        let enabled = self.enabled(path, &draft);
        // Both are looked at, so that what is wrong with either is reported.
        let after = std::mem::take(&mut draft.after);
        let group = draft.group.take();
        let probes = std::mem::take(&mut draft.probes);
        let (restart, start, scope, retry, replace) = (
            draft.restart.unwrap_or_default(),
            draft.start.unwrap_or_default(),
            draft.scope.unwrap_or_default(),
            draft.retry.unwrap_or_default(),
            draft.replace.unwrap_or_default(),
        );
        let limits = draft.limits.clone();
        let given = std::mem::take(&mut draft.given);
        self.check_pairs(path, &given, &limits);
        let sight = Sight {
            restart,
            start,
            scope,
            retry,
            probes: &probes,
            limits: &limits,
        };
        self.warn_of_idle(path, &given, &sight);
        let kind = self.kind(path, prop.start(), draft);
        Some(ServerConfig {
            name: name?,
            kind: kind?,
            enabled,
            restart,
            start,
            scope,
            after,
            group,
            probes,
            retry,
            replace,
            limits,
        })
    }

    fn server_name(&mut self, path: &Path<'_>, prop: &ObjectProp<'_>) -> Option<ServerName> {
        let found = prop.name.as_str();
        let name = ServerName::new(found).ok();
        if name.is_none() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let rename = |c: char| if plain(c) { c } else { '-' };
            let better: String = found
                .chars()
                .take(ServerName::LENGTH_MAX)
                .map(rename)
                .collect();
            let remedy = if better.is_empty() {
                "give the server a name".to_owned()
            } else {
                format!("rename it, for instance to `{better}`")
            };
            let message = "the name of a server is 1 to 64 characters of A-Z a-z 0-9 _ -";
            self.report.error(prop.start(), path, message, remedy);
        }
        name
    }

    fn env(&mut self, path: &Path<'_>, value: &Value<'_>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let Some(object) = self.object(path, value) else {
            return variables;
        };
        for prop in &object.properties {
            let name = prop.name.as_str();
            let path = &path.key(name);
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = "the name of a variable is empty, or holds `=` or a NUL character";
                let remedy = "write `\"NAME\": \"value\"`";
                self.report.error(prop.start(), path, message, remedy);
            }
            if let Some(value) = self.expanded(path, &prop.value, Tilde::Plain) {
                variables.insert(name.to_owned(), value);
            }
        }
        variables
    }

    fn headers(&mut self, path: &Path<'_>, value: &Value<'_>) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        let mut lines = BTreeMap::new();
        let Some(object) = self.object(path, value) else {
            return headers;
        };
        for prop in &object.properties {
            let name = prop.name.as_str();
            let path = &path.key(name);
            if !is_header_name(name) {
                let message = "this is not the name of a header";
                let remedy = "use letters, digits and `-`, as in `X-Api-Key`";
                self.report.error(prop.start(), path, message, remedy);
            }
            let line = self.lines.line(prop.start());
            match lines.insert(name.to_ascii_lowercase(), (name, line)) {
                // The very same key twice is reported for all objects alike.
                Some((other, line)) if other != name => {
                    let other = shown(other);
                    let message = format!("the same header stands on line {line} as `{other}`");
                    self.report
                        .error(prop.start(), path, message, "keep one of the two");
                }
                Some(_) | None => {}
            }
            let Some(value) = self.expanded(path, &prop.value, Tilde::Plain) else {
                continue;
            };
            if value.chars().any(|c| c.is_control() && c != '\t') {
                let message = "the header holds a line break or a control character";
                let remedy = "write it on one line; a variable may end in a line break";
                self.report.error(prop.value.start(), path, message, remedy);
            }
            headers.insert(name.to_owned(), value);
        }
        headers
    }

    fn transport(&mut self, path: &Path<'_>, value: &Value<'_>) -> Option<Transport> {
        let StringLit { value: text, .. } = self.text(path, value)?;
        // Tools spell it streamable-http, streamableHttp and streamable_http.
        let letters = |c: &char| !matches!(c, '-' | '_');
        let word: String = text.to_ascii_lowercase().chars().filter(letters).collect();
        match word.as_str() {
            "stdio" => Some(Transport::Stdio),
            "http" | "streamablehttp" => Some(Transport::Http),
            "sse" => {
                self.report.warning(
                    value.start(),
                    path,
                    "the transport `sse` is deprecated; Streamable HTTP is tried in its place",
                    "ask for the server's Streamable HTTP endpoint, and write `http`",
                );
                Some(Transport::Sse)
            }
            _ => {
                let message = "unknown type of server";
                let remedy = "write `stdio`, `http`, `streamable-http` or `sse`";
                self.report.error(value.start(), path, message, remedy);
                None
            }
        }
    }

    fn url(&mut self, path: &Path<'_>, value: &Value<'_>) -> Option<String> {
        let address = self.expanded(path, value, Tilde::Plain)?;
        match url::check(&address) {
            Ok(()) => Some(address),
            Err((message, remedy)) => {
                self.report.error(value.start(), path, message, remedy);
                None
            }
        }
    }

    fn enabled(&mut self, path: &Path<'_>, draft: &Draft) -> bool {
        let value = |given: &Option<Given<bool>>| given.as_ref().and_then(|given| given.value);
        match (
            value(&draft.enabled),
            value(&draft.disabled),
            &draft.disabled,
        ) {
            (Some(enabled), Some(disabled), Some(given)) if enabled == disabled => {
                let message = format!("contradicts `enabled`: both are {enabled}");
                self.report.error(
                    given.offset,
                    &path.key("disabled"),
                    message,
                    "keep one of them",
                );
                enabled
            }
            (Some(enabled), _, _) => enabled,
            (None, disabled, _) => !disabled.unwrap_or(false),
        }
    }
}

/// A token of HTTP (RFC 9110, 5.6.2).
fn is_header_name(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(token)
}
