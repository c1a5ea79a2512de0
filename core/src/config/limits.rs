//! Every bound, with its default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of the fleet as a whole. Configuration key in parentheses, below `fleet`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetLimits {
    /// Servers deployed at once (`maxServers`).
    pub servers: usize,
    /// Calls accepted and not yet ended, over all servers (`maxCalls`).
    pub calls: usize,
    /// Servers that start at the same time; others wait their turn (`maxStarting`).
    pub starting: usize,
    /// Calls of one client accepted and not yet ended (`maxCallsPerClient`); as many as `calls`
    /// when it is 0.
    pub calls_per_client: usize,
}

impl Default for FleetLimits {
    fn default() -> Self {
        Self {
            servers: 1024,
            calls: 65_536,
            starting: 8,
            calls_per_client: 0,
        }
    }
}

impl FleetLimits {
    /// Calls of one client accepted and not yet ended, where there is a bound of its own.
    pub(crate) const fn calls_of_client(&self) -> Option<usize> {
        match self.calls_per_client {
            0 => None,
            bound => Some(bound),
        }
    }
}

/// Bounds of one server. Configuration key in parentheses, beside `command`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerLimits {
    /// How long a call may take (`timeoutMs`); progress, where it was asked for, starts it anew.
    pub timeout: Duration,
    /// How long a call may take in all, whatever its progress, and how long a question of a legacy
    /// server may wait for the application (`timeoutMaxMs`).
    pub timeout_max: Duration,
    /// From the start of the process to an open session, and a startup probe that succeeds
    /// (`startTimeoutMs`). Package runners may
    /// download first.
    pub start_timeout: Duration,
    /// How long the era probe waits before the handshake is tried (`probeTimeoutMs`).
    pub probe_timeout: Duration,
    /// How long a probe or one page of a list may take, and how long a server may leave its input
    /// unread before whoever waits for a list is told (`requestTimeoutMs`).
    pub request_timeout: Duration,
    /// How long calls in flight may go on when the server is to stop (`drainTimeoutMs`).
    pub drain_timeout: Duration,
    /// From the closing of standard input to SIGTERM (`closeInputWaitMs`).
    pub close_input_wait: Duration,
    /// From SIGTERM to SIGKILL (`terminateWaitMs`).
    pub terminate_wait: Duration,
    /// From SIGKILL to the moment when a server that still did not end is given up (`killWaitMs`).
    pub kill_wait: Duration,
    /// From one health check to the next (`healthIntervalMs`); none is made when it is 0.
    pub health_interval: Duration,
    /// Health checks in a row left unanswered (`healthFailures`) after which a server is started anew.
    pub health_failures: u32,
    /// From one startup probe to the next (`startupIntervalMs`).
    pub startup_interval: Duration,
    /// From one readiness probe to the next (`readinessIntervalMs`).
    pub readiness_interval: Duration,
    /// Readiness probes in a row that failed (`readinessFailures`) after which a server gets no calls.
    pub readiness_failures: u32,
    /// Lost calls in a row that open the breaker (`breakerFailures`); any number when it is 0.
    pub breaker_failures: u32,
    /// Lost calls of a hundred that open the breaker (`breakerPercent`); any number when it is 0.
    pub breaker_percent: u32,
    /// Calls in one window (`breakerCalls`) before their rate is looked at.
    pub breaker_calls: u32,
    /// The window of `breaker_calls` (`breakerWindowMs`).
    pub breaker_window: Duration,
    /// From the opening of the breaker to the one call that tries again (`breakerOpenMs`).
    pub breaker_open: Duration,
    /// Longest pause before the first restart (`backoffMs`); each further one doubles it. The pause
    /// itself is drawn between nothing and this.
    pub backoff: Duration,
    /// Longest pause before any restart (`backoffMaxMs`).
    pub backoff_max: Duration,
    /// Restarts granted in one window, failed starts included (`maxRestarts`).
    pub restarts: usize,
    /// The window of `restarts` (`restartWindowMs`).
    pub restart_window: Duration,
    /// How long a server must have taken calls for its failures to be forgiven (`stableMs`).
    pub stable: Duration,
    /// From the end of the restarts to one more try (`reviveMs`).
    pub revive: Duration,
    /// How long a server that was replaced may come back when its successor fails (`probationMs`).
    pub probation: Duration,
    /// How long a server that was started lazily, or for one client, lives without a call
    /// (`idleStopMs`); for ever when it is 0.
    pub idle_stop: Duration,
    /// How long output is still read after the direct child ended (`exitWaitMs`).
    pub exit_wait: Duration,
    /// Least time between two refreshes of one list (`refreshIntervalMs`).
    pub refresh_interval: Duration,
    /// Pause before an `input_required` round that asks nothing is repeated (`roundPauseMs`).
    pub round_pause: Duration,
    /// Calls sent and not answered (`maxInFlight`).
    pub in_flight: usize,
    /// Calls waiting to be sent (`maxQueue`).
    pub queue: usize,
    /// Calls of one client waiting to be sent (`maxQueuePerClient`); as many as `queue` when it
    /// is 0.
    pub queue_per_client: usize,
    /// Retries of a hundred calls (`retryPercent`).
    pub retry_percent: u32,
    /// Processes or connections that serve one name (`replicas`).
    pub replicas: usize,
    /// As many at most when calls queue up (`maxReplicas`); `replicas` when it is less.
    pub replicas_max: usize,
    /// Calls waiting for each replica (`scaleQueue`) that call for one more.
    pub scale_queue: usize,
    /// How long one replica too many has nothing to do before it is stopped (`scaleDownMs`).
    pub scale_down: Duration,
    /// Replicas of a hundred that may be kept from calls for their health (`maxEjectedPercent`); read,
    /// and without effect yet.
    pub ejected_percent: u32,
    /// Clients that have a server of their own at once (`maxClients`).
    pub clients: usize,
    /// Commands waiting for one server (`maxWaiting`).
    pub waiting: usize,
    /// Length of one line from the server, and of all entries of one list, in bytes
    /// (`maxLineBytes`).
    pub line_bytes: usize,
    /// Bytes handed to the write pump and not yet written (`maxWriteBytes`). One frame may exceed
    /// it when nothing else is under way.
    pub write_bytes: u64,
    /// Lines on standard output that are no messages (`maxNoiseLines`), in a row; one more and the
    /// server is taken to be no MCP server.
    pub noise_lines: u32,
    /// Bytes kept of standard error and of noise on standard output (`logBytes`).
    pub log_bytes: usize,
    /// Pages of one list (`maxPages`).
    pub pages: usize,
    /// Entries of one list (`maxEntries`).
    pub entries: usize,
    /// Questions of the server that wait for the application (`maxInputs`).
    pub inputs: usize,
    /// Rounds of `input_required` in one call (`maxRounds`).
    pub rounds: u32,
}

impl ServerLimits {
    /// Calls of one client waiting to be sent, where there is a bound of its own.
    pub(crate) const fn queue_of_client(&self) -> Option<usize> {
        match self.queue_per_client {
            0 => None,
            bound => Some(bound),
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            timeout_max: Duration::from_secs(600),
            start_timeout: Duration::from_secs(60),
            probe_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(10),
            close_input_wait: Duration::from_secs(2),
            terminate_wait: Duration::from_secs(2),
            kill_wait: Duration::from_secs(5),
            health_interval: Duration::from_secs(30),
            health_failures: 3,
            startup_interval: Duration::from_secs(1),
            readiness_interval: Duration::from_secs(10),
            readiness_failures: 3,
            breaker_failures: 10,
            breaker_percent: 50,
            breaker_calls: 20,
            breaker_window: Duration::from_secs(10),
            breaker_open: Duration::from_secs(5),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            restarts: 5,
            restart_window: Duration::from_secs(60),
            stable: Duration::from_secs(60),
            revive: Duration::from_secs(300),
            probation: Duration::from_secs(30),
            idle_stop: Duration::from_secs(300),
            exit_wait: Duration::from_millis(500),
            refresh_interval: Duration::from_secs(1),
            round_pause: Duration::from_millis(250),
            in_flight: 128,
            queue: 1024,
            queue_per_client: 0,
            retry_percent: 20,
            replicas: 1,
            replicas_max: 0,
            scale_queue: 8,
            scale_down: Duration::from_secs(60),
            ejected_percent: 50,
            clients: 64,
            waiting: 256,
            line_bytes: 16 << 20,
            write_bytes: 4 << 20,
            noise_lines: 1000,
            log_bytes: 16 << 10,
            pages: 1000,
            entries: 10_000,
            inputs: 64,
            rounds: 10,
        }
    }
}
