//! One life of a fleet among its servers and clients.

use std::{collections::BTreeMap, time::Duration};

use mcp_fleet_core::{
    Effect, Fleet, Input, LinkId, ServerId, Signal, Time,
    config::Kind,
    journal::{Entry, Header, replay},
};

use crate::{
    client::Clients,
    dice::{Dice, Fate},
    fault::Fault,
    link::{Heard, Link, World},
    plan::{Faults, Plan, Strikes},
    reference::{ReferenceState, Turn},
    setting::Setting,
    violation::{Violation, promise},
};

/// Turns in which nothing but time passes that one moment may take. More would be a machine that
/// never sleeps.
const TURNS_AT_ONCE: u32 = 5000;
/// Turns after the faults have stopped. More would be a machine that never comes to rest.
const TURNS_OF_CALM: u64 = 400_000;
/// Turns of a life that bytes decide, before its faults stop.
const TAPE_STEPS: u64 = 2000;
/// How far time leaps.
const LEAP: Duration = Duration::from_secs(3600);
/// How far it goes back.
const BACK: Duration = Duration::from_millis(1);
const CONVERGENCE: &str = "all comes to an end once the faults stop";

/// What came of a life.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Turns of the machine.
    pub turns: u64,
    /// Acts of the clients.
    pub acts: u64,
    /// How often each fault struck.
    pub strikes: Strikes,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// The journal of it, where one was asked for: a header, then an entry a turn.
    pub journal: Option<(Header, Vec<Entry>)>,
}

/// What is to be kept or shown of a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Witness {
    /// Keep the journal.
    pub journal: bool,
    /// Print every turn.
    pub trace: bool,
}

/// Lives one life to its end, or to its first violation.
pub fn live(plan: &Plan, witness: Witness) -> Outcome {
    live_by(&Fate::Seed(plan.seed), plan, witness)
}

/// Lives a life that `bytes` decide in place of a seed: its limits and paces, the mix of faults,
/// what the clients do, when each fault strikes, and who is next. The faults stop when the bytes
/// are used up, or after a fixed number of turns.
pub fn live_tape(bytes: &[u8], witness: Witness) -> Outcome {
    live_by(&Fate::tape(bytes), &Plan::new(0, TAPE_STEPS), witness)
}

fn live_by(fate: &Fate, plan: &Plan, witness: Witness) -> Outcome {
    let setting = Setting::new(fate);
    let mut faults = Faults::new(plan, fate);
    let world = World {
        setting: &setting,
        faults: &mut faults,
    };
    let clients = Clients::new(plan, fate, &world);
    let mut life = Life {
        fate: fate.clone(),
        dice: fate.dice(0x11fe),
        fleet: Fleet::new(setting.fleet.clone(), fate.seed()),
        now: Time::ZERO,
        leaps: Duration::ZERO,
        deadline: None,
        links: BTreeMap::new(),
        clients,
        model: ReferenceState::new(&setting.fleet),
        turns: 0,
        idle: 0,
        witness,
        journal: Vec::new(),
        world,
    };
    let violation = life.live(plan.steps).err().map(|mut violation| {
        violation.turns = life.turns;
        violation
    });
    let (turns, acts) = (life.turns, life.clients.acts());
    let entries = std::mem::take(&mut life.journal);
    let header = Header::new(setting.fleet.clone(), fate.seed());
    Outcome {
        turns,
        acts,
        strikes: *life.world.faults.counts(),
        violation,
        journal: witness.journal.then_some((header, entries)),
    }
}

struct Life<'a> {
    fate: Fate,
    dice: Dice,
    fleet: Fleet,
    /// The time of the outside world.
    now: Time,
    /// How far the machine's time ran ahead of it.
    leaps: Duration,
    /// The deadline of the machine, and when it will be noticed.
    deadline: Option<(Time, Time)>,
    links: BTreeMap<LinkId, Link>,
    clients: Clients,
    model: ReferenceState,
    turns: u64,
    /// Turns in which only time passed, in this moment.
    idle: u32,
    witness: Witness,
    journal: Vec<Entry>,
    world: World<'a>,
}

/// Who is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Clients,
    Link(LinkId),
    Machine,
}

impl Life<'_> {
    fn live(&mut self, steps: u64) -> Result<(), Violation> {
        self.hear_clients()?;
        while self.turns < steps && !self.fate.is_used_up() && self.advance()? {
            self.meddle()?;
        }
        self.world.faults.stop();
        self.fate.use_up();
        for link in self.links.values_mut() {
            link.recover(self.now, &self.world);
        }
        self.clients.calm_down();
        self.hear_clients()?;
        self.converge()?;
        self.clients.shut_down(Some(Duration::ZERO));
        self.hear_clients()?;
        let bound = self.bound();
        while !(self.links.is_empty() && self.fleet.is_shut_down()) {
            let going = self.advance()? && self.now <= bound;
            promise!(
                going,
                CONVERGENCE,
                "after the shutdown: {}",
                self.model.unfinished()
            );
        }
        self.model
            .finish(&self.fleet.stats(), self.fleet.poll_timeout())
    }

    /// Without faults, all that was begun ends within a bound.
    fn converge(&mut self) -> Result<(), Violation> {
        let (bound, turns) = (self.bound(), self.turns + TURNS_OF_CALM);
        while !self.model.has_converged() {
            let going = self.advance()? && self.now <= bound && self.turns <= turns;
            promise!(going, CONVERGENCE, "{}", self.model.unfinished());
            self.clients.answer_all();
            self.hear_clients()?;
        }
        Ok(())
    }

    /// When all must have come to an end: the sum of the longest limits, and room for latencies.
    fn bound(&self) -> Time {
        let setting = self.world.setting;
        let micros = setting.unit * 5000 + setting.latency * 4000 + setting.late * 4000;
        // One may have to wait for all others, and for their replicas.
        let micros = micros * setting.names.len() as u64 * 4;
        self.now.after(Duration::from_micros(micros))
    }

    /// Lets the next thing happen. `false` where nothing is left to happen.
    fn advance(&mut self) -> Result<bool, Violation> {
        let Some((at, next)) = self.next() else {
            return Ok(false);
        };
        if at > self.now {
            self.now = at;
            self.idle = 0;
        }
        match next {
            Next::Clients => {
                self.clients.handle_timeout(self.now, &mut self.world);
                self.hear_clients()?;
            }
            Next::Link(id) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.handle_timeout(self.now, &mut self.world);
                }
                self.hear_link(id)?;
            }
            Next::Machine => {
                self.idle += 1;
                let stuck = self.fleet.poll_timeout();
                promise!(
                    self.idle < TURNS_AT_ONCE,
                    "the machine sleeps",
                    "still due: {stuck:?}"
                );
                self.turn(None, &[], self.machine_time())?;
            }
        }
        Ok(true)
    }

    fn next(&mut self) -> Option<(Time, Next)> {
        let links = self
            .links
            .iter()
            .filter_map(|(id, link)| Some((link.poll_timeout()?, Next::Link(*id))));
        let clients = self.clients.poll_timeout().map(|at| (at, Next::Clients));
        let machine = self.deadline.map(|(_, noticed)| (noticed, Next::Machine));
        let all = links.chain(clients).chain(machine);
        let mut first: Option<(Time, Next)> = None;
        for (at, next) in all {
            let at = at.max(self.now);
            let sooner = first.is_none_or(|(best, _)| at < best);
            // Of two at the same moment either may be first.
            if sooner || first.is_some_and(|(best, _)| at == best) && self.dice.one_in(2) {
                first = Some((at, next));
            }
        }
        first
    }

    fn hear_clients(&mut self) -> Result<(), Violation> {
        while let Some(input) = self.clients.poll_effect() {
            self.turn(Some(input), &[], self.machine_time())?;
        }
        Ok(())
    }

    fn hear_link(&mut self, id: LinkId) -> Result<(), Violation> {
        while let Some(told) = self.links.get_mut(&id).and_then(Link::poll_effect) {
            let input = Input::Signal(told.signal);
            self.turn(Some(input), &told.heard, self.machine_time())?;
        }
        if self.links.get(&id).is_some_and(Link::is_over) {
            self.links.remove(&id);
        }
        Ok(())
    }

    /// What no part of the world would do by itself.
    fn meddle(&mut self) -> Result<(), Violation> {
        let faults = &mut self.world.faults;
        let mut strikes =
            |fault, odds| self.dice.one_in(odds) && faults.strikes(fault, &mut self.dice);
        let stale = strikes(Fault::StaleSignal, 6);
        let leap = strikes(Fault::TimeJump, 64);
        let back = strikes(Fault::TimeBack, 6);
        if leap {
            self.leaps += LEAP;
            self.deadline = None;
            self.turn(None, &[], self.machine_time())?;
        }
        if back {
            let now = self.machine_time().as_nanos();
            let before = now.saturating_sub(u64::try_from(BACK.as_nanos()).unwrap_or(0));
            self.turn(None, &[], Time::from_nanos(before))?;
        }
        if stale {
            let signal = self.stale_signal();
            self.turn(Some(signal.into()), &[], self.machine_time())?;
        }
        Ok(())
    }

    /// A word about a link that is no more, or never was.
    fn stale_signal(&mut self) -> Signal {
        let mut link = LinkId {
            server: ServerId(u32::try_from(self.dice.below(4)).unwrap_or_default()),
            incarnation: u32::try_from(self.dice.below(4)).unwrap_or_default(),
        };
        while self.links.contains_key(&link) {
            link.incarnation += 1000;
        }
        let id = self.dice.below(6);
        match self.dice.below(5) {
            0 => Signal::Closed { link },
            1 => Signal::Opened { link, pid: None },
            2 => Signal::Eof { link },
            3 => Signal::Wrote { link, bytes: 100 },
            _ => Signal::Bytes {
                link,
                bytes: format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n").into(),
            },
        }
    }

    fn machine_time(&self) -> Time {
        self.now.after(self.leaps)
    }

    /// Tells the machine one thing, or that time has passed; compares; does its bidding.
    fn turn(&mut self, input: Option<Input>, heard: &[Heard], at: Time) -> Result<(), Violation> {
        self.turns += 1;
        if self.witness.trace {
            println!("{at:?} {input:?}");
        }
        let mut entry = Entry {
            at,
            input,
            effects: Vec::new(),
        };
        let (effects, events) = replay(&mut self.fleet, &entry);
        if self.witness.trace {
            for effect in &effects {
                println!("    {effect:?}");
            }
            for event in &events {
                println!("    {event:?}");
            }
        }
        let stats = self.fleet.stats();
        let next = self.fleet.poll_timeout();
        let compared = self.model.apply(&Turn {
            at,
            input: entry.input.as_ref(),
            heard,
            effects: &effects,
            events: &events,
            stats: &stats,
            next,
        });
        for effect in &effects {
            self.obey(effect);
        }
        for event in &events {
            self.clients.handle_input(event);
        }
        self.notice(next.map(|deadline| deadline.at));
        if self.witness.journal {
            entry.effects = effects;
            self.journal.push(entry);
        }
        compared
    }

    fn obey(&mut self, effect: &Effect) {
        let id = effect.link();
        if let Effect::Open { server, kind, .. } = effect {
            let command = match &**kind {
                Kind::Stdio(stdio) => stdio.command.as_str(),
                _ => "",
            };
            let program = server.as_str().bytes().chain(command.bytes());
            let program = program.fold(0xcbf2, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
            let modern = !self.fate.fixed(program).one_in(2);
            let life = u64::from(id.server.0) << 32 | u64::from(id.incarnation);
            let dice = self.fate.dice(life << 8 | 0x1c);
            let link = Link::new(self.now, id, modern, dice, self.world.setting);
            self.links.insert(id, link);
        } else if let Some(link) = self.links.get_mut(&id) {
            link.handle_input(self.now, effect, &mut self.world);
        }
    }

    /// Keeps in mind when the machine wants to be woken; the driver may be late.
    fn notice(&mut self, next: Option<Time>) {
        // A deadline at the end of time never comes.
        let Some(at) = next.filter(|at| *at < Time::MAX) else {
            self.deadline = None;
            return;
        };
        if self.deadline.is_none_or(|(before, _)| before != at) {
            let leaps = u64::try_from(self.leaps.as_nanos()).unwrap_or(u64::MAX);
            let due = Time::from_nanos(at.as_nanos().saturating_sub(leaps)).max(self.now);
            let late = self.dice.micros(self.world.setting.late);
            self.deadline = Some((at, due.after(late)));
        }
    }
}
