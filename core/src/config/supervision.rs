//! How a server is looked after, in words.

use jsonc_parser::{
    ast::{StringLit, Value},
    common::Ranged,
};
use serde::{Deserialize, Serialize};

use super::{path::Path, values::Reader};
use crate::ids::ServerName;

/// When a server that ended by itself is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Whatever it ended of.
    #[default]
    Always,
    /// Unless it ended with exit status 0.
    OnFailure,
    /// Not by itself.
    Never,
}

/// When a server is started at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// When it is deployed.
    #[default]
    Eager,
    /// When it is needed: by a call, by who asks for a list that is not known, or by a server that
    /// comes after it. It is stopped when it was not needed for `idleStopMs`.
    Lazy,
}

/// Who shares the processes of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All clients.
    #[default]
    Shared,
    /// Nobody: each client has one of its own, from its first call until it is gone, or made no call
    /// for `idleStopMs`. Calls without a client share one.
    PerClient,
}

/// How a server takes over from the one that it replaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replace {
    /// It starts beside the old one, which serves until the new one is ready.
    #[default]
    Beside,
    /// It starts when the old one is gone, and calls wait: for servers that hold a lock or a port.
    InTurn,
}

/// What the end of one server means for the others of its group. The order is that of the
/// configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nothing.
    #[default]
    OneForOne,
    /// All are started anew.
    OneForAll,
    /// Those that come after it are started anew.
    RestForOne,
}

/// The question that tells whether a server is well.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// It is not asked.
    None,
    /// `ping` in the legacy era, `server/discover` in the modern one.
    #[default]
    Ping,
    /// A tool of this name, called without arguments. An answer that is an error is not well.
    Tool(String),
}

/// The three questions about the health of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Probes {
    /// Whether it has started up: it takes no calls before.
    pub startup: Probe,
    /// Whether it is to be given calls: it gets none until it says so again, and lives on.
    pub readiness: Probe,
    /// Whether it lives: it is started anew where it does not.
    pub liveness: Probe,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            startup: Probe::None,
            readiness: Probe::None,
            liveness: Probe::Ping,
        }
    }
}

/// Which calls that were lost with their server are made again, within the retry budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// None.
    Never,
    /// Those of which not one byte was written.
    #[default]
    Unsent,
    /// Those, and calls of tools that the server annotates as read-only or idempotent: its
    /// annotations are trusted.
    Idempotent,
}

/// Words of a key, and what they mean.
pub(super) type Words<T> = &'static [(&'static str, T)];

pub(super) const RESTARTS: Words<Restart> = &[
    ("always", Restart::Always),
    ("on_failure", Restart::OnFailure),
    ("never", Restart::Never),
];
pub(super) const STARTS: Words<Start> = &[("eager", Start::Eager), ("lazy", Start::Lazy)];
pub(super) const SCOPES: Words<Scope> =
    &[("shared", Scope::Shared), ("per_client", Scope::PerClient)];
pub(super) const STRATEGIES: Words<Strategy> = &[
    ("one_for_one", Strategy::OneForOne),
    ("one_for_all", Strategy::OneForAll),
    ("rest_for_one", Strategy::RestForOne),
];
pub(super) const REPLACES: Words<Replace> =
    &[("beside", Replace::Beside), ("in_turn", Replace::InTurn)];
pub(super) const RETRIES: Words<Retry> = &[
    ("never", Retry::Never),
    ("unsent", Retry::Unsent),
    ("idempotent", Retry::Idempotent),
];

impl Reader<'_> {
    /// One of a few words, `-` taken for `_`.
    pub(super) fn word<T: Copy>(
        &mut self,
        path: &Path<'_>,
        value: &Value<'_>,
        words: Words<T>,
    ) -> Option<T> {
        let StringLit { value: text, .. } = self.text(path, value)?;
        let text = text.replace('-', "_");
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let remedy = match all.split_last() {
                Some((last, [])) => format!("write {last}"),
                Some((last, others)) => format!("write {} or {last}", others.join(", ")),
                None => String::new(),
            };
            let message = format!("unknown word {text:?}");
            self.report.error(value.start(), path, message, remedy);
        }
        found.map(|(_, meaning)| *meaning)
    }

    pub(super) fn probe(&mut self, path: &Path<'_>, value: &Value<'_>) -> Option<Probe> {
        let StringLit { value: text, .. } = self.text(path, value)?;
        match (text.as_ref(), text.strip_prefix("tool:")) {
            ("none", _) => Some(Probe::None),
            ("ping", _) => Some(Probe::Ping),
            (_, Some(tool)) if !tool.is_empty() => Some(Probe::Tool(tool.to_owned())),
            _ => {
                let message = format!("unknown probe {text:?}");
                let remedy = "write `none`, `ping`, or `tool:` and the name of a tool";
                self.report.error(value.start(), path, message, remedy);
                None
            }
        }
    }

    /// A list of names of servers; those that cannot be names are left out.
    pub(super) fn names(&mut self, path: &Path<'_>, value: &Value<'_>) -> Vec<ServerName> {
        let mut names = Vec::new();
        for (index, element) in self
            .list(path, value)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let path = &path.element(index);
            let Some(text) = self.text(path, element) else {
                continue;
            };
            match ServerName::new(&text.value) {
                Ok(name) => names.push(name),
                Err(error) => self.report.error(
                    element.start(),
                    path,
                    error.to_string(),
                    "write the name of a server of this file",
                ),
            }
        }
        names
    }
}
