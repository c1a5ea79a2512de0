//! One supervised server: its life, its queue, its deadlines, its counts.

mod breaker;
mod calls;
mod execute;
mod health;
mod ladder;
mod lifecycle;
mod lists;
mod liveness;
mod load;
mod log;
mod queue;
mod readiness;
mod restart;
mod retry;
mod rounds;
mod sleep;
mod startup;
mod state;
mod timers;
mod updates;
mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub(crate) use self::load::{Load, Parked};
pub use self::timers::{Deadline, Timer};
use self::{
    breaker::Breaker,
    calls::Calls,
    health::{Asker, Check},
    liveness::Liveness,
    load::Idle,
    log::LogRing,
    readiness::Readiness,
    restart::Budget,
    retry::RetryBudget,
    rounds::Asked,
    startup::Startup,
    state::{Live, Rotation, State},
    timers::{Due, Timers},
};
pub(crate) use self::{execute::check_request, sleep::is_lazy};
use crate::{
    config::{Kind, Probes, Restart, Retry, ServerConfig, ServerLimits},
    event::{BreakerState, CatalogKind, Event, ReplicaInfo, ServerInfo, ServerState},
    fleet::{Order, Starts},
    ids::{InputId, LinkId, ServerId, ServerName},
    link::{Note, Outbox},
    rng::Rng,
    session::{Catalog, Offer},
    stats::{Meter, ServerStats},
    time::Time,
};

/// Deadlines handled in one turn; more wait for the next, which comes at once.
const TIMEOUTS_PER_TURN: usize = 256;
/// Violations told as events in one incarnation; all are counted.
const VIOLATION_EVENTS_MAX: u32 = 100;

/// What one input brings along for whoever handles it.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) out: &'a mut Outbox,
    pub(crate) rng: &'a mut Rng,
    pub(crate) next_input: &'a mut u64,
    /// The place of the next call in the order of acceptance, over all servers.
    pub(crate) next_ticket: &'a mut u64,
    pub(crate) starts: &'a mut Starts,
    /// Whether another server can take the calls that this one cannot serve.
    pub(crate) relief: bool,
    pub(crate) order: &'a mut Order,
}

/// One supervised server.
#[derive(Debug)]
pub(crate) struct Server {
    id: ServerId,
    name: ServerName,
    replica: u32,
    kind: Arc<Kind>,
    enabled: bool,
    /// Whether it runs only while it is needed.
    lazy: bool,
    restart: Restart,
    budget: Budget,
    retry: Retry,
    retries: RetryBudget,
    limits: ServerLimits,
    probes: Probes,
    offer: Arc<Offer>,
    state: State,
    incarnation: u32,
    pid: Option<u32>,
    /// Until when the server is taken to speak the legacy era without being asked.
    legacy_until: Time,
    calls: Calls,
    breaker: Breaker,
    catalog: Catalog,
    questions: BTreeMap<InputId, Asked>,
    /// Health checks under way, by request.
    checks: BTreeMap<u64, Check>,
    startup: Startup,
    readiness: Readiness,
    liveness: Liveness,
    /// When the server must be ready.
    start_due: Time,
    /// Deadlines of the machine's own requests, to take them back.
    request_due: BTreeMap<u64, Time>,
    idle: Idle,
    /// What the application subscribed to in this incarnation, by the params it gave.
    subscriptions: BTreeSet<String>,
    timers: Timers,
    log: LogRing,
    meter: Meter,
    violations_told: u32,
}

impl Server {
    /// A stopped server whose next incarnation follows `last_incarnation`.
    pub(crate) fn new(
        id: ServerId,
        replica: u32,
        config: ServerConfig,
        last_incarnation: u32,
        offer: Arc<Offer>,
    ) -> Self {
        let lazy = is_lazy(&config);
        let ServerConfig {
            name,
            kind,
            enabled,
            restart,
            retry,
            limits,
            probes,
            ..
        } = config;
        Self {
            id,
            name,
            replica,
            kind: Arc::new(kind),
            enabled,
            lazy,
            restart,
            budget: Budget::default(),
            retry,
            retries: RetryBudget::default(),
            log: LogRing::new(limits.log_bytes),
            limits,
            probes,
            offer,
            state: State::Stopped,
            incarnation: last_incarnation,
            pid: None,
            legacy_until: Time::ZERO,
            calls: Calls::default(),
            breaker: Breaker::default(),
            catalog: Catalog::default(),
            questions: BTreeMap::new(),
            checks: BTreeMap::new(),
            startup: Startup::default(),
            readiness: Readiness::default(),
            liveness: Liveness::default(),
            start_due: Time::ZERO,
            request_due: BTreeMap::new(),
            idle: Idle::default(),
            subscriptions: BTreeSet::new(),
            timers: Timers::default(),
            meter: Meter::default(),
            violations_told: 0,
        }
    }

    /// Handles the deadlines that have passed.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        for _ in 0..TIMEOUTS_PER_TURN {
            if let Some(timer) = self.timers.take_single(cx.now) {
                self.on_timer(cx, timer);
            } else if let Some(due) = self.timers.take_many(cx.now) {
                match due {
                    Due::Call(call) => self.on_call_due(cx, call),
                    Due::Request(request) => self.on_request_due(cx, request),
                    Due::Round(call) => self.on_round_due(call),
                    Due::Input(input) => self.on_input_due(cx, input),
                }
            } else {
                break;
            }
        }
        self.settle(cx);
    }

    /// Takes new limits, probes and other policies without touching the incarnation.
    pub(crate) fn retune(&mut self, cx: &mut Context<'_>, config: ServerConfig) {
        let ServerConfig {
            restart,
            retry,
            probes,
            limits,
            ..
        } = config;
        self.restart = restart;
        self.retry = retry;
        let before = self.limits.clone();
        self.take_limits(cx, limits);
        let asked = std::mem::replace(&mut self.probes, probes);
        if asked.startup != self.probes.startup {
            self.change_startup(cx);
        }
        if asked.readiness != self.probes.readiness {
            self.change_readiness(cx);
        } else if self.limits.readiness_interval != before.readiness_interval {
            self.arm_readiness(cx.now);
        }
        if asked.liveness != self.probes.liveness
            || self.limits.health_interval != before.health_interval
        {
            self.forget_checks(Asker::Liveness);
            self.arm_liveness(cx.now);
        }
        self.settle(cx);
    }

    /// Takes a new configuration: the running incarnation drains, the next one is of the new kind,
    /// and calls wait for it in the queue.
    pub(crate) fn replace(&mut self, cx: &mut Context<'_>, config: ServerConfig) {
        self.lazy = is_lazy(&config);
        let ServerConfig {
            name: _,
            kind,
            enabled,
            restart,
            retry,
            limits,
            probes,
            ..
        } = config;
        self.restart = restart;
        self.probes = probes;
        self.retry = retry;
        // What the tools of one program bear says nothing of those of another.
        self.catalog.distrust();
        self.kind = Arc::new(kind);
        self.enabled = enabled;
        self.take_limits(cx, limits);
        self.legacy_until = Time::ZERO;
        if enabled && self.lazy && self.is_at_rest() && self.calls.is_empty() {
            self.budget.forgive();
            self.reset_breaker(cx);
            self.timers.disarm(Timer::Backoff);
            self.timers.disarm(Timer::Revive);
            self.begin(cx);
            self.settle(cx);
        } else if enabled {
            self.begin_anew(cx);
        } else {
            self.stop(cx, None);
        }
    }

    pub(crate) const fn id(&self) -> ServerId {
        self.id
    }

    pub(crate) const fn name(&self) -> &ServerName {
        &self.name
    }

    pub(crate) const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// What servers are told about the client from the next session on.
    pub(crate) fn set_offer(&mut self, offer: Arc<Offer>) {
        self.offer = offer;
    }

    pub(crate) const fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// Whether it is ready, and its readiness probe does not say that it is to get no new calls.
    pub(crate) const fn in_rotation(&self) -> bool {
        matches!(
            &self.state,
            State::Ready(Live {
                rotation: Rotation::In,
                ..
            })
        )
    }

    /// How long a new call is to wait because too many were lost lately; `None` where it is taken.
    pub(crate) fn breaker_refuses(&self, now: Time) -> Option<Duration> {
        self.breaker.refuses(now, &self.limits)
    }

    /// Whether nothing of it runs.
    pub(crate) const fn is_at_rest(&self) -> bool {
        !self.state.has_link()
    }

    /// When [`Server::handle_timeout`] is wanted next. May change with every input.
    pub(crate) fn poll_timeout(&self) -> Option<(Time, Timer)> {
        let refresh = self.catalog.poll_timeout().map(|at| (at, Timer::Refresh));
        self.timers.next().into_iter().chain(refresh).min()
    }

    pub(crate) fn stats(&self) -> ServerStats {
        self.meter
            .snapshot(self.calls.queued(), self.calls.in_flight())
    }

    pub(crate) fn info(&self) -> ServerInfo {
        let agreement = self.state.live().and_then(|live| live.session.agreement());
        ServerInfo {
            name: self.name.clone(),
            kind: self.kind.as_str().to_owned(),
            state: self.state.word(),
            failure: self.state.failure().cloned(),
            unwell: self.unwell().map(str::to_owned),
            breaker: self.breaker.state(),
            waiting: self.state.waiting_for(),
            incarnation: self.incarnation,
            pid: self.pid,
            revision: agreement.map(|agreement| agreement.revision),
            implementation: agreement.and_then(|agreement| agreement.implementation.clone()),
            instructions: agreement.and_then(|agreement| agreement.instructions.clone()),
            tools: self.catalog.count(CatalogKind::Tools),
            resources: self.catalog.count(CatalogKind::Resources),
            templates: self.catalog.count(CatalogKind::Templates),
            prompts: self.catalog.count(CatalogKind::Prompts),
            degraded: self.catalog.degraded().map(str::to_owned),
            stats: self.stats(),
            replicas: Vec::new(),
        }
    }

    pub(crate) fn replica_info(&self) -> ReplicaInfo {
        ReplicaInfo {
            replica: self.replica,
            state: self.state.word(),
            failure: self.state.failure().cloned(),
            incarnation: self.incarnation,
            pid: self.pid,
            in_flight: self.calls.in_flight(),
            queued: self.calls.queued(),
            client: None,
        }
    }

    fn take_limits(&mut self, cx: &mut Context<'_>, limits: ServerLimits) {
        self.limits = limits;
        if self.limits.breaker_failures == 0 && self.limits.breaker_percent == 0 {
            self.reset_breaker(cx);
        }
        self.log.set_capacity(self.limits.log_bytes);
        if let Some(live) = self.state.live_mut() {
            live.session.retune(&self.limits);
        }
    }

    const fn link(&self) -> LinkId {
        LinkId {
            server: self.id,
            incarnation: self.incarnation,
        }
    }

    fn arm_request(&mut self, now: Time, request: u64) {
        let due = now.after(self.limits.request_timeout);
        self.request_due.insert(request, due);
        self.timers.insert(due, Due::Request(request));
    }

    fn disarm_request(&mut self, request: u64) {
        if let Some(due) = self.request_due.remove(&request) {
            self.timers.remove(due, Due::Request(request));
        }
    }

    fn violation(&mut self, cx: &mut Context<'_>, message: String) {
        self.meter.counts.violations += 1;
        if self.violations_told < VIOLATION_EVENTS_MAX {
            self.violations_told += 1;
            cx.out.event(Event::Violation {
                server: self.name.clone(),
                message,
            });
        }
    }

    fn enter(&mut self, cx: &mut Context<'_>, state: State) {
        self.state = state;
        cx.out.note(Note::Moved);
        self.tell_state(cx);
    }

    fn tell_state(&self, cx: &mut Context<'_>) {
        cx.out.event(Event::ServerChanged {
            server: self.name.clone(),
            replica: self.replica,
            incarnation: self.incarnation,
            state: self.state.word(),
            failure: self.state.failure().cloned(),
            waiting: self.state.waiting_for(),
        });
    }

    /// What keeps it from calls though its session is open.
    fn unwell(&self) -> Option<&str> {
        match &self.state {
            State::Warming(_) => self.startup.problem(),
            State::Ready(Live {
                rotation: Rotation::Out(problem),
                ..
            }) => Some(problem),
            State::Ready(_)
            | State::Stopped
            | State::Asleep
            | State::Waiting(_)
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Draining(..)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_) => None,
        }
    }

    fn reset_breaker(&mut self, cx: &mut Context<'_>) {
        if self.breaker.reset() {
            self.tell_breaker(cx);
        }
    }

    fn tell_breaker(&mut self, cx: &mut Context<'_>) {
        let state = self.breaker.state();
        self.meter.counts.breaker_opened += u64::from(state == BreakerState::Open);
        cx.out.event(Event::BreakerChanged {
            server: self.name.clone(),
            replica: self.replica,
            state,
        });
    }

    fn why_unavailable(&self) -> String {
        match &self.state {
            State::Backoff(failure) | State::Failed(failure) => failure.to_string(),
            State::Stopped if !self.enabled => "is disabled in its configuration".to_owned(),
            State::Waiting(wait) => format!("waits for {}", wait.waiting_for()),
            State::Stopped
            | State::Asleep
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_)
            | State::Draining(..)
            | State::Closing(_) => {
                let state: ServerState = self.state.word();
                format!("is {state}")
            }
        }
    }
}
