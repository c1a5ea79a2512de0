//! What is known of each server: its bounds, where it is in its life, and why it may fail.

use std::{collections::BTreeMap, time::Duration};

use mcp_fleet_core::{
    ClientId, Failure, ServerId, ServerState, Time, WaitingFor,
    config::{Kind, Restart, Retry, Scope, ServerConfig, ServerLimits, Start},
};

use super::{
    aftermath,
    breaker::BreakerBook,
    links::LinkBook,
    pools::{PoolBook, Role},
    probes::ProbeBook,
};
use crate::violation::{Violation, promise};

const WHY: &str = "a server fails for a reason that was seen";

/// How far time may have gone backwards meanwhile.
const CLOCK: Duration = Duration::from_millis(20);

/// One replica of a deployed server.
#[derive(Debug)]
pub(super) struct ServerBook {
    pub(super) role: Role,
    /// Whose it is alone, once that was seen: of a client, or of those without a name.
    pub(super) owner: Option<Option<ClientId>>,
    /// It had others beside it: which calls wait for it is not known.
    pub(super) vague: bool,
    /// What it last said that it waits for.
    pub(super) waiting: Option<WaitingFor>,
    /// Where it lives, once it was opened.
    pub(super) slot: Option<ServerId>,
    /// Whether it took calls when the turn began.
    pub(super) was_ready: bool,
    /// Whether it began to drain in this turn.
    pub(super) left_ready: bool,
    /// Calls in flight when the turn began.
    pub(super) in_flight: usize,
    pub(super) limits: ServerLimits,
    pub(super) state: ServerState,
    /// Least of each, over all its configurations: an interval may have begun under another.
    pub(super) interval_min: Duration,
    pub(super) kill_wait_min: Duration,
    /// The longest, likewise.
    pub(super) kill_wait_max: Duration,
    start_timeout_min: Duration,
    health_interval_min: Duration,
    /// Greatest of each.
    pub(super) breaker_open_max: Duration,
    pub(super) timeout_max_max: Duration,
    readiness_interval_min: Duration,
    readiness_failures_min: u32,
    readiness_failures_max: u32,
    pub(super) breaker: BreakerBook,
    pub(super) probes: ProbeBook,
    kind: Kind,
    enabled: bool,
    start: Start,
    scope: Scope,
    restart: Restart,
    /// When restarts were granted since the operator last wanted a fresh start.
    restarts: Vec<Time>,
    pub(super) retry: Retry,
}

impl ServerBook {
    pub(super) fn new(role: Role, config: &ServerConfig) -> Self {
        Self {
            role,
            owner: None,
            vague: false,
            waiting: None,
            slot: None,
            was_ready: false,
            left_ready: false,
            in_flight: 0,
            limits: config.limits.clone(),
            state: ServerState::Stopped,
            interval_min: config.limits.refresh_interval,
            kill_wait_min: config.limits.kill_wait,
            kill_wait_max: config.limits.kill_wait,
            start_timeout_min: config.limits.start_timeout,
            health_interval_min: config.limits.health_interval,
            breaker_open_max: config.limits.breaker_open,
            timeout_max_max: config.limits.timeout_max,
            readiness_interval_min: config.limits.readiness_interval,
            readiness_failures_min: config.limits.readiness_failures,
            readiness_failures_max: config.limits.readiness_failures,
            breaker: BreakerBook::default(),
            probes: ProbeBook::new(&config.probes),
            kind: config.kind.clone(),
            enabled: config.enabled,
            start: config.start,
            scope: config.scope,
            restart: config.restart,
            restarts: Vec::new(),
            retry: config.retry,
        }
    }

    pub(super) fn retune(&mut self, config: &ServerConfig) {
        let limits = &config.limits;
        let off = limits.breaker_failures == 0 && limits.breaker_percent == 0;
        let other = self.kind != config.kind
            || self.enabled != config.enabled
            || (self.start, self.scope) != (config.start, config.scope);
        // Another kind is another life.
        if off || other && config.enabled {
            self.breaker.reset();
        }
        self.kind = config.kind.clone();
        self.enabled = config.enabled;
        (self.start, self.scope) = (config.start, config.scope);
        self.probes.retune(&config.probes);
        self.breaker_open_max = self.breaker_open_max.max(limits.breaker_open);
        self.timeout_max_max = self.timeout_max_max.max(limits.timeout_max);
        self.readiness_interval_min = self.readiness_interval_min.min(limits.readiness_interval);
        self.readiness_failures_min = self.readiness_failures_min.min(limits.readiness_failures);
        self.readiness_failures_max = self.readiness_failures_max.max(limits.readiness_failures);
        self.restart = config.restart;
        self.retry = config.retry;
        self.interval_min = self.interval_min.min(limits.refresh_interval);
        self.kill_wait_max = self.kill_wait_max.max(limits.kill_wait);
        self.kill_wait_min = self.kill_wait_min.min(limits.kill_wait);
        self.start_timeout_min = self.start_timeout_min.min(limits.start_timeout);
        self.health_interval_min = self.health_interval_min.min(limits.health_interval);
        self.limits = limits.clone();
    }

    pub(super) fn enter(&mut self, state: ServerState) -> Result<(), Violation> {
        promise!(
            aftermath::may_follow(self.state, state),
            "a server goes the ways of the chart",
            "{} after {}",
            state,
            self.state
        );
        self.left_ready |= state == ServerState::Draining;
        self.probes
            .enter(self.state, state, self.readiness_failures_min)?;
        if state == ServerState::Ready && self.state != ServerState::Unready {
            self.breaker.on_ready();
        }
        self.state = state;
        if state == ServerState::Stopped {
            // Whoever starts it next wants it to start.
            self.forgive();
            self.slot = None;
            self.owner = None;
        }
        Ok(())
    }

    /// A turn begins, this long after the one before.
    pub(super) fn begin_turn(&mut self, pause: Duration) {
        self.breaker.begin_turn();
        self.probes.begin_turn();
        if pause > self.readiness_interval_min {
            self.probes.on_leap();
        }
    }

    /// What must hold at the end of a turn.
    pub(super) fn compare(&self) -> Result<(), Violation> {
        self.probes.compare(self.state, self.readiness_failures_max)
    }

    /// The operator wants a fresh start.
    pub(super) fn forgive(&mut self) {
        self.restarts.clear();
    }

    /// It is to start again by itself, within its budget.
    pub(super) fn grant_restart(&mut self, failure: &Failure, now: Time) -> Result<(), Violation> {
        const BUDGET: &str = "restarts are wanted, could help, and are within the budget";
        let wanted = aftermath::may_restart(failure, self.restart);
        promise!(wanted, BUDGET, "{failure:?} with {:?}", self.restart);
        let window = self.limits.restart_window;
        self.restarts.retain(|at| now.since(*at) < window);
        let (count, bound) = (self.restarts.len(), self.limits.restarts);
        promise!(
            count < bound,
            BUDGET,
            "{count} of {bound} within {window:?}"
        );
        self.restarts.push(now);
        Ok(())
    }

    /// `link` is the incarnation that failed, at the time `now`.
    pub(super) fn judge_failure(
        &self,
        failure: &Failure,
        now: Time,
        link: &LinkBook,
    ) -> Result<(), Violation> {
        let seen = match failure {
            Failure::CannotStart { .. } => link.over && link.handed == 0,
            Failure::EndedEarly { .. } | Failure::Crashed { .. } => link.ended,
            Failure::StartTimedOut { .. } => {
                now.since(link.opened_at) >= self.start_timeout_min || now < link.opened_at
            }
            Failure::Incompatible { .. } | Failure::Handshake { .. } => link.botched,
            Failure::Protocol { .. } => link.broke_protocol,
            Failure::Unresponsive { checks } => {
                let silence = now.since(link.heard_at) + CLOCK;
                silence >= self.health_interval_min * checks.saturating_sub(1)
            }
            _ => true,
        };
        promise!(seen, WHY, "{failure:?} of {link:?}");
        let tail = match failure {
            Failure::EndedEarly { stderr_tail, .. }
            | Failure::Crashed { stderr_tail, .. }
            | Failure::StartTimedOut { stderr_tail, .. } => stderr_tail.len(),
            _ => 0,
        };
        promise!(tail <= 4096, "last words are bounded", "{tail} bytes");
        Ok(())
    }
}

/// All deployed servers, by name.
#[derive(Debug, Default)]
pub(super) struct Servers(BTreeMap<String, PoolBook>);

impl Servers {
    /// Adds a server; one that is being undeployed comes back.
    pub(super) fn add(&mut self, config: &ServerConfig) {
        let name = config.name.as_str().to_owned();
        match self.0.get_mut(&name) {
            Some(pool) => pool.deploy_again(config),
            None => drop(self.0.insert(name, PoolBook::new(config))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&PoolBook> {
        self.0.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut PoolBook> {
        self.0.get_mut(name)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &PoolBook)> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut PoolBook)> {
        self.0.iter_mut()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&str, &PoolBook) -> bool) {
        self.0.retain(|name, pool| keep(name, pool));
    }
}
