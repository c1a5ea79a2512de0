//! What the machine tells its user.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::{CallError, CommandError, Failure, Obstacle},
    ids::{CallId, ClientId, CommandId, InputId, ServerName},
    stats::{FleetStats, ServerStats},
    wire::{RawJson, Revision},
};

/// A fact for the application. Results and arguments of tools are in no event but the call's own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A command is done.
    CommandEnded {
        /// The command.
        id: CommandId,
        /// What came of it.
        outcome: Result<Reply, CommandError>,
    },
    /// A call is done: its one and only outcome.
    CallEnded {
        /// The call.
        call: CallId,
        /// The server's `result` as it stood on the wire, or why there is none.
        outcome: Result<RawJson, CallError>,
    },
    /// The server reports how far a call has come.
    CallProgress {
        /// The call.
        call: CallId,
        /// Grows with every report of the call. What a later request of it reports, in the next
        /// round or after a loss, is left out until it is more than what was told before.
        progress: f64,
        /// What `progress` will be at the end, where the server knows.
        total: Option<f64>,
        /// For people.
        message: Option<String>,
    },
    /// A server changed its state.
    ServerChanged {
        /// The server.
        server: ServerName,
        /// Which replica of it; 0 where there is one.
        #[serde(default)]
        replica: u32,
        /// Which life of the replica, from 1; 0 before the first.
        incarnation: u32,
        /// The state it is in.
        state: ServerState,
        /// Why it is in it, where that is a failure.
        failure: Option<Failure>,
        /// What it waits for, where it waits to start.
        waiting: Option<WaitingFor>,
    },
    /// A new configuration of a server failed, and the one before it is in force again.
    RolledBack {
        /// The server.
        server: ServerName,
        /// Why the new configuration was given up.
        error: CommandError,
    },
    /// The breaker of a server changed its state.
    BreakerChanged {
        /// The server.
        server: ServerName,
        /// Which replica of it; 0 where there is one. Each has a breaker of its own.
        #[serde(default)]
        replica: u32,
        /// The state it is in.
        state: BreakerState,
    },
    /// Something of a server did not end in time after SIGKILL and is left to the system: a process
    /// that waits for a device, that belongs to another user, or that never came to its first step.
    Abandoned {
        /// The server.
        server: ServerName,
        /// Which replica of it; 0 where there is one.
        #[serde(default)]
        replica: u32,
        /// Which life of it.
        incarnation: u32,
        /// Its process, where it got so far.
        pid: Option<u32>,
    },
    /// A list of a server was read for the first time by one of its replicas, or differs from what
    /// it was.
    CatalogChanged {
        /// The server.
        server: ServerName,
        /// Which list.
        kind: CatalogKind,
        /// How many entries it has.
        entries: usize,
    },
    /// A server asks for something; answer with [`crate::McpCommand::Answer`].
    InputRequested {
        /// The question.
        input: InputId,
        /// Who asks.
        server: ServerName,
        /// The call it belongs to, where the protocol says.
        call: Option<CallId>,
        /// `sampling/createMessage`, `elicitation/create` or `roots/list`.
        method: String,
        /// The question itself.
        params: Option<RawJson>,
    },
    /// A question needs no answer any more.
    InputWithdrawn {
        /// The question.
        input: InputId,
    },
    /// A server sent a notification that the machine does not consume: a log message, an update of
    /// a resource, or one this version does not know.
    Notified {
        /// The server.
        server: ServerName,
        /// The method.
        method: String,
        /// Its params.
        params: Option<RawJson>,
    },
    /// A server did something that the protocol forbids, and was tolerated.
    Violation {
        /// The server.
        server: ServerName,
        /// What it did.
        message: String,
    },
}

/// What a finished command answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// It is done; there is nothing to say.
    Done,
    /// `ListServers`, in order of their names.
    Servers(Vec<ServerInfo>),
    /// `ListCatalog`, in the server's order, each entry as it stood on the wire.
    Catalog(Vec<RawJson>),
    /// `HealthCheck`, in order of the servers' names and their replicas.
    Health(Vec<Health>),
    /// `GetMetrics`.
    Metrics(Box<FleetStats>),
    /// `Reload`.
    Reloaded(Box<ReloadReport>),
}

/// What became of a reload. Each server stands in one of the lists, in order of the names.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ReloadReport {
    /// New servers that are ready, or disabled.
    pub added: Vec<ServerName>,
    /// Servers that are gone, down to the last process.
    pub removed: Vec<ServerName>,
    /// Servers whose new configuration has taken over.
    pub replaced: Vec<ServerName>,
    /// Servers that go on with other limits or policies.
    pub retuned: Vec<ServerName>,
    /// Servers that nothing was asked of.
    pub unchanged: Vec<ServerName>,
    /// Servers of which something was asked that did not come about, and why. One that was to be
    /// replaced goes on with the configuration it had.
    pub failed: Vec<(ServerName, CommandError)>,
}

/// A list that a server offers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogKind {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `prompts/list`.
    Prompts,
}

/// Where a server is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerState {
    /// Not started, or stopped on purpose.
    Stopped,
    /// Not started until it is needed, or stopped because it had nothing to do: the next call wakes
    /// it.
    Asleep,
    /// Waits for another server, or for its turn to start.
    Waiting,
    /// The process or connection is being made.
    Starting,
    /// Being asked which era it speaks.
    Probing,
    /// In the legacy `initialize` handshake.
    Handshaking,
    /// The session is open; calls wait until the startup probe succeeds.
    Warming,
    /// Takes calls.
    Ready,
    /// Lives, and gets no new calls until its readiness probe succeeds again.
    Unready,
    /// Finishes calls in flight, takes no new ones, then stops.
    Draining,
    /// On the close ladder.
    Closing,
    /// Failed, and starts again after a pause.
    Backoff,
    /// Failed, and stays so until it is restarted by hand, or tried again much later.
    Failed,
}

impl ServerState {
    /// The word for people and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Asleep => "asleep",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Probing => "probing",
            Self::Handshaking => "handshaking",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Draining => "draining",
            Self::Closing => "closing",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for ServerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a server is spared calls, because too many were lost lately.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// It is not.
    #[default]
    Closed,
    /// New calls are refused for a while. The first that comes after it tries again.
    Open,
    /// One call tries, or the next will; others are refused.
    HalfOpen,
}

impl BreakerState {
    /// The word for people and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl std::fmt::Display for BreakerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a server waits for before it starts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitingFor {
    /// A place among the servers that start at the same time.
    Turn,
    /// A server that it comes after.
    Server {
        /// Its name.
        server: ServerName,
        /// Why it is not ready.
        obstacle: Obstacle,
    },
}

impl std::fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Turn => f.write_str("its turn to start"),
            Self::Server { server, obstacle } => write!(f, "{server}, which {obstacle}"),
        }
    }
}

/// What is known of one server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Its configured name.
    pub name: ServerName,
    /// How it is reached: `stdio`, `http`, `in_process` or `attached`.
    pub kind: String,
    /// Where the most able of its replicas is in its life. What follows is of that replica.
    pub state: ServerState,
    /// Why, where the state is a failure.
    pub failure: Option<Failure>,
    /// What its startup or readiness probe came to, while that keeps it from calls.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unwell: Option<String>,
    /// Whether it is spared calls.
    #[serde(default)]
    pub breaker: BreakerState,
    /// What it waits for, where it waits to start.
    pub waiting: Option<WaitingFor>,
    /// Which life it is in, from 1; 0 before the first.
    pub incarnation: u32,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// The protocol revision in use, once negotiated.
    pub revision: Option<Revision>,
    /// The name and version it gives itself: for display, never for decisions.
    pub implementation: Option<Implementation>,
    /// What the server tells a model about its use.
    pub instructions: Option<String>,
    /// Entries of its catalog, by list; absent where the list was not read or is not offered.
    pub tools: Option<usize>,
    /// See `tools`.
    pub resources: Option<usize>,
    /// See `tools`.
    pub templates: Option<usize>,
    /// See `tools`.
    pub prompts: Option<usize>,
    /// Why its catalog is incomplete, where it is.
    pub degraded: Option<String>,
    /// Counts and latencies, of all its replicas together.
    pub stats: ServerStats,
    /// Its replicas, in order of their numbers, and those that leave.
    #[serde(default)]
    pub replicas: Vec<ReplicaInfo>,
}

/// What is known of one replica of a server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReplicaInfo {
    /// Its number, unique among the replicas of the server.
    pub replica: u32,
    /// Where it is in its life.
    pub state: ServerState,
    /// Why, where the state is a failure.
    pub failure: Option<Failure>,
    /// Which life it is in, from 1; 0 before the first.
    pub incarnation: u32,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// Calls sent to it and not answered.
    pub in_flight: usize,
    /// Calls waiting to be sent to it.
    pub queued: usize,
    /// The client that it serves alone; absent where it serves all, or those without a name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<ClientId>,
}

/// The name and version that one side of a session gives itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Implementation {
    /// The program's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
}

/// What a health check found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// The server.
    pub server: ServerName,
    /// Which replica of it; 0 where there is one. Each has a check of its own.
    #[serde(default)]
    pub replica: u32,
    /// Where it is in its life.
    pub state: ServerState,
    /// Whether it is spared calls.
    #[serde(default)]
    pub breaker: BreakerState,
    /// The round trip of `ping` or `server/discover`; absent where none came back.
    pub latency: Option<Duration>,
    /// Why it is not healthy, where it is not.
    pub problem: Option<String>,
}

impl Health {
    /// Whether the server is ready, gets calls, and answered. Whether its breaker is open is another
    /// matter.
    pub const fn is_healthy(&self) -> bool {
        self.latency.is_some() && matches!(self.state, ServerState::Ready)
    }
}
