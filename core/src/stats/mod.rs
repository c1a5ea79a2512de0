//! Counts and latencies.

mod histogram;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::histogram::Histogram;
use crate::{error::CallError, ids::ServerName};

/// Counts and latencies of a fleet.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FleetStats {
    /// Servers deployed.
    pub servers: usize,
    /// Servers that are ready, and get calls.
    pub active_servers: usize,
    /// All servers taken together.
    pub total: ServerStats,
    /// Each server, in order of their names.
    pub by_server: Vec<(ServerName, ServerStats)>,
    /// Signals of incarnations that are over.
    pub stale_signals: u64,
}

/// Counts and latencies of one server. All counts are since it was deployed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ServerStats {
    /// Calls that ended, refused ones included.
    pub calls: u64,
    /// Calls that ended with a result.
    pub succeeded: u64,
    /// Calls that ended without one, by cause.
    pub errors: ErrorCounts,
    /// Calls waiting to be sent, now.
    pub queued: usize,
    /// Calls sent and not answered, or about to be sent again, now.
    pub in_flight: usize,
    /// Calls that may have run when their server was lost, and were made again.
    #[serde(default)]
    pub retries: u64,
    /// Calls that were lost with their server before a byte of them was written, and waited again.
    #[serde(default)]
    pub requeued: u64,
    /// Times the server was opened.
    pub starts: u64,
    /// Times it ended without being asked to.
    pub crashes: u64,
    /// Times its breaker opened.
    #[serde(default)]
    pub breaker_opened: u64,
    /// Answers that came after their call had ended.
    pub late_answers: u64,
    /// What the server did against the protocol, and was tolerated.
    pub violations: u64,
    /// Lines on its standard output that were no messages.
    pub noise_lines: u64,
    /// From the acceptance of a call to its result, for calls that succeeded.
    pub latency: Latency,
}

/// Calls that ended without a result, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Refused, or displaced by a call with a better claim: a queue or the fleet was full.
    pub overloaded: u64,
    /// Refused: too many calls were lost lately.
    pub breaker_open: u64,
    /// Refused: the server was stopped or failed.
    pub unavailable: u64,
    /// The deadline passed.
    pub timed_out: u64,
    /// The caller gave up.
    pub cancelled: u64,
    /// The server went away.
    pub server_gone: u64,
    /// The server answered with an error.
    pub rpc: u64,
    /// The server's answer broke the protocol.
    pub protocol: u64,
    /// Anything else: invalid requests, refused questions, shutdown.
    pub other: u64,
}

impl ErrorCounts {
    /// All causes together.
    pub const fn total(&self) -> u64 {
        self.overloaded
            + self.breaker_open
            + self.unavailable
            + self.timed_out
            + self.cancelled
            + self.server_gone
            + self.rpc
            + self.protocol
            + self.other
    }
}

/// A summary of a latency histogram; all zero while `count` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// Half of them were no slower.
    pub p50: Duration,
    /// 95 of 100 were no slower.
    pub p95: Duration,
    /// 99 of 100 were no slower.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

impl ErrorCounts {
    const fn add(&mut self, other: &Self) {
        // Taken apart whole, so that a new field cannot be forgotten.
        let Self {
            overloaded,
            breaker_open,
            unavailable,
            timed_out,
            cancelled,
            server_gone,
            rpc,
            protocol,
            other,
        } = *other;
        self.overloaded += overloaded;
        self.breaker_open += breaker_open;
        self.unavailable += unavailable;
        self.timed_out += timed_out;
        self.cancelled += cancelled;
        self.server_gone += server_gone;
        self.rpc += rpc;
        self.protocol += protocol;
        self.other += other;
    }

    pub(crate) const fn count(&mut self, error: &CallError) {
        let counter = match error {
            CallError::Overloaded { .. } => &mut self.overloaded,
            CallError::BreakerOpen { .. } => &mut self.breaker_open,
            CallError::Unavailable { .. } => &mut self.unavailable,
            CallError::TimedOut { .. } => &mut self.timed_out,
            CallError::Cancelled { .. } => &mut self.cancelled,
            CallError::ServerGone { .. } => &mut self.server_gone,
            CallError::Rpc(_) => &mut self.rpc,
            CallError::Protocol { .. } => &mut self.protocol,
            CallError::NotFound { .. }
            | CallError::InputRefused { .. }
            | CallError::InvalidRequest { .. }
            | CallError::ShuttingDown => &mut self.other,
        };
        *counter += 1;
    }
}

/// The counters behind a [`ServerStats`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    pub(crate) counts: ServerStats,
    latency: Histogram,
}

impl Meter {
    /// Counts the outcome of a call that took `span` from its acceptance.
    pub(crate) fn ended(&mut self, failure: Option<&CallError>, span: Duration) {
        self.counts.calls += 1;
        match failure {
            None => {
                self.counts.succeeded += 1;
                self.latency.record(span);
            }
            Some(error) => self.counts.errors.count(error),
        }
    }

    /// Takes in what another counted, of calls and of servers.
    pub(crate) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.counts.calls += other.counts.calls;
        self.counts.succeeded += other.counts.succeeded;
        self.counts.errors.add(&other.counts.errors);
        self.counts.add_life(&other.counts);
    }

    pub(crate) fn median(&self) -> Duration {
        self.latency.quantile(50)
    }

    pub(crate) fn snapshot(&self, queued: usize, in_flight: usize) -> ServerStats {
        ServerStats {
            queued,
            in_flight,
            latency: self.latency.summary(),
            ..self.counts.clone()
        }
    }
}

impl ServerStats {
    /// Adds what is counted of servers, not of calls: the fleet counts calls itself.
    pub(crate) const fn add_counts(&mut self, server: &Self) {
        self.queued += server.queued;
        self.in_flight += server.in_flight;
        self.add_life(server);
    }

    pub(crate) const fn add_life(&mut self, server: &Self) {
        self.retries += server.retries;
        self.requeued += server.requeued;
        self.starts += server.starts;
        self.crashes += server.crashes;
        self.breaker_opened += server.breaker_opened;
        self.late_answers += server.late_answers;
        self.violations += server.violations;
        self.noise_lines += server.noise_lines;
    }
}
