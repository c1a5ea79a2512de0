//! What the machine consumes: commands of the application, signals of the outside world.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    chunk,
    config::{FleetConfig, ServerConfig},
    error::{Exit, RpcError},
    event::CatalogKind,
    ids::{CallId, ClientId, CommandId, InputId, LinkId},
    wire::RawJson,
};

/// One input of the machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// An application asks for something.
    Command(McpCommand),
    /// Something happened outside.
    Signal(Signal),
}

impl From<McpCommand> for Input {
    fn from(command: McpCommand) -> Self {
        Self::Command(command)
    }
}

impl From<Signal> for Input {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

/// What an application asks. The handle chooses the ids, so that it can cancel without an answer.
///
/// Every command ends in exactly one [`crate::Event::CommandEnded`] with its id, `Execute` in
/// exactly one [`crate::Event::CallEnded`]; `Cancel` and `ClientGone` have no answer of their own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum McpCommand {
    /// Add a server and start it, once those are ready that it comes after. Ends when it is ready, has
    /// failed, or waits for one that does not come; it starts by itself when that one is ready. Ends
    /// at once where the server is started only when it is needed.
    Deploy {
        /// This command.
        id: CommandId,
        /// The server.
        config: Box<ServerConfig>,
    },
    /// Drain a server, stop it and forget it. Ends when its process is gone.
    Undeploy {
        /// This command.
        id: CommandId,
        /// The server's name.
        server: String,
    },
    /// Make a call. Parked, within limits, while the server is not ready. Ignored while another
    /// call of the same id has not ended, because an outcome could not tell the two apart.
    Execute {
        /// This call.
        call: CallId,
        /// The server's name.
        server: String,
        /// What to ask it.
        request: Request,
        /// Deadline and wishes.
        options: CallOptions,
    },
    /// Give up a call, wherever it is. Unknown and finished calls are ignored.
    Cancel {
        /// The call.
        call: CallId,
        /// What to tell the server.
        reason: Option<String>,
    },
    /// A client is gone: give up all its calls, wherever they are, and stop the servers that are its
    /// own. It may have none, or be unknown.
    ClientGone {
        /// The client.
        client: ClientId,
    },
    /// Drain a server, stop it, start it again; its replicas one after the other, those that do
    /// not work first, and no further than the first that does not come back. Also starts one that
    /// failed or was never started. Ends when all are ready.
    Restart {
        /// This command.
        id: CommandId,
        /// The server's name.
        server: String,
    },
    /// Ask a server, or all, whether they answer.
    HealthCheck {
        /// This command.
        id: CommandId,
        /// The server's name; all when absent.
        server: Option<String>,
    },
    /// Describe all servers.
    ListServers {
        /// This command.
        id: CommandId,
    },
    /// Read a server's tools, resources, templates or prompts. Waits for a start or refresh that
    /// is under way. A server that sleeps answers what it knew, and wakes where it never read the
    /// list.
    ListCatalog {
        /// This command.
        id: CommandId,
        /// The server's name.
        server: String,
        /// Which list.
        kind: CatalogKind,
    },
    /// Counts and latencies of a server, or of all.
    GetMetrics {
        /// This command.
        id: CommandId,
        /// The server's name; all when absent.
        server: Option<String>,
    },
    /// Replace the configuration of the server that `config` names. Limits, policies and its place
    /// in the order change in place, and the number of replicas with them. Anything else starts new
    /// replicas beside the old ones: when all of them are ready they take over, and the old ones
    /// drain and stop; when one fails before that, they are given up, and the old configuration
    /// stays in force. Servers that replace each other in turn, are attached, or take no calls
    /// anyway are drained and started anew, while new calls wait.
    UpdateConfig {
        /// This command.
        id: CommandId,
        /// The whole new configuration.
        config: Box<ServerConfig>,
    },
    /// Bring the fleet to this configuration: servers that are new are deployed, those that came
    /// from a configuration and are in this one no more are undeployed, those that changed are
    /// updated as by `UpdateConfig`, all others keep process and session. Servers that were
    /// deployed by hand stay. Bounds of the fleet take effect at once, and what is told to servers
    /// about the client with their next session. Ends when all of it is settled.
    Reload {
        /// This command.
        id: CommandId,
        /// The whole new configuration.
        config: Box<FleetConfig>,
    },
    /// Answer a question of a server ([`crate::Event::InputRequested`]).
    Answer {
        /// This command.
        id: CommandId,
        /// The question.
        input: InputId,
        /// The bare result, or a refusal.
        answer: Result<RawJson, RpcError>,
    },
    /// Refuse new work, drain all servers and stop them, each after those that come after it. Ends
    /// when every process is gone.
    Shutdown {
        /// This command.
        id: CommandId,
        /// How long calls in flight may go on, over all servers; each server's own drain timeout
        /// where absent.
        grace: Option<Duration>,
    },
}

/// What a call asks of a server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// `tools/call`.
    Tool {
        /// The tool's name.
        name: String,
        /// Its arguments, an object; none when absent.
        arguments: Option<RawJson>,
    },
    /// Any method of the protocol that a client may send.
    Method {
        /// The method.
        method: String,
        /// Its params, an object; the machine adds what the session needs to `_meta`.
        params: Option<RawJson>,
    },
}

impl Request {
    /// The protocol method.
    pub fn method(&self) -> &str {
        match self {
            Self::Tool { .. } => "tools/call",
            Self::Method { method, .. } => method,
        }
    }
}

/// Deadline and wishes of one call.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallOptions {
    /// How long the call may take from its acceptance; the server's `timeoutMs` when absent.
    /// Progress starts it anew, up to the server's `timeoutMaxMs`.
    pub timeout: Option<Duration>,
    /// Whether to ask the server for progress ([`crate::Event::CallProgress`]).
    pub progress: bool,
    /// On whose behalf it is made; calls without a client are those of one client.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<ClientId>,
    /// Which calls it goes before.
    #[serde(default)]
    pub priority: Priority,
}

/// Which calls of a queue go first.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others, but no more than eight times in a row before one that waits.
    High,
    /// In turn.
    #[default]
    Normal,
    /// After all others, but for one call in nine or ten. The first to give way in a full queue.
    Low,
}

/// What the outside world reports about one link.
///
/// For a link that opened, `Opened` comes first and `Closed` last; between them the others come in
/// any order, but a `Wrote` never after the `WriteFailed`, nor `Bytes` after the `Eof`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signal {
    /// The process runs, or the connection stands.
    Opened {
        /// The link.
        link: LinkId,
        /// The process id, where there is a process.
        pid: Option<u32>,
    },
    /// It could not be opened. Terminal.
    OpenFailed {
        /// The link.
        link: LinkId,
        /// What the system said, and what to check.
        message: String,
        /// Whether trying again without a change could help (out of processes, memory, files).
        transient: bool,
    },
    /// The server wrote to its standard output.
    Bytes {
        /// The link.
        link: LinkId,
        /// Any part of the stream.
        #[serde(with = "chunk")]
        bytes: Bytes,
    },
    /// The server's standard output ended.
    Eof {
        /// The link.
        link: LinkId,
    },
    /// Bytes of [`crate::Effect::Send`] were handed to the operating system; gives back credit.
    Wrote {
        /// The link.
        link: LinkId,
        /// How many, since the last such signal.
        bytes: u64,
    },
    /// The write side broke; nothing more will be written.
    WriteFailed {
        /// The link.
        link: LinkId,
        /// What the system said.
        message: String,
    },
    /// The server wrote to its standard error.
    Stderr {
        /// The link.
        link: LinkId,
        /// The newest bytes.
        #[serde(with = "chunk")]
        bytes: Bytes,
        /// How many bytes before these the driver left out.
        dropped: u64,
    },
    /// The direct child ended. Its group may live on, and hold its pipes open.
    Exited {
        /// The link.
        link: LinkId,
        /// How.
        exit: Exit,
    },
    /// Nothing is left of the link: pumps ended, process reaped. Terminal.
    Closed {
        /// The link.
        link: LinkId,
    },
}

impl Signal {
    /// The link it concerns.
    pub const fn link(&self) -> LinkId {
        match self {
            Self::Opened { link, .. }
            | Self::OpenFailed { link, .. }
            | Self::Bytes { link, .. }
            | Self::Eof { link }
            | Self::Wrote { link, .. }
            | Self::WriteFailed { link, .. }
            | Self::Stderr { link, .. }
            | Self::Exited { link, .. }
            | Self::Closed { link } => *link,
        }
    }
}
