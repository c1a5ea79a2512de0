//! One call of a tool, and what comes of it.

use std::convert::Infallible;

use async_channel::{Receiver, Sender};
use mcp_fleet_core::RawJson;
use serde_json::{Map, Value, json};

/// Progress reports that wait to be written; the oldest give way.
const PROGRESS_MAX: usize = 16;

/// One call of a tool. Clones are the same call.
#[derive(Clone, Debug)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments: an object, `{}` where the caller gave none.
    pub arguments: RawJson,
    /// The caller's `_meta`, with its capabilities and trace context.
    pub meta: Option<RawJson>,
    progress: Option<Sender<Progress>>,
    // Nothing is ever sent: the other end closes it.
    over: Receiver<Infallible>,
}

/// How far a call has come.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) progress: f64,
    pub(super) total: Option<f64>,
    pub(super) message: Option<String>,
}

/// The other end of a [`ToolCall`].
#[derive(Debug)]
pub(super) struct Remote {
    /// What the tool reports, where the caller asked for it.
    pub(super) progress: Option<Receiver<Progress>>,
    /// Ends the call when it is dropped.
    pub(super) life: Sender<Infallible>,
}

impl ToolCall {
    pub(super) fn new(
        name: String,
        arguments: RawJson,
        meta: Option<RawJson>,
        wants_progress: bool,
    ) -> (Self, Remote) {
        let (sender, receiver) = if wants_progress {
            let (sender, receiver) = async_channel::bounded(PROGRESS_MAX);
            (Some(sender), Some(receiver))
        } else {
            (None, None)
        };
        let (life, over) = async_channel::bounded(1);
        let call = Self {
            name,
            arguments,
            meta,
            progress: sender,
            over,
        };
        (
            call,
            Remote {
                progress: receiver,
                life,
            },
        )
    }

    /// Reports how far the call has come, if the caller asked for it.
    ///
    /// `progress` must grow with every report; one that does not is left out. Never waits: where
    /// the caller reads too slowly, the oldest of more than 16 reports are left out.
    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        if let Some(sender) = &self.progress {
            let message = message.map(str::to_owned);
            // Closed when the call is over: nobody wants the report any more.
            let _closed = sender
                .force_send(Progress {
                    progress,
                    total,
                    message,
                })
                .is_err();
        }
    }

    /// Whether nobody waits for the result any more: the caller gave up, or the call has ended.
    pub fn is_cancelled(&self) -> bool {
        self.over.is_closed()
    }

    /// Waits until [`ToolCall::is_cancelled`].
    ///
    /// The call's own future is dropped then, so only work outside of it needs this.
    pub async fn cancelled(&self) {
        let _closed = self.over.recv().await.is_err();
    }
}

/// The result of a tool.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ToolOutput {
    content: Vec<Value>,
    structured: Option<Value>,
    is_error: bool,
}

impl ToolOutput {
    /// One block of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::content(vec![json!({ "type": "text", "text": text.into() })])
    }

    /// Structured content, and the same as text for clients that do not read it.
    pub fn json(value: Value) -> Self {
        Self {
            structured: Some(value.clone()),
            ..Self::text(value.to_string())
        }
    }

    /// What went wrong, for the model to read (`isError`).
    pub fn error(text: impl Into<String>) -> Self {
        Self {
            is_error: true,
            ..Self::text(text)
        }
    }

    /// Content blocks as the protocol defines them.
    pub const fn content(blocks: Vec<Value>) -> Self {
        Self {
            content: blocks,
            structured: None,
            is_error: false,
        }
    }

    /// Adds structured content.
    #[must_use]
    pub fn structured(mut self, value: Value) -> Self {
        self.structured = Some(value);
        self
    }

    /// The members of a `CallToolResult`, in the words of both eras.
    pub(super) fn into_members(self, legacy: bool) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("content".to_owned(), Value::Array(self.content));
        // MCP 2025-06-18, tools: structured content is an object; 2026-07-28 allows any value.
        if let Some(value) = self.structured.filter(|value| !legacy || value.is_object()) {
            members.insert("structuredContent".to_owned(), value);
        }
        if self.is_error {
            members.insert("isError".to_owned(), Value::Bool(true));
        }
        members
    }
}
