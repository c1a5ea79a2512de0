//! A scripted MCP server: hears bytes, says lines, lives and dies by its dice.

mod chatter;
mod replies;
mod utterance;

use std::{collections::VecDeque, time::Duration};

use mcp_fleet_core::{Exit, Time};

pub(crate) use self::{
    replies::VOUCHER,
    utterance::{Answer, Meaning, Utterance},
};
use crate::{
    agenda::Agenda, dice::Dice, fault::Fault, frame::Frame, plan::Faults, setting::Setting,
};

/// What reaches a server.
#[derive(Debug)]
pub(crate) enum ServerInput {
    /// Bytes from its standard input.
    Stdin(Vec<u8>),
    /// Its standard input ended.
    StdinEnd,
    /// SIGTERM.
    Terminate,
}

/// What a server does.
#[derive(Debug)]
pub(crate) enum ServerEffect {
    Say(Utterance),
    Stderr(&'static [u8]),
    CloseStdout,
    CloseStdin,
    /// It ends; a grandchild that holds its pipes may stay behind.
    Exit {
        exit: Exit,
        orphan: bool,
    },
}

/// What a server is about to do.
#[derive(Debug)]
enum Deed {
    Answer(Heard),
    Progress(u64, u64),
    Chatter,
    Hang,
    GoDeaf,
    FallSick,
    CloseStdout,
    CloseStdin,
    Exit { exit: Exit, orphan: bool },
}

/// A request that was heard and not answered.
#[derive(Clone, Debug)]
struct Heard {
    id: u64,
    method: String,
    call: Option<u64>,
    /// The tool that a probe calls.
    tool: Option<String>,
}

/// The first words of a server, and its last.
#[derive(Debug, Default)]
struct Habits {
    mute: bool,
    strange_revision: bool,
    odd_handshake: bool,
    slow: bool,
    dies_of_greeting: Option<i32>,
    dies_of_calls: bool,
    ignores_end: bool,
    ignores_term: bool,
}

/// One life of a scripted server.
#[derive(Debug)]
pub(crate) struct ScriptedServer {
    dice: Dice,
    modern: bool,
    revision: &'static str,
    habits: Habits,
    agenda: Agenda<Deed>,
    alive: bool,
    hangs_until: Option<Time>,
    /// It loses its calls until then.
    sick_until: Time,
    /// Probes that it will still answer so.
    unwell: u64,
    deaf: bool,
    lost_stdin: bool,
    line: Vec<u8>,
    /// Requests that were heard and not answered, to be talked about.
    open: Vec<Heard>,
    answered: Vec<u64>,
    questions: u64,
    said: u64,
    latency: u64,
    unit: u64,
    line_bytes: usize,
    out: VecDeque<ServerEffect>,
}

impl ScriptedServer {
    /// A server that begins to run at `now`. Its name's own dice decide what it speaks, the dice
    /// of this life all the rest.
    pub(crate) fn new(
        now: Time,
        mut dice: Dice,
        modern: bool,
        setting: &Setting,
        faults: &mut Faults,
    ) -> Self {
        let slow = faults.strikes(Fault::SlowStart, &mut dice);
        let mut dies = faults.strikes(Fault::EarlyExit, &mut dice).then_some(0);
        if faults.strikes(Fault::EarlyCrash, &mut dice) {
            dies = Some(1);
        }
        let stubborn = faults.strikes(Fault::StopStorm, &mut dice);
        let habits = Habits {
            mute: faults.strikes(Fault::MuteStart, &mut dice),
            strange_revision: faults.strikes(Fault::StrangeRevision, &mut dice),
            odd_handshake: faults.strikes(Fault::OddHandshake, &mut dice),
            slow,
            dies_of_greeting: dies,
            dies_of_calls: false,
            ignores_end: stubborn,
            ignores_term: stubborn && dice.one_in(2),
        };
        let dies_of_calls = faults.strikes(Fault::RetryStorm, &mut dice);
        let revision = dice.pick(&["2025-11-25", "2025-03-26", "2024-11-05"]);
        let mut server = Self {
            dice,
            modern,
            revision,
            habits: Habits {
                dies_of_calls,
                ..habits
            },
            agenda: Agenda::default(),
            alive: true,
            hangs_until: None,
            sick_until: Time::ZERO,
            unwell: 0,
            deaf: false,
            lost_stdin: false,
            line: Vec::new(),
            open: Vec::new(),
            answered: Vec::new(),
            questions: 0,
            said: 0,
            latency: setting.latency,
            unit: setting.unit,
            line_bytes: setting.line_bytes,
            out: VecDeque::new(),
        };
        server.foresee(now, faults);
        server
    }

    /// Decides which blows of fate this life will meet.
    fn foresee(&mut self, now: Time, faults: &mut Faults) {
        for fault in [
            Fault::Crash,
            Fault::Orphan,
            Fault::StdoutClosed,
            Fault::StdinClosed,
            Fault::Hang,
            Fault::DeafInput,
            Fault::Relapse,
        ] {
            let struck = faults.strikes(fault, &mut self.dice);
            let at = now.after(self.some_time());
            let exit = self
                .dice
                .pick(&[Exit::Code(1), Exit::Signal(11), Exit::Unknown]);
            if !struck {
                continue;
            }
            let deed = match fault {
                Fault::Crash => Deed::Exit {
                    exit,
                    orphan: false,
                },
                Fault::Orphan => Deed::Exit { exit, orphan: true },
                Fault::StdoutClosed => Deed::CloseStdout,
                Fault::StdinClosed => Deed::CloseStdin,
                Fault::Hang => Deed::Hang,
                Fault::Relapse => Deed::FallSick,
                _ => Deed::GoDeaf,
            };
            self.agenda.add(at, deed);
        }
        let first_words = self.some_time();
        self.agenda.add(now.after(first_words), Deed::Chatter);
    }

    pub(crate) fn handle_input(&mut self, now: Time, input: ServerInput, faults: &mut Faults) {
        if !self.alive {
            return;
        }
        match input {
            ServerInput::Stdin(bytes) => self.hear(now, &bytes, faults),
            ServerInput::StdinEnd if self.habits.ignores_end => {}
            ServerInput::StdinEnd => self.exit_soon(now, Exit::Code(0)),
            ServerInput::Terminate if self.habits.ignores_term => {}
            ServerInput::Terminate => self.exit_soon(now, Exit::Signal(15)),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time, faults: &mut Faults) {
        if self.hangs_until.is_some_and(|until| until <= now) {
            self.hangs_until = None;
        }
        while self.alive && self.hangs_until.is_none() {
            let Some(deed) = self.agenda.take_due(now) else {
                return;
            };
            self.act(now, deed, faults);
        }
    }

    pub(crate) fn poll_effect(&mut self) -> Option<ServerEffect> {
        self.out.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if !self.alive {
            return None;
        }
        match self.hangs_until {
            Some(Time::MAX) => None,
            Some(until) => Some(until),
            None => self.agenda.next_at(),
        }
    }

    /// Goes on, and reads, now that nothing goes wrong any more.
    pub(crate) const fn recover(&mut self) {
        self.hangs_until = None;
        self.sick_until = Time::ZERO;
        self.unwell = 0;
        self.deaf = self.lost_stdin;
    }

    /// Whether it takes bytes from its standard input, and signals.
    pub(crate) const fn is_awake(&self) -> bool {
        self.hangs_until.is_none()
    }

    pub(crate) const fn reads(&self) -> bool {
        self.is_awake() && !self.deaf
    }

    fn act(&mut self, now: Time, deed: Deed, faults: &mut Faults) {
        match deed {
            Deed::Answer(heard) => {
                if let Some(place) = self.open.iter().position(|open| open.id == heard.id) {
                    self.open.remove(place);
                    self.reply(now, heard, faults);
                }
            }
            Deed::Progress(id, count) => self.report(now, id, count, faults),
            Deed::Chatter => {
                self.chatter(faults);
                if !faults.have_stopped() {
                    let pause = self.some_time();
                    self.agenda.add(now.after(pause), Deed::Chatter);
                }
            }
            Deed::Hang | Deed::GoDeaf | Deed::FallSick | Deed::CloseStdout | Deed::CloseStdin
                if faults.have_stopped() => {}
            Deed::Hang => {
                let end = self.some_time();
                let for_ever = self.dice.one_in(2);
                self.hangs_until = Some(if for_ever { Time::MAX } else { now.after(end) });
            }
            Deed::FallSick => {
                let span = self.some_time() * self.dice.pick(&[1, 20]);
                self.sick_until = now.after(span);
                let relapse = now.after(span + self.some_time());
                self.agenda.add(relapse, Deed::FallSick);
            }
            Deed::GoDeaf => self.deaf = true,
            Deed::CloseStdout => self.out.push_back(ServerEffect::CloseStdout),
            Deed::CloseStdin => {
                self.deaf = true;
                self.lost_stdin = true;
                self.out.push_back(ServerEffect::CloseStdin);
            }
            Deed::Exit { exit, orphan } => {
                self.alive = false;
                self.agenda.clear();
                self.out.push_back(ServerEffect::Stderr(b"oh\xff no\n"));
                self.out.push_back(ServerEffect::Exit { exit, orphan });
            }
        }
    }

    fn exit_soon(&mut self, now: Time, exit: Exit) {
        let at = now.after(self.dice.micros(self.latency));
        let orphan = self.dice.one_in(20);
        self.agenda.add(at, Deed::Exit { exit, orphan });
    }

    fn hear(&mut self, now: Time, bytes: &[u8], faults: &mut Faults) {
        for byte in bytes {
            if *byte == b'\n' {
                let mut line = std::mem::take(&mut self.line);
                line.push(b'\n');
                // What cannot be read the model has condemned when it was sent.
                if let Ok(frame) = Frame::read(&line) {
                    self.hear_frame(now, frame, faults);
                }
            } else {
                self.line.push(*byte);
            }
        }
    }

    fn hear_frame(&mut self, now: Time, frame: Frame, faults: &mut Faults) {
        let (Some(id), Some(method)) = (frame.id, frame.method) else {
            if let Some(id) = frame.cancels
                && !self.dice.one_in(3)
            {
                self.open.retain(|open| open.id != id);
            }
            return;
        };
        if let Some(code) = self.habits.dies_of_greeting {
            let exit = Exit::Code(code);
            return self.exit_soon(now, exit);
        }
        if self.habits.dies_of_calls && frame.call.is_some() && !faults.have_stopped() {
            self.exit_soon(now, Exit::Signal(6));
        }
        let heard = Heard {
            id,
            method,
            call: frame.call,
            tool: frame.tool,
        };
        let wait = self.time_to_answer(now, &heard, faults);
        self.open.push(heard.clone());
        if let Some(wait) = wait {
            self.agenda.add(now.after(wait), Deed::Answer(heard));
        }
        if faults.strikes(Fault::BadProgress, &mut self.dice) || self.dice.one_in(6) {
            self.report(now, id, 1, faults);
        }
    }

    /// How long the answer takes; `None` where it never comes.
    fn time_to_answer(
        &mut self,
        now: Time,
        heard: &Heard,
        faults: &mut Faults,
    ) -> Option<Duration> {
        let prompt = self.dice.micros(self.latency);
        let long = Duration::from_micros(self.unit.saturating_mul(self.dice.below(400)));
        let never = self.dice.one_in(4);
        let greeting = is_greeting(&heard.method);
        if now < self.sick_until && heard.call.is_some() && self.dice.one_in(2) {
            return None;
        }
        if greeting {
            return match (self.habits.mute, self.habits.slow) {
                (true, _) => None,
                (false, true) => Some(long),
                (false, false) => Some(prompt),
            };
        }
        if heard.method == "subscriptions/listen" {
            // It stays open; perhaps it ends another time.
            return self.dice.one_in(6).then_some(long);
        }
        let page = heard.method.ends_with("/list");
        let fault = if page {
            Fault::ListFails
        } else {
            Fault::LateAnswer
        };
        if faults.strikes(fault, &mut self.dice) {
            (!never).then_some(long)
        } else {
            Some(prompt)
        }
    }

    /// Some time in a life: near where all is fast, beyond all limits where it is not.
    fn some_time(&mut self) -> Duration {
        let scale = self
            .dice
            .pick(&[self.latency, self.latency * 20, self.unit * 100]);
        Duration::from_micros(1) + self.dice.micros(scale)
    }

    fn say(&mut self, line: impl Into<Vec<u8>>, meaning: Meaning) {
        let line = line.into();
        self.out
            .push_back(ServerEffect::Say(Utterance { line, meaning }));
    }
}

fn is_greeting(method: &str) -> bool {
    method == "initialize" || method == "server/discover"
}
