//! What the keys of a server say, seen together.

use std::collections::BTreeMap;

use super::{
    Http, Kind, Probes, Replace, Restart, Retry, Scope, ServerLimits, Start, Stdio,
    path::Path,
    values::{Given, Reader},
};
use crate::ids::ServerName;

/// What the keys of a server say, before they are seen together.
pub(super) struct Draft {
    pub(super) command: Option<Given<String>>,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: Option<String>,
    pub(super) transport: Option<Given<Transport>>,
    pub(super) url: Option<Given<String>>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) enabled: Option<Given<bool>>,
    pub(super) disabled: Option<Given<bool>>,
    pub(super) restart: Option<Restart>,
    pub(super) start: Option<Start>,
    pub(super) scope: Option<Scope>,
    pub(super) after: Vec<ServerName>,
    pub(super) group: Option<String>,
    pub(super) probes: Probes,
    pub(super) retry: Option<Retry>,
    pub(super) replace: Option<Replace>,
    pub(super) limits: ServerLimits,
    pub(super) timeout: Option<(usize, &'static str)>,
    pub(super) probe_timeout: Option<(usize, &'static str)>,
    /// Keys that say something only beside others.
    pub(super) given: Vec<(usize, &'static str)>,
    /// Keys that mean something to programs only.
    pub(super) local: Vec<(usize, &'static str)>,
    /// Keys that mean something to endpoints only.
    pub(super) remote: Vec<(usize, &'static str)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Stdio,
    Http,
    Sse,
}

impl Reader<'_> {
    /// Checks limits against each other, where at least one of a pair is given here.
    pub(super) fn check_limits(
        &mut self,
        path: &Path<'_>,
        limits: &ServerLimits,
        timeout: Option<(usize, &str)>,
        probe_timeout: Option<(usize, &str)>,
    ) {
        if let Some((offset, name)) = timeout
            && limits.timeout > limits.timeout_max
        {
            let (timeout, most) = (limits.timeout.as_millis(), limits.timeout_max.as_millis());
            let message = format!("`timeoutMs` is {timeout}, but `timeoutMaxMs` is only {most}");
            self.report.error(
                offset,
                &path.key(name),
                message,
                "raise `timeoutMaxMs`, or lower `timeoutMs`",
            );
        }
        if let Some((offset, name)) = probe_timeout
            && limits.probe_timeout >= limits.start_timeout
        {
            let probe = limits.probe_timeout.as_millis();
            let start = limits.start_timeout.as_millis();
            let message = format!(
                "`probeTimeoutMs` is {probe} of the {start} of `startTimeoutMs`: a server that \
                 ignores the probe never gets to its handshake"
            );
            self.report
                .warning(offset, &path.key(name), message, "raise `startTimeoutMs`");
        }
    }

    /// Sees a draft as a whole; absent where an error was reported.
    pub(super) fn kind(&mut self, path: &Path<'_>, offset: usize, draft: Draft) -> Option<Kind> {
        let Draft {
            command,
            args,
            env,
            cwd,
            transport,
            url,
            headers,
            local,
            remote,
            ..
        } = draft;
        let transport = transport.as_ref().map(|given| (given.offset, given.value));
        match (command, url) {
            (Some(_), Some(url)) => {
                let message = "a server has either `command` or `url`, not both";
                let remedy = "remove one: `command` starts a program, `url` names an endpoint";
                self.report
                    .error(url.offset, &path.key("url"), message, remedy);
                None
            }
            (None, None) => {
                let message = "the server has neither `command` nor `url`";
                let remedy = "add `\"command\"` for a program, or `\"url\"` for an endpoint";
                self.report.error(offset, path, message, remedy);
                None
            }
            (Some(command), None) => {
                if let Some((offset, Some(Transport::Http | Transport::Sse))) = transport {
                    let message = "the type is that of an endpoint, but `command` is given";
                    let remedy = "remove `type`, or write `url` in place of `command`";
                    self.report
                        .error(offset, &path.key("type"), message, remedy);
                }
                for (offset, key) in remote {
                    let message = "has no effect on a program";
                    let remedy = "remove it, or write `url` in place of `command`";
                    self.report.warning(offset, &path.key(key), message, remedy);
                }
                let command = self.program(path, command, args.is_empty())?;
                Some(Kind::Stdio(Stdio {
                    command,
                    args,
                    env,
                    cwd,
                }))
            }
            (None, Some(url)) => {
                if let Some((offset, Some(Transport::Stdio))) = transport {
                    let message = "the type is that of a program, but `url` is given";
                    let remedy = "write `http` as the `type`, or `command` in place of `url`";
                    self.report
                        .error(offset, &path.key("type"), message, remedy);
                }
                for (offset, key) in local {
                    let message = "has no effect on an endpoint";
                    let remedy = "remove it, or write `command` in place of `url`";
                    self.report.warning(offset, &path.key(key), message, remedy);
                }
                Some(Kind::Http(Http {
                    url: url.value?,
                    headers,
                }))
            }
        }
    }

    fn program(&mut self, path: &Path<'_>, given: Given<String>, alone: bool) -> Option<String> {
        let path = &path.key("command");
        let command = given.value?;
        if command.trim().is_empty() {
            let remedy = "write a path, or the name of a program on `PATH`";
            self.report
                .error(given.offset, path, "the command is empty", remedy);
            return None;
        }
        let mut words = command.split_whitespace();
        let first = words.next().unwrap_or_default();
        let more = words.clone().next().is_some();
        let bare = !first.contains(['/', '\\']);
        if alone && more && (bare || words.any(|word| word.starts_with('-'))) {
            let message = "the command holds spaces, and is taken whole as the name of a program";
            let remedy = "keep the program in `command`, and write the words after it as `args`: \
                          `[\"..\", \"..\"]`";
            self.report.warning(given.offset, path, message, remedy);
        }
        Some(command)
    }
}
