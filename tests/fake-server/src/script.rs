//! What the server is to do: plain data, from flags or JSON.

use std::path::PathBuf;

use serde::Deserialize;

use crate::odd::Odd;

/// The whole script. `flags::HELP` says what each field means.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) era: Eras,
    pub(crate) revisions: Vec<String>,
    pub(crate) answer_version: Option<String>,
    pub(crate) discover: Option<Handshake>,
    pub(crate) initialize: Handshake,
    pub(crate) ping_first: bool,
    pub(crate) roots_after_initialized: bool,
    pub(crate) lenient: bool,
    pub(crate) capabilities: Vec<String>,
    pub(crate) instructions: Option<String>,

    pub(crate) tools: usize,
    pub(crate) resources: usize,
    pub(crate) page_size: usize,
    pub(crate) cursors: Cursors,
    pub(crate) list_error: Option<i64>,
    pub(crate) changes_at_start: u32,

    pub(crate) answers: Odd,
    pub(crate) late_answers: bool,

    pub(crate) start_delay_ms: u64,
    pub(crate) exit_at_start: Option<i32>,
    pub(crate) stdout_at_start: Vec<String>,
    pub(crate) stderr_at_start: String,
    pub(crate) stderr_flood: u64,

    pub(crate) split_bytes: usize,
    pub(crate) join_frames: usize,
    pub(crate) crlf: bool,
    pub(crate) blank_lines: usize,
    pub(crate) noise_lines: usize,
    pub(crate) noise: String,

    pub(crate) ignore_eof: bool,
    pub(crate) ignore_sigterm: bool,
    pub(crate) grandchild: Grandchild,
    pub(crate) stop_reading_after: Option<u64>,

    pub(crate) record: Option<PathBuf>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            name: "fake".to_owned(),
            era: Eras::Dual,
            revisions: Vec::new(),
            answer_version: None,
            discover: None,
            initialize: Handshake::Named(NamedHandshake::Answer),
            ping_first: false,
            roots_after_initialized: false,
            lenient: false,
            capabilities: ["tools", "resources", "prompts", "logging", "completions"]
                .map(str::to_owned)
                .to_vec(),
            instructions: None,
            tools: 0,
            resources: 1,
            page_size: 0,
            cursors: Cursors::Plain,
            list_error: None,
            changes_at_start: 0,
            answers: Odd::Normal,
            late_answers: false,
            start_delay_ms: 0,
            exit_at_start: None,
            stdout_at_start: Vec::new(),
            stderr_at_start: String::new(),
            stderr_flood: 0,
            split_bytes: 0,
            join_frames: 1,
            crlf: false,
            blank_lines: 0,
            noise_lines: 0,
            noise: "just a log line, no JSON".to_owned(),
            ignore_eof: false,
            ignore_sigterm: false,
            grandchild: Grandchild::None,
            stop_reading_after: None,
            record: None,
        }
    }
}

impl Script {
    /// The handshake revisions offered, oldest first.
    pub(crate) fn legacy_revisions(&self) -> Vec<&str> {
        self.offered(LEGACY, Eras::Modern)
    }

    /// The modern revisions offered, oldest first.
    pub(crate) fn modern_revisions(&self) -> Vec<&str> {
        self.offered(MODERN, Eras::Legacy)
    }

    fn offered<'a>(&'a self, era: &[&'static str], other: Eras) -> Vec<&'a str> {
        if self.era == other {
            return Vec::new();
        }
        if self.revisions.is_empty() {
            return era.to_vec();
        }
        let first_modern = MODERN.first().copied().unwrap_or_default();
        let modern = era == MODERN;
        let named = self.revisions.iter().map(String::as_str);
        named
            .filter(|revision| (*revision >= first_modern) == modern)
            .collect()
    }
}

const LEGACY: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const MODERN: &[&str] = &["2026-07-28"];

/// Which eras the server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Eras {
    Legacy,
    Modern,
    Dual,
}

/// What comes of `server/discover` or `initialize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Handshake {
    /// An error with this code.
    Code(i64),
    /// Something with a name.
    Named(NamedHandshake),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NamedHandshake {
    Answer,
    Unsupported,
    Silence,
    Garbage,
    Exit,
    CloseStdout,
}

/// How lists of several pages name the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cursors {
    Plain,
    Empty,
    Loop,
    Stuck,
    Endless,
}

/// A process that the server starts and that outlives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Grandchild {
    None,
    SameGroup,
    OwnGroup,
    Daemon,
}
