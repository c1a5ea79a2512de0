//! The one machine at the top: it owns the servers and carries plain values between them.

mod checks;
mod clients;
mod commands;
mod order;
mod route;
mod starts;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use slab::Slab;

use self::{
    checks::Checks,
    clients::Clients,
    order::{Agenda, Farewell},
};
pub(crate) use self::{
    order::{Awaited, Order, Standing},
    starts::Starts,
};
use crate::{
    config::{FleetConfig, FleetLimits},
    effect::Effect,
    event::Event,
    ids::{CallId, CommandId, InputId, ServerId, ServerName},
    input::{Input, Signal},
    link::Outbox,
    planted::{Bug, planted},
    rng::Rng,
    server::{Context, Deadline, Server, Timer},
    session::Offer,
    stats::{FleetStats, Meter},
    time::Time,
};

/// Servers that may act on their deadlines in one [`Fleet::handle_timeout`]; the rest act in the
/// next, which is due at once.
const SERVERS_PER_TURN: usize = 256;

/// A fleet of supervised servers.
///
/// See the crate's front page for the loop that drives it.
#[derive(Debug)]
pub struct Fleet {
    limits: FleetLimits,
    offer: Arc<Offer>,
    servers: Slab<Server>,
    /// The last incarnation of each slot, whoever lived there.
    last_incarnation: Vec<u32>,
    by_name: BTreeMap<ServerName, ServerId>,
    /// Which server has a call. Looked up, never walked.
    calls: HashMap<CallId, ServerId>,
    clients: Clients,
    /// Which server has an open question. Looked up, never walked.
    inputs: HashMap<InputId, ServerId>,
    next_input: u64,
    /// Calls accepted so far.
    next_ticket: u64,
    deadlines: BTreeSet<(Time, ServerId)>,
    /// The deadline each server has in `deadlines`.
    scheduled: Vec<Option<Time>>,
    checks: Checks,
    starts: Starts,
    order: Order,
    agenda: Agenda,
    farewell: Farewell,
    shutdown: Option<Vec<CommandId>>,
    total: Meter,
    stale_signals: u64,
    rng: Rng,
    out: Outbox,
}

impl Fleet {
    /// An empty fleet with the limits and the profile of `config`. Its servers are deployed by
    /// commands, so that each deployment has an outcome of its own.
    ///
    /// `seed` is the source of all randomness: the same seed and inputs give the same effects.
    pub fn new(config: FleetConfig, seed: u64) -> Self {
        Self {
            starts: Starts::new(config.limits.starting.max(1)),
            order: Order::new(config.groups),
            agenda: Agenda::default(),
            farewell: Farewell::default(),
            limits: config.limits,
            offer: Arc::new(Offer::new(&config.client)),
            servers: Slab::new(),
            last_incarnation: Vec::new(),
            by_name: BTreeMap::new(),
            calls: HashMap::new(),
            clients: Clients::default(),
            inputs: HashMap::new(),
            next_input: 0,
            next_ticket: 0,
            deadlines: BTreeSet::new(),
            scheduled: Vec::new(),
            checks: Checks::default(),
            shutdown: None,
            total: Meter::default(),
            stale_signals: 0,
            rng: Rng::new(seed),
            out: Outbox::default(),
        }
    }

    /// Takes one command or signal at the time `now`.
    ///
    /// It never fails: what comes of the input is in [`Fleet::poll_effect`], [`Fleet::poll_event`]
    /// and [`Fleet::poll_timeout`], which are to be drained before the next input.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Command(command) => self.handle_command(now, command),
            Input::Signal(signal) => self.handle_signal(now, signal),
        }
        self.run_errands(now);
    }

    /// Lets deadlines up to `now` pass. Calling it early, or for no reason, is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        for _ in 0..SERVERS_PER_TURN {
            match self.deadlines.first() {
                Some((at, id)) if *at <= now => {
                    let id = *id;
                    self.with_server(now, id, Server::handle_timeout);
                }
                Some(_) | None => break,
            }
        }
        self.run_errands(now);
    }

    /// The next thing to be done, in order. Its answer changes with every input and timeout.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.out.effects.pop_front()
    }

    /// The next thing to be told, in order. Its answer changes with every input and timeout.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// When [`Fleet::handle_timeout`] is wanted next, and for whom; may lie in the past, and is
    /// due at once then. Its answer changes with every input and timeout.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if let Some((at, server)) = self.agenda.first() {
            let timer = Timer::Turn;
            return Some(Deadline { at, server, timer });
        }
        let (at, server) = *self.deadlines.first()?;
        let (_, timer) = self.servers.get(index(server))?.poll_timeout()?;
        Some(Deadline { at, server, timer })
    }

    /// Counts and latencies, now.
    pub fn stats(&self) -> FleetStats {
        let mut stats = FleetStats {
            servers: self.servers.len(),
            active_servers: 0,
            total: self.total.snapshot(0, 0),
            by_server: Vec::with_capacity(self.servers.len()),
            stale_signals: self.stale_signals,
        };
        for (name, id) in &self.by_name {
            if let Some(server) = self.servers.get(index(*id)) {
                let own = server.stats();
                stats.active_servers += usize::from(server.in_rotation());
                stats.total.add_counts(&own);
                stats.by_server.push((name.clone(), own));
            }
        }
        stats
    }

    /// Whether a [`crate::McpCommand::Shutdown`] was taken and nothing runs any more.
    pub fn is_shut_down(&self) -> bool {
        self.shutdown.is_some() && self.servers.iter().all(|(_, server)| server.is_at_rest())
    }

    fn handle_signal(&mut self, now: Time, signal: Signal) {
        let link = signal.link();
        let current = self.servers.get(index(link.server)).is_some_and(|server| {
            server.incarnation() == link.incarnation || planted(Bug::StaleReply)
        });
        let mut taken = false;
        if current {
            self.with_server(now, link.server, |server, cx| {
                taken = server.on_signal(cx, signal)
            });
        }
        if !taken {
            self.stale_signals += 1;
        }
    }

    /// Lets one server act, and then those whose turn to start it has become by that.
    fn with_server(
        &mut self,
        now: Time,
        id: ServerId,
        act: impl FnOnce(&mut Server, &mut Context<'_>),
    ) {
        self.let_act(now, id, act);
        while let Some(next) = self.starts.grant() {
            self.let_act(now, next, Server::take_turn);
        }
    }

    /// Lets one server act, then carries what it left behind.
    fn let_act(
        &mut self,
        now: Time,
        id: ServerId,
        act: impl FnOnce(&mut Server, &mut Context<'_>),
    ) {
        let Some(server) = self.servers.get_mut(index(id)) else {
            return;
        };
        let mut cx = Context {
            now,
            out: &mut self.out,
            rng: &mut self.rng,
            next_input: &mut self.next_input,
            next_ticket: &mut self.next_ticket,
            starts: &mut self.starts,
            order: &mut self.order,
        };
        act(server, &mut cx);
        let next = server.poll_timeout().map(|(at, _)| at);
        self.schedule(id, next);
        self.carry_notes(now, id);
    }

    fn schedule(&mut self, id: ServerId, next: Option<Time>) {
        let Some(slot) = self.scheduled.get_mut(index(id)) else {
            return;
        };
        if *slot != next {
            if let Some(before) = std::mem::replace(slot, next) {
                self.deadlines.remove(&(before, id));
            }
            if let Some(next) = next {
                self.deadlines.insert((next, id));
            }
        }
    }
}

fn index(id: ServerId) -> usize {
    usize::try_from(id.0).unwrap_or(usize::MAX)
}
