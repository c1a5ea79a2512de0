//! Why a call or a command failed, by whose fault it is.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{ids::ServerName, wire::RawJson};

/// Whether a call that was lost may have run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// Not one byte of it was written: it did not run, and may be sent again.
    No,
    /// It was written, at least in part: it may have run. It is never sent again silently, unless
    /// its server is trusted to say that its tool bears it.
    Unknown,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "it was never sent",
            Self::Unknown => "it may have run",
        })
    }
}

/// A limit of calls that is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// Calls waiting for the server (`maxQueue`).
    Queue,
    /// Calls of the client waiting for the server (`maxQueuePerClient`).
    ClientQueue,
    /// Calls of the fleet that have not ended (`fleet.maxCalls`).
    Fleet,
    /// Calls of the client that have not ended (`fleet.maxCallsPerClient`).
    Client,
    /// Clients that have a server of their own (`maxClients`), each of which has calls.
    Clients,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "its queue is full (`maxQueue`)",
            Self::ClientQueue => "too many calls of the client wait for it (`maxQueuePerClient`)",
            Self::Fleet => "the fleet has too many calls (`fleet.maxCalls`)",
            Self::Client => "the client has too many calls (`fleet.maxCallsPerClient`)",
            Self::Clients => "too many clients have one of their own (`maxClients`)",
        })
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The operating system did not say.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::Unknown => f.write_str("ended for an unknown reason"),
        }
    }
}

/// An error that a server answered with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("error {code}: {message}")]
pub struct RpcError {
    /// JSON-RPC or MCP error code.
    pub code: i64,
    /// The server's own words.
    pub message: String,
    /// Whatever else the server said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<RawJson>,
}

/// Why a server cannot take calls.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The process or connection could not be made: the command is wrong, or resources ran out.
    #[error("cannot start: {message}")]
    CannotStart {
        /// What the operating system said, and what to check.
        message: String,
        /// Whether trying again without a change could help.
        transient: bool,
    },
    /// The process ended, or its standard output did, before the session was open.
    #[error("ended before it was ready{}{}", exit_suffix(*exit), stderr_suffix(stderr_tail))]
    EndedEarly {
        /// How the process ended, once known.
        exit: Option<Exit>,
        /// The end of what it wrote to standard error.
        stderr_tail: String,
    },
    /// The session was not open within the start deadline, or its startup probe did not succeed.
    #[error(
        "was not ready within {after:?}{}{}",
        probe_suffix(probe.as_deref()),
        stderr_suffix(stderr_tail)
    )]
    StartTimedOut {
        /// The start deadline.
        after: Duration,
        /// What its startup probe came to at last, where the session was open.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        probe: Option<String>,
        /// The end of what it wrote to standard error.
        stderr_tail: String,
    },
    /// No protocol revision is common to both sides.
    #[error("speaks no common protocol revision; it offers {offered:?}")]
    Incompatible {
        /// What the server offered.
        offered: Vec<String>,
    },
    /// The server refused the handshake, or answered it with something else.
    #[error("handshake failed: {message}")]
    Handshake {
        /// What it answered.
        message: String,
    },
    /// The process or connection ended while in use.
    #[error("ended unexpectedly{}{}", exit_suffix(*exit), stderr_suffix(stderr_tail))]
    Crashed {
        /// How the process ended, once known.
        exit: Option<Exit>,
        /// The end of what it wrote to standard error.
        stderr_tail: String,
    },
    /// The server lives, and answered none of its health checks.
    #[error("did not answer {checks} health checks in a row")]
    Unresponsive {
        /// How many.
        checks: u32,
    },
    /// The server broke the protocol so that its stream cannot be read on.
    #[error("broke the protocol: {message}")]
    Protocol {
        /// What it did.
        message: String,
    },
}

/// Why a server that others come after is not ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Obstacle {
    /// It starts, or is about to; or it is on its way out.
    NotReady,
    /// No server of that name is deployed.
    NotDeployed,
    /// It failed, and starts again after a pause.
    Recovering,
    /// It was stopped, or is disabled.
    Stopped,
    /// It failed, and stays so until it is restarted by hand, or tried again much later.
    Failed,
    /// It waits itself for a server that does not come.
    Blocked,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "is not ready yet",
            Self::NotDeployed => "is not deployed",
            Self::Recovering => "has failed and is to start again",
            Self::Stopped => "is stopped",
            Self::Failed => "has failed",
            Self::Blocked => "waits in vain itself",
        })
    }
}

fn reason_suffix(reason: Option<&str>) -> String {
    reason
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default()
}

fn probe_suffix(probe: Option<&str>) -> String {
    probe
        .map(|problem| format!(": its startup probe never succeeded: {problem}"))
        .unwrap_or_default()
}

fn exit_suffix(exit: Option<Exit>) -> String {
    exit.map(|exit| format!(" ({exit})")).unwrap_or_default()
}

fn stderr_suffix(tail: &str) -> String {
    let tail = tail.trim();
    if tail.is_empty() {
        String::new()
    } else {
        format!("; stderr ends with: {tail}")
    }
}

/// Why a call has no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum CallError {
    /// No server of that name is deployed: a misspelling, or it was undeployed.
    #[error("no server named {server:?}{}", near_miss(near.as_ref()))]
    NotFound {
        /// The name that was asked for.
        server: String,
        /// A deployed name that resembles it.
        near: Option<ServerName>,
    },
    /// Callers are faster than the server. The call was never sent.
    #[error("{server} is overloaded: {limit}; try again in {retry_after:?}")]
    Overloaded {
        /// The server.
        server: ServerName,
        /// What is full.
        limit: Limit,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// Too many calls were lost lately: the server is left alone for a while.
    #[error("{server} fails too often, and is left alone; try again in {retry_after:?}")]
    BreakerOpen {
        /// The server.
        server: ServerName,
        /// When one call may try again.
        retry_after: Duration,
    },
    /// The server is stopped or failed, and nothing will start it before the call's deadline.
    #[error("{server} is unavailable: {reason}")]
    Unavailable {
        /// The server.
        server: ServerName,
        /// Its state, and why it is in it.
        reason: String,
    },
    /// The deadline passed. The server was told to stop.
    #[error("timed out after {after:?}; {sent}")]
    TimedOut {
        /// The deadline that passed, from acceptance or from the last progress.
        after: Duration,
        /// Whether it may have run.
        sent: Sent,
    },
    /// The caller cancelled. The server was told to stop.
    #[error("cancelled; {sent}")]
    Cancelled {
        /// Whether it may have run.
        sent: Sent,
    },
    /// The process or connection ended with the call in flight.
    #[error(
        "{server} is gone{}{}; {sent}{}",
        reason_suffix(reason.as_deref()),
        exit_suffix(*exit),
        stderr_suffix(stderr_tail)
    )]
    ServerGone {
        /// The server.
        server: ServerName,
        /// Why it was ended, where it did not end by itself.
        reason: Option<String>,
        /// How the process ended, once known.
        exit: Option<Exit>,
        /// The end of what it wrote to standard error.
        stderr_tail: String,
        /// Whether the call may have run.
        sent: Sent,
    },
    /// The server answered with an error.
    #[error("{0}")]
    Rpc(RpcError),
    /// The server's answer breaks the protocol.
    #[error("protocol violation: {message}")]
    Protocol {
        /// What is wrong with it.
        message: String,
    },
    /// The server asked for input that nobody here can or will give.
    #[error("the server asked for {method}, which was refused: {reason}")]
    InputRefused {
        /// The method of the question.
        method: String,
        /// Why it was refused.
        reason: String,
    },
    /// What the caller asked cannot be sent.
    #[error("invalid request: {message}")]
    InvalidRequest {
        /// What is wrong with it.
        message: String,
    },
    /// The fleet is shutting down.
    #[error("the fleet is shutting down")]
    ShuttingDown,
}

fn near_miss(near: Option<&ServerName>) -> String {
    near.map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

/// Why a command other than a call failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum CommandError {
    /// No server of that name is deployed.
    #[error("no server named {server:?}{}", near_miss(near.as_ref()))]
    NotFound {
        /// The name that was asked for.
        server: String,
        /// A deployed name that resembles it.
        near: Option<ServerName>,
    },
    /// A server of that name, ignoring case, is deployed already.
    #[error("a server named {server} is deployed already; undeploy or update it")]
    AlreadyDeployed {
        /// The name.
        server: ServerName,
    },
    /// The configuration contradicts itself, or what is deployed.
    #[error("invalid configuration: {message}")]
    Invalid {
        /// What is wrong, and what to do about it.
        message: String,
    },
    /// The fleet is at its limit of servers.
    #[error("the fleet is full: {limit} servers; raise `fleet.maxServers`")]
    FleetFull {
        /// The limit.
        limit: usize,
    },
    /// Too many commands wait for the same server.
    #[error("{server} has too many commands waiting ({limit})")]
    Overloaded {
        /// The server.
        server: ServerName,
        /// The limit.
        limit: usize,
    },
    /// Too many reloads are under way.
    #[error("{limit} reloads are under way already; wait for one of them")]
    TooManyReloads {
        /// The limit.
        limit: usize,
    },
    /// The server did not reach the state that was asked for.
    #[error("{server} {failure}")]
    Failed {
        /// The server.
        server: ServerName,
        /// Why.
        failure: Failure,
    },
    /// A server that it comes after does not come. It starts by itself once that one is ready.
    #[error("{server} waits for {dependency}, which {obstacle}")]
    Blocked {
        /// The server.
        server: ServerName,
        /// The server that it comes after.
        dependency: ServerName,
        /// Why that one is not ready.
        obstacle: Obstacle,
    },
    /// Another command undid this one before it was finished.
    #[error("superseded: {server} was {by} meanwhile")]
    Superseded {
        /// The server.
        server: ServerName,
        /// What was done instead.
        by: String,
    },
    /// The catalog could not be read from the server.
    #[error("{server}: {message}")]
    Catalog {
        /// The server.
        server: ServerName,
        /// Why.
        message: String,
    },
    /// The question is not open: it was answered, withdrawn, or never asked.
    #[error("no open question has that id")]
    NoSuchInput,
    /// The fleet is shutting down.
    #[error("the fleet is shutting down")]
    ShuttingDown,
}
