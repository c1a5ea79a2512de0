//! The one machine at the top: it owns the servers and carries plain values between them.

mod changes;
mod checks;
mod clients;
mod commands;
mod order;
mod pools;
mod reloads;
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
    reloads::Reloads,
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
    pool::Pool,
    rng::Rng,
    server::{Context, Deadline, Parked, Server, Timer},
    session::Offer,
    stats::{FleetStats, Meter},
    time::Time,
};

/// Servers that may act on their deadlines in one [`Fleet::handle_timeout`]; the rest act in the
/// next, which is due at once.
const SERVERS_PER_TURN: usize = 256;
/// Times that calls are shared out again in one turn.
const ROUNDS_PER_TURN: usize = 256;

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
    by_name: BTreeMap<ServerName, Pool>,
    /// Servers that came from a configuration, deployed or not; a reload may remove them.
    declared: BTreeSet<ServerName>,
    /// Which server has a call. Looked up, never walked.
    calls: HashMap<CallId, ServerId>,
    clients: Clients,
    /// Which server has an open question. Looked up, never walked.
    inputs: HashMap<InputId, ServerId>,
    next_input: u64,
    /// Calls accepted so far.
    next_ticket: u64,
    /// Calls that were left unserved, by the name of the server, until they are shared out.
    unserved: Vec<(ServerName, CallId, Box<Parked>)>,
    deadlines: BTreeSet<(Time, ServerId)>,
    /// The deadline each server has in `deadlines`.
    scheduled: Vec<Option<Time>>,
    checks: Checks,
    reloads: Reloads,
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
    /// commands, so that each deployment has an outcome of its own; a reload may remove those that
    /// it names.
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
            declared: config
                .servers
                .into_iter()
                .map(|server| server.name)
                .collect(),
            calls: HashMap::new(),
            clients: Clients::default(),
            inputs: HashMap::new(),
            next_input: 0,
            next_ticket: 0,
            unserved: Vec::new(),
            deadlines: BTreeSet::new(),
            scheduled: Vec::new(),
            checks: Checks::default(),
            reloads: Reloads::default(),
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
            servers: self.by_name.len(),
            active_servers: 0,
            total: self.total.snapshot(0, 0),
            by_server: Vec::with_capacity(self.by_name.len()),
            stale_signals: self.stale_signals,
        };
        for (name, pool) in &self.by_name {
            let own = self.pool_stats(pool);
            stats.active_servers += usize::from(self.is_pool_ready(pool));
            stats.total.add_counts(&own);
            stats.by_server.push((name.clone(), own));
        }
        stats
    }

    /// Whether a server of that name is deployed, or on its way out.
    pub fn has_server(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
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

    /// Lets one server act, and then its pool, and those whose turn to start it has become by that.
    fn with_server(
        &mut self,
        now: Time,
        id: ServerId,
        act: impl FnOnce(&mut Server, &mut Context<'_>),
    ) {
        let name = self
            .servers
            .get(index(id))
            .map(|server| server.name().clone());
        self.let_act(now, id, act);
        if let Some(name) = name {
            self.settle(now, &name);
        }
    }

    /// Brings a pool in order after something moved, and those whose members have their turn to
    /// start by that.
    fn settle(&mut self, now: Time, name: &ServerName) {
        let mut moved = vec![name.clone()];
        while let Some(name) = moved.pop() {
            self.settle_one(now, &name);
            while let Some(next) = self.starts.grant() {
                let server = self.servers.get(index(next));
                moved.extend(server.map(|server| server.name().clone()));
                self.let_act(now, next, Server::take_turn);
            }
        }
        self.finish_shutdown();
    }

    fn settle_one(&mut self, now: Time, name: &ServerName) {
        // Again where calls moved: those that got them may have their hands full by that, or empty,
        // where the time of the calls was up.
        for _ in 0..ROUNDS_PER_TURN {
            self.settle_pool(now, name);
            self.balance(now, name);
            if !self.share_out(now) {
                break;
            }
        }
        if self.settle_lists(now, name) {
            self.settle_pool(now, name);
            // What woke may have to wait in vain.
            self.settle_lists(now, name);
        }
    }

    /// Lets one server act, then carries what it left behind.
    fn let_act(
        &mut self,
        now: Time,
        id: ServerId,
        act: impl FnOnce(&mut Server, &mut Context<'_>),
    ) {
        let relief = self.has_relief(now, id);
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
            relief,
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
