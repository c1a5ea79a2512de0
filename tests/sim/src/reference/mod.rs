//! The reference model: what must come of each call, command and server, and what must hold after
//! every turn. It shares no code with the machine; it knows what the servers say from themselves.

mod admission;
mod aftermath;
mod breaker;
mod calls;
mod effects;
mod events;
mod inputs;
mod lines;
mod links;
mod order;
mod pools;
mod probes;
mod retries;
mod servers;

use std::collections::{BTreeMap, BTreeSet};

use mcp_fleet_core::{
    BreakerState, CallId, CommandId, Deadline, Effect, Event, FleetStats, Input, InputId, LinkId,
    ServerId, Time,
    config::{FleetConfig, FleetLimits},
};

use self::{
    admission::Verdict,
    calls::{Calls, Fate},
    links::Links,
    order::OrderBook,
    pools::{PoolBook, Role, is_per_client},
    servers::{ServerBook, Servers},
};
use crate::{
    link::Heard,
    violation::{Violation, promise},
};

const ONE_OUTCOME: &str = "one outcome a call";
const BOOKS: &str = "the machine counts as the model does";
const DEADLINE: &str = "deadlines are kept";
const DISPATCH: &str = "a free place is not left empty";

/// One turn of the machine, as it looks from outside.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) at: Time,
    /// What it was told; nothing where time passed.
    pub(crate) input: Option<&'a Input>,
    /// The lines that the input completes.
    pub(crate) heard: &'a [Heard],
    pub(crate) effects: &'a [Effect],
    pub(crate) events: &'a [Event],
    pub(crate) stats: &'a FleetStats,
    pub(crate) next: Option<Deadline>,
}

/// The model of a fleet.
#[derive(Debug)]
pub(crate) struct ReferenceState {
    limits: FleetLimits,
    now: Time,
    shut_down: bool,
    servers: Servers,
    /// Servers that came from a configuration.
    declared: BTreeSet<String>,
    links: Links,
    order: OrderBook,
    /// Which server lives in a slot.
    slots: BTreeMap<ServerId, String>,
    calls: Calls,
    commands: BTreeMap<CommandId, Command>,
    ended_commands: BTreeSet<CommandId>,
    inputs: BTreeMap<InputId, Asked>,
    last_input: u64,
    stale_signals: u64,
    outcomes: u64,
    results: u64,
    // What holds within one turn only.
    fates: BTreeMap<CallId, Fate>,
    verdict: Option<(CallId, Verdict)>,
    /// The calls of which one may give way to the new one, and the one that did.
    candidates: Vec<CallId>,
    gave_way: Option<CallId>,
    progress: Vec<(CallId, f64)>,
    /// What was told of breakers.
    breakers: Vec<((String, u32), BreakerState)>,
    /// Requests that must be taken back.
    notices: BTreeSet<(LinkId, u64)>,
    /// Calls that were never sent, and ended for want of anybody to serve them.
    left_alone: Vec<(CallId, String)>,
    /// Servers that a reload adds where there is room.
    doubtful: BTreeSet<String>,
}

/// A command that was given and has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Command {
    /// Newcomers start beside the others.
    Replace(String),
    Restart(String),
    Answer {
        known: bool,
    },
    Other,
}

/// A question of a server that waits for an answer.
#[derive(Clone, Debug)]
struct Asked {
    server: String,
    call: Option<CallId>,
    at: Time,
}

impl ReferenceState {
    pub(crate) fn new(config: &FleetConfig) -> Self {
        Self {
            limits: config.limits.clone(),
            order: OrderBook::new(&config.groups),
            now: Time::ZERO,
            shut_down: false,
            servers: Servers::default(),
            declared: BTreeSet::new(),
            links: Links::default(),
            slots: BTreeMap::new(),
            calls: Calls::default(),
            commands: BTreeMap::new(),
            ended_commands: BTreeSet::new(),
            inputs: BTreeMap::new(),
            last_input: 0,
            stale_signals: 0,
            outcomes: 0,
            results: 0,
            fates: BTreeMap::new(),
            verdict: None,
            candidates: Vec::new(),
            gave_way: None,
            progress: Vec::new(),
            breakers: Vec::new(),
            notices: BTreeSet::new(),
            left_alone: Vec::new(),
            doubtful: BTreeSet::new(),
        }
    }

    /// Lives one turn, and compares.
    pub(crate) fn apply(&mut self, turn: &Turn<'_>) -> Result<(), Violation> {
        let pause = turn.at.since(self.now);
        self.now = turn.at;
        for (_, pool) in self.servers.iter_mut() {
            let several = pool.only().is_none();
            if several {
                pool.lines.blur();
            }
            let owned = is_per_client(&pool.config);
            for member in pool.members.values_mut() {
                member.vague |= several || owned;
                member.begin_turn(pause);
            }
        }
        self.breakers.clear();
        self.fates.clear();
        self.verdict = None;
        self.candidates.clear();
        self.gave_way = None;
        self.progress.clear();
        self.notices.clear();
        self.left_alone.clear();
        self.begin_turn();
        self.order.begin_turn(match turn.input {
            Some(Input::Command(command)) => Some(command),
            Some(Input::Signal(_)) | None => None,
        });
        match turn.input {
            None => self.end_pauses(),
            Some(Input::Command(command)) => self.on_command(command, turn.events)?,
            Some(Input::Signal(signal)) => self.on_signal(signal, turn.heard, turn.events),
        }
        for event in turn.events {
            self.on_event(event)?;
        }
        self.settle_pools(turn)?;
        self.fates_are_fulfilled()?;
        self.lost_calls_wait()?;
        for effect in turn.effects {
            self.on_effect(effect)?;
        }
        // Where the input was closed in the same turn, there was no way left to tell.
        let links = &self.links;
        self.notices
            .retain(|(link, _)| links.get(*link).is_some_and(|book| !book.input_closed));
        promise!(
            self.notices.is_empty(),
            "the server is told of a call that was given up",
            "{:?}",
            self.notices
        );
        self.compare(turn)?;
        self.forget_empty_classes();
        Ok(())
    }

    /// Whether all that was begun has ended, and no server is under way.
    pub(crate) fn has_converged(&self) -> bool {
        let settled = |member: &ServerBook| {
            // A program may never have learnt the question; a replica of it is kept all the same.
            let unwell = member.vague && member.state == mcp_fleet_core::ServerState::Unready;
            aftermath::is_settled(member.state) || unwell || self.waits_in_vain(member)
        };
        self.calls.open.is_empty()
            && self.commands.is_empty()
            && self
                .servers
                .iter()
                .all(|(_, pool)| pool.members.values().all(settled))
    }

    /// What has not ended, for people.
    pub(crate) fn unfinished(&self) -> String {
        let servers: Vec<_> = self
            .servers
            .iter()
            .flat_map(|(name, pool)| {
                let members = pool.members.iter();
                members.map(move |(replica, member)| {
                    format!("{name}.{replica} {:?} {}", member.role, member.state)
                })
            })
            .collect();
        format!(
            "calls {:?}, commands {:?}, servers {servers:?}",
            self.calls.open, self.commands
        )
    }

    /// What must hold when the application has left.
    pub(crate) fn finish(
        &self,
        stats: &FleetStats,
        next: Option<Deadline>,
    ) -> Result<(), Violation> {
        const NOTHING_LEFT: &str = "nothing is left after a shutdown";
        promise!(
            self.calls.open.is_empty(),
            NOTHING_LEFT,
            "{:?}",
            self.calls.open
        );
        promise!(
            self.commands.is_empty(),
            NOTHING_LEFT,
            "{:?}",
            self.commands
        );
        promise!(self.inputs.is_empty(), NOTHING_LEFT, "{:?}", self.inputs);
        promise!(self.links.all_over(), NOTHING_LEFT, "an open link");
        promise!(next.is_none(), NOTHING_LEFT, "{next:?}");
        let counts = (
            stats.total.queued,
            stats.total.in_flight,
            stats.active_servers,
        );
        promise!(counts == (0, 0, 0), NOTHING_LEFT, "{counts:?}");
        Ok(())
    }

    fn fates_are_fulfilled(&self) -> Result<(), Violation> {
        for (call, fate) in &self.fates {
            let open = self.calls.open.get(call);
            match (fate, open) {
                (Fate::Resumed, _) | (_, None) => {}
                (Fate::Answered(crate::server::Answer::Round { .. }), Some(open)) => {
                    let nobody_asked = open.stage == calls::Stage::Asking(BTreeSet::new());
                    promise!(!nobody_asked, ONE_OUTCOME, "{call:?} waits for no question");
                }
                (Fate::Answered(_) | Fate::Cancelled | Fate::Refused, Some(open)) => {
                    promise!(false, ONE_OUTCOME, "{call:?} lives on: {fate:?} {open:?}");
                }
            }
        }
        if let Some((call, verdict)) = &self.verdict {
            let taken = self.calls.open.contains_key(call);
            promise!(
                !taken || verdict.allows_taking(),
                "admission",
                "{call:?} was taken: {verdict:?}"
            );
            promise!(
                !taken || !verdict.needs_room() || self.gave_way.is_some(),
                "admission",
                "{call:?} was taken, and nobody gave way: {verdict:?}"
            );
        }
        promise!(
            self.progress.is_empty(),
            "growth is told",
            "{:?} was not",
            self.progress
        );
        Ok(())
    }

    /// What must hold after every turn.
    fn compare(&self, turn: &Turn<'_>) -> Result<(), Violation> {
        let stats = turn.stats;
        promise!(
            stats.servers == self.servers.len() && stats.servers <= self.limits.servers,
            BOOKS,
            "{} servers, not {}",
            stats.servers,
            self.servers.len()
        );
        promise!(
            stats.stale_signals == self.stale_signals,
            "signals of lives that are over are counted and dropped",
            "{} of {}",
            stats.stale_signals,
            self.stale_signals
        );
        let ended = (
            stats.total.calls,
            stats.total.succeeded,
            stats.total.errors.total(),
        );
        let expected = (self.outcomes, self.results, self.outcomes - self.results);
        promise!(
            ended == expected,
            BOOKS,
            "ended {ended:?}, not {expected:?}"
        );
        for (name, own) in &stats.by_server {
            let name = name.as_str();
            let (parked, in_flight) = self.calls.count(name);
            promise!(
                (own.queued, own.in_flight) == (parked, in_flight),
                BOOKS,
                "{name} has ({}, {}) queued and in flight, not ({parked}, {in_flight})",
                own.queued,
                own.in_flight
            );
            self.compare_server(name)?;
            self.compare_retries(name, own)?;
        }
        let members = self.servers.iter();
        let members = members.flat_map(|(_, pool)| pool.members.values());
        let starting = members.filter(|member| aftermath::is_starting(member.state));
        let (starting, bound) = (starting.count(), self.limits.starting.max(1));
        promise!(
            starting <= bound,
            "starts are bounded",
            "{starting} of {bound}"
        );
        let lost = |asked: &&Asked| {
            asked
                .call
                .is_some_and(|call| !self.calls.open.contains_key(&call))
        };
        let orphan = self.inputs.values().find(lost);
        promise!(
            orphan.is_none(),
            "no question outlives its call",
            "{orphan:?}"
        );
        self.compare_order(turn)?;
        self.compare_deadlines(turn)
    }

    fn compare_server(&self, name: &str) -> Result<(), Violation> {
        let Some(pool) = self.servers.get(name) else {
            promise!(false, BOOKS, "{name} is not deployed");
            return Ok(());
        };
        let open = self.calls.of(name).count();
        promise!(
            open == 0 || !pool.holds_no_calls(),
            ONE_OUTCOME,
            "{name} has {open} calls, and nobody to serve them"
        );
        for (replica, member) in &pool.members {
            member.compare()?;
            self.compare_breaker(name, *replica, member)?;
        }
        for member in pool.of_role(Role::Serving) {
            let Some(slot) = member.slot else { continue };
            let fresh = self.fresh_for(name, pool, member);
            let (in_flight, begun) = self.calls.count_at(name, slot);
            let ready = member.state == mcp_fleet_core::ServerState::Ready;
            // Where it may be spared calls, those that wait may do so for another.
            let fresh = if pool.may_spare() { 0 } else { fresh };
            if fresh + begun > 0 && ready && in_flight < member.limits.in_flight {
                let link = self.links.of(member.slot);
                let credit = link.is_some_and(|link| link.has_credit(member.limits.write_bytes));
                promise!(
                    !credit,
                    DISPATCH,
                    "{name}: {fresh} and {begun} parked, {in_flight} in flight"
                );
            }
        }
        Ok(())
    }

    /// Calls that were never sent, and that this member may serve.
    fn fresh_for(&self, name: &str, pool: &PoolBook, member: &ServerBook) -> usize {
        if !is_per_client(&pool.config) {
            return self.calls.fresh(name);
        }
        let Some(owner) = member.owner else { return 0 };
        let of_server = self.calls.of(name);
        let theirs = of_server.filter(|(_, call)| call.client == owner && call.owned);
        theirs
            .filter(|(_, call)| call.stands_in_line() && !call.lost)
            .count()
    }

    /// Only where all calls of a name are those of one member it is known which of them it has.
    fn compare_breaker(
        &self,
        name: &str,
        replica: u32,
        server: &ServerBook,
    ) -> Result<(), Violation> {
        let pool = self.servers.get(name);
        if server.vague || pool.is_none_or(|pool| pool.only().is_none()) {
            return Ok(());
        }
        let of_member = |who: &(String, u32)| who.0 == name && who.1 == replica;
        let told = self.breakers.iter().filter(|(who, _)| of_member(who));
        let told: Vec<_> = told.map(|(_, state)| *state).collect();
        promise!(
            told == server.breaker.expected,
            "the breaker opens and closes when it must",
            "{name} tells {told:?}: {:?}",
            server.breaker
        );
        let stray = self.calls.of(name).find(|(id, call)| {
            let waits = call.is_parked() && call.rounds == 0 && call.due > self.now;
            waits && !server.breaker.lets_through(**id)
        });
        promise!(
            stray.is_none(),
            "no call waits for an open breaker",
            "{name}: {stray:?}"
        );
        Ok(())
    }

    /// The member that a call was sent to.
    fn member_of(&self, call: &calls::Call) -> Option<&ServerBook> {
        self.servers.get(&call.server)?.of_slot(call.slot()?)
    }

    fn begin_turn(&mut self) {
        for (name, pool) in self.servers.iter_mut() {
            pool.begin_turn();
            // Those that leave may still work on some.
            let leaves = |slot| pool.of_slot(slot).map(|member| member.role) == Some(Role::Leaving);
            let open = self.calls.of(name);
            let open = open.filter(|(_, call)| !call.slot().is_some_and(leaves));
            pool.calls = open.count();
            for member in pool.members.values_mut() {
                member.left_ready = false;
                member.was_ready = member.state == mcp_fleet_core::ServerState::Ready;
                let count = |slot| self.calls.count_at(name, slot).0;
                member.in_flight = member.slot.map_or(0, count);
            }
        }
    }

    /// What must have become of the pools when all of a turn was told.
    fn settle_pools(&mut self, turn: &Turn<'_>) -> Result<(), Violation> {
        let told = |name: &str| {
            let mut names = turn.stats.by_server.iter();
            names.any(|(known, _)| known.as_str() == name)
        };
        for name in std::mem::take(&mut self.doubtful) {
            if !told(&name) {
                let full = self.servers.len() > self.limits.servers;
                promise!(full, "admission", "{name} was not added");
                self.servers.retain(|other, _| other != name);
                self.order.remove(&name);
            }
        }
        for (name, pool) in self.servers.iter_mut() {
            let settled = pool.settle(self.now, self.shut_down, turn.input.is_none());
            settled.map_err(|violation| violation.of(name))?;
        }
        let servers = &self.servers;
        for (call, name) in &self.left_alone {
            let pool = servers.get(name);
            // What the server of one client cannot serve, no other may.
            let able = |pool: &PoolBook| {
                !is_per_client(&pool.config)
                    && (pool.takes_calls() || pool.switched)
                    && !pool.may_spare()
            };
            promise!(
                !pool.is_some_and(able),
                "no call is refused while there is somebody to serve it",
                "{call:?} of {name}"
            );
        }
        let gone = |pool: &PoolBook| pool.leaving && pool.members.is_empty();
        let names = self.servers.iter().filter(|(_, pool)| gone(pool));
        for name in names.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.order.remove(&name);
        }
        self.servers.retain(|_, pool| !gone(pool));
        let servers = &self.servers;
        self.slots.retain(|slot, name| {
            let pool = servers.get(name);
            pool.is_some_and(|pool| pool.of_slot(*slot).is_some())
        });
        Ok(())
    }

    fn compare_deadlines(&self, turn: &Turn<'_>) -> Result<(), Violation> {
        let first = self
            .calls
            .open
            .iter()
            .filter(|(_, call)| !call.vague)
            .min_by_key(|(id, call)| (call.due, **id));
        if let Some((id, call)) = first {
            promise!(
                turn.next.is_some_and(|next| next.at <= call.due),
                DEADLINE,
                "{id:?} is due at {:?}, the machine waits for {:?}",
                call.due,
                turn.next
            );
            let passed = turn.input.is_none() && call.due <= self.now;
            let more = turn.next.is_some_and(|next| next.at <= self.now);
            promise!(
                !passed || more,
                DEADLINE,
                "{id:?} was due at {:?}",
                call.due
            );
        }
        let own = self.inputs.values().filter(|asked| asked.call.is_none());
        for asked in own {
            let bound = self.servers.get(&asked.server);
            let members = bound.into_iter().flat_map(|pool| pool.members.values());
            let longest = members.map(|member| member.timeout_max_max).max();
            let due = longest.map_or(Time::MAX, |longest| asked.at.after(longest));
            promise!(
                due == Time::MAX || turn.next.is_some_and(|next| next.at <= due),
                DEADLINE,
                "a question of {} is due at {due:?}",
                asked.server
            );
        }
        let members = self.servers.iter();
        let members =
            members.flat_map(|(name, pool)| pool.members.values().map(move |m| (name, m)));
        for (name, server) in members {
            let link = self.links.of(server.slot);
            let lingers = link.and_then(links::LinkBook::lingers_since);
            if let Some(since) = lingers {
                let latest = since.after(server.kill_wait_max);
                promise!(
                    turn.next.is_some_and(|next| next.at <= latest),
                    DEADLINE,
                    "{name} was killed at {since:?}, the machine waits for {:?}",
                    turn.next
                );
            }
        }
        if let Some(next) = turn.next
            && let Some(server) = self.slots.get(&next.server)
            && let Some(pool) = self.servers.get(server)
            && let Some(book) = pool.of_slot(next.server)
        {
            promise!(
                aftermath::may_wait_for(book.state, next.timer),
                "no deadline outlives what it is for",
                "{server} is {} and waits for {:?}",
                book.state,
                next.timer
            );
        }
        Ok(())
    }
}
