//! A link as the driver keeps one: a child, the pipes to it, and the pumps that carry bytes.
//!
//! The order of signals is that of the driver: `Opened` first, `Closed` last. The pumps between
//! them keep their own order and no other: bytes, then the end of output; what was written, then
//! that no more will be; the exit of the child when it comes. A kill cuts reading and writing.

use std::collections::VecDeque;

use bytes::Bytes;
use mcp_fleet_core::{Effect, Exit, LinkId, Signal, Time};

use crate::{
    agenda::Agenda,
    dice::Dice,
    fault::Fault,
    plan::Faults,
    server::{Meaning, ScriptedServer, ServerEffect, ServerInput, Utterance},
    setting::Setting,
};

/// A signal, and what the lines mean that it completes.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) signal: Signal,
    pub(crate) heard: Vec<Heard>,
}

/// A line as it was heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) length: usize,
    pub(crate) meaning: Meaning,
}

/// What the link is about to do.
#[derive(Debug)]
enum Step {
    Launch,
    /// The write pump hands bytes to the pipe.
    Write,
    /// The child reads its standard input.
    ReadStdin,
    /// The read pump takes what there is.
    ReadStdout,
    /// The direct child is reaped.
    Reap,
    /// A pump gets its word through.
    Tell(Signal),
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Child {
    NotYet,
    Running,
    /// It ended, `exit` is not known yet; `orphan` where a grandchild holds the pipes.
    Ended {
        exit: Exit,
        orphan: bool,
    },
    Reaped {
        orphan: bool,
    },
}

/// The driver's end of one incarnation, and the server at the other.
#[derive(Debug)]
pub(crate) struct Link {
    id: LinkId,
    dice: Dice,
    modern: bool,
    child: Child,
    server: Option<ScriptedServer>,
    agenda: Agenda<Step>,
    out: VecDeque<Told>,
    /// Frames that were not written yet.
    unwritten: VecDeque<u8>,
    /// Written, and not read by the child.
    pipe: VecDeque<u8>,
    closing_input: bool,
    input_ended: bool,
    stdin_broken: bool,
    terminate: bool,
    kill: bool,
    writing: bool,
    reading: bool,
    exit_told: bool,
    stdout_open: bool,
    /// Said by the child, and not read by the pump.
    stdout: VecDeque<u8>,
    /// Where the lines in the stream end, with what they mean.
    lines: VecDeque<(u64, Heard)>,
    said: u64,
    delivered: u64,
    /// No pump's word overtakes the one before.
    write_told: Time,
    /// Words on their way.
    tells: usize,
    over: bool,
}

impl Link {
    /// Begins to open a link. `modern` is what the server behind it speaks.
    pub(crate) fn new(
        now: Time,
        id: LinkId,
        modern: bool,
        mut dice: Dice,
        setting: &Setting,
    ) -> Self {
        let mut agenda = Agenda::default();
        agenda.add(now.after(dice.micros(setting.latency)), Step::Launch);
        Self {
            id,
            dice,
            modern,
            child: Child::NotYet,
            server: None,
            agenda,
            out: VecDeque::new(),
            unwritten: VecDeque::new(),
            pipe: VecDeque::new(),
            closing_input: false,
            input_ended: false,
            stdin_broken: false,
            terminate: false,
            kill: false,
            writing: true,
            reading: true,
            exit_told: false,
            stdout_open: true,
            stdout: VecDeque::new(),
            lines: VecDeque::new(),
            said: 0,
            delivered: 0,
            write_told: Time::ZERO,
            tells: 0,
            over: false,
        }
    }

    /// Takes work of the machine. Work for a link whose terminal signal is on its way is ignored.
    pub(crate) fn handle_input(&mut self, now: Time, effect: &Effect, world: &mut World<'_>) {
        match effect {
            Effect::Open { .. } => {}
            Effect::Send { bytes, .. } => {
                self.unwritten.extend(bytes.iter());
                self.soon(now, Step::Write, world);
            }
            Effect::CloseInput { .. } => {
                self.closing_input = true;
                self.soon(now, Step::Write, world);
            }
            Effect::Terminate { .. } => self.terminate = true,
            Effect::Kill { .. } => self.kill = true,
        }
        self.obey_rungs(now, world);
        self.settle(now, world);
    }

    pub(crate) fn handle_timeout(&mut self, now: Time, world: &mut World<'_>) {
        if let Some(server) = &mut self.server
            && self.child == Child::Running
        {
            let slept = !server.is_awake();
            server.handle_timeout(now, world.faults);
            if slept && server.is_awake() {
                self.soon(now, Step::ReadStdin, world);
            }
        }
        self.settle(now, world);
        if let Some(step) = self.agenda.take_due(now) {
            self.step(now, step, world);
            self.settle(now, world);
        }
    }

    /// The faults have stopped: its server reads and goes on.
    pub(crate) fn recover(&mut self, now: Time, world: &World<'_>) {
        if let Some(server) = &mut self.server {
            server.recover();
            self.soon(now, Step::ReadStdin, world);
        }
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Told> {
        self.out.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let server = self
            .server
            .as_ref()
            .filter(|_| self.child == Child::Running)
            .and_then(ScriptedServer::poll_timeout);
        server.into_iter().chain(self.agenda.next_at()).min()
    }

    /// Whether its terminal signal was polled.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.out.is_empty()
    }

    fn step(&mut self, now: Time, step: Step, world: &mut World<'_>) {
        match step {
            Step::Launch => self.launch(now, world),
            Step::Write => self.write(now, world),
            Step::ReadStdin => self.read_stdin(now, world),
            Step::ReadStdout => self.read_stdout(now, world),
            Step::Reap => self.reap(now, world),
            Step::Tell(signal) => {
                self.tells -= 1;
                self.exit_told |= matches!(signal, Signal::Exited { .. });
                self.tell(signal);
            }
            Step::Close => {
                if self.is_done() {
                    let link = self.id;
                    self.tell(Signal::Closed { link });
                    self.over = true;
                } else {
                    self.later(now, Step::Close, world);
                }
            }
        }
    }

    fn launch(&mut self, now: Time, world: &mut World<'_>) {
        let link = self.id;
        let hopeless = world.faults.strikes(Fault::NoSuchProgram, &mut self.dice);
        let transient = world.faults.strikes(Fault::NoResources, &mut self.dice);
        if hopeless || transient {
            self.over = true;
            return self.tell(Signal::OpenFailed {
                link,
                message: "not today".to_owned(),
                transient: !hopeless,
            });
        }
        self.child = Child::Running;
        let dice = Dice::new(self.dice.next(), 1);
        let server = ScriptedServer::new(now, dice, self.modern, world.setting, world.faults);
        self.server = Some(server);
        self.tell(Signal::Opened { link, pid: Some(7) });
        self.obey_rungs(now, world);
        self.soon(now, Step::Write, world);
    }

    fn obey_rungs(&mut self, now: Time, world: &mut World<'_>) {
        if self.child == Child::NotYet {
            return;
        }
        if std::mem::take(&mut self.terminate) {
            self.signal_group(now, world);
        }
        if std::mem::take(&mut self.kill) {
            self.reading = false;
            self.writing = false;
            self.stdout.clear();
            self.lines.clear();
            if self.child == Child::Running {
                self.end(now, Exit::Signal(9), false, world);
            }
        }
    }

    /// SIGTERM for all that is left of the group.
    fn signal_group(&mut self, now: Time, world: &mut World<'_>) {
        match self.child {
            Child::Running => {
                if let Some(server) = &mut self.server
                    && server.is_awake()
                {
                    server.handle_input(now, ServerInput::Terminate, world.faults);
                }
            }
            Child::Ended { orphan: true, .. } | Child::Reaped { orphan: true } => {
                if self.dice.one_in(2) {
                    self.stdout_open = false;
                    self.later(now, Step::ReadStdout, world);
                }
            }
            Child::NotYet | Child::Ended { .. } | Child::Reaped { .. } => {}
        }
    }

    fn write(&mut self, now: Time, world: &mut World<'_>) {
        if !self.writing {
            return;
        }
        let link = self.id;
        if self.unwritten.is_empty() {
            if self.closing_input {
                self.writing = false;
                self.input_ended = true;
                self.later(now, Step::ReadStdin, world);
            }
            return;
        }
        let no_reader = matches!(
            self.child,
            Child::Ended { orphan: false, .. } | Child::Reaped { orphan: false }
        );
        if self.stdin_broken || no_reader {
            self.writing = false;
            self.unwritten.clear();
            let message = "broken pipe".to_owned();
            return self.tell_in_order(now, Signal::WriteFailed { link, message }, world);
        }
        let room = world.setting.pipe_bytes.saturating_sub(self.pipe.len());
        let mut count = room.min(self.unwritten.len());
        if count > 0 && world.faults.strikes(Fault::PartialWrite, &mut self.dice) {
            count = 1 + self.dice.index(count);
        }
        if count == 0 {
            return;
        }
        self.pipe.extend(self.unwritten.drain(..count));
        let bytes = count as u64;
        self.tell_in_order(now, Signal::Wrote { link, bytes }, world);
        self.later(now, Step::ReadStdin, world);
        self.later(now, Step::Write, world);
    }

    fn read_stdin(&mut self, now: Time, world: &mut World<'_>) {
        let Some(server) = &mut self.server else {
            return;
        };
        if self.child != Child::Running || !server.reads() {
            return;
        }
        if !self.pipe.is_empty() {
            let bytes: Vec<u8> = self.pipe.drain(..).collect();
            server.handle_input(now, ServerInput::Stdin(bytes), world.faults);
            self.soon(now, Step::Write, world);
        } else if self.input_ended {
            server.handle_input(now, ServerInput::StdinEnd, world.faults);
        }
    }

    fn read_stdout(&mut self, now: Time, world: &mut World<'_>) {
        if !self.reading {
            return;
        }
        let link = self.id;
        if self.stdout.is_empty() {
            if !self.stdout_open {
                self.reading = false;
                let heard = self.lines.drain(..).map(|(_, heard)| heard).collect();
                let signal = Signal::Eof { link };
                self.out.push_back(Told { signal, heard });
            }
            return;
        }
        let all = self.stdout.len();
        let split = world.faults.strikes(Fault::SplitBytes, &mut self.dice);
        let count = match (split, self.dice.below(4)) {
            (true, 0) => 1,
            (true, _) => 1 + self.dice.index(all.min(40)),
            (false, 0) => 1 + self.dice.index(all),
            (false, _) => all,
        };
        let bytes: Vec<u8> = self.stdout.drain(..count).collect();
        self.delivered += count as u64;
        let mut heard = Vec::new();
        while let Some((end, _)) = self.lines.front()
            && *end <= self.delivered
        {
            heard.extend(self.lines.pop_front().map(|(_, heard)| heard));
        }
        let bytes = Bytes::from(bytes);
        let signal = Signal::Bytes { link, bytes };
        self.out.push_back(Told { signal, heard });
        self.later(now, Step::ReadStdout, world);
    }

    fn reap(&mut self, now: Time, world: &World<'_>) {
        let Child::Ended { exit, orphan } = self.child else {
            return;
        };
        self.child = Child::Reaped { orphan };
        // A grandchild may hold the other end of standard input, and never read it.
        self.writing = false;
        let link = self.id;
        self.tells += 1;
        self.later(now, Step::Tell(Signal::Exited { link, exit }), world);
    }

    /// Carries out what the server did, and closes the link when nothing is left of it.
    fn settle(&mut self, now: Time, world: &mut World<'_>) {
        while let Some(effect) = self.server.as_mut().and_then(ScriptedServer::poll_effect) {
            match effect {
                ServerEffect::Say(utterance) => self.hear(now, utterance, world),
                ServerEffect::Stderr(text) => {
                    let (link, bytes) = (self.id, Bytes::from_static(text));
                    self.tells += 1;
                    let signal = Signal::Stderr {
                        link,
                        bytes,
                        dropped: 0,
                    };
                    self.later(now, Step::Tell(signal), world);
                }
                ServerEffect::CloseStdout => self.close_stdout(now, world),
                ServerEffect::CloseStdin => {
                    self.stdin_broken = true;
                    self.later(now, Step::Write, world);
                }
                ServerEffect::Exit { exit, orphan } => self.end(now, exit, orphan, world),
            }
        }
        if self.is_done() && !self.over {
            self.later(now, Step::Close, world);
        }
    }

    const fn is_done(&self) -> bool {
        !self.reading && !self.writing && self.exit_told && self.tells == 0
    }

    fn hear(&mut self, now: Time, utterance: Utterance, world: &mut World<'_>) {
        if !self.stdout_open || !self.reading {
            return;
        }
        let Utterance { line, meaning } = utterance;
        let length = line.len();
        self.stdout.extend(line);
        self.stdout.push_back(b'\n');
        // A line beyond the limit is heard as soon as it is: nothing after it can be read.
        let heard_at = self.said + length.min(world.setting.line_bytes) as u64 + 1;
        self.said += length as u64 + 1;
        self.lines.push_back((heard_at, Heard { length, meaning }));
        let joined = world.faults.strikes(Fault::JoinedLines, &mut self.dice);
        let wait = if joined {
            world.setting.latency * 4
        } else {
            world.setting.latency
        };
        let at = now.after(self.dice.micros(wait));
        self.agenda.add(at, Step::ReadStdout);
    }

    /// Standard output ends, perhaps without the line break of its last line.
    fn close_stdout(&mut self, now: Time, world: &World<'_>) {
        if !std::mem::take(&mut self.stdout_open) {
            return;
        }
        if !self.stdout.is_empty() && self.dice.one_in(2) {
            let cut = if self.dice.one_in(2) {
                1
            } else {
                1 + self.dice.index(self.stdout.len())
            };
            self.stdout.truncate(self.stdout.len() - cut);
            let left = self.said - cut as u64;
            // Of the last line only its line break may be missing; of the others all counts.
            self.lines.retain(|(end, _)| *end <= left + 1);
        }
        self.later(now, Step::ReadStdout, world);
    }

    fn end(&mut self, now: Time, exit: Exit, orphan: bool, world: &World<'_>) {
        self.child = Child::Ended { exit, orphan };
        if !orphan {
            self.close_stdout(now, world);
        }
        self.later(now, Step::Reap, world);
        self.later(now, Step::Write, world);
    }

    fn tell(&mut self, signal: Signal) {
        let heard = Vec::new();
        self.out.push_back(Told { signal, heard });
    }

    /// The write pump's words: late perhaps, but in order.
    fn tell_in_order(&mut self, now: Time, signal: Signal, world: &World<'_>) {
        let at = now.after(self.dice.micros(world.setting.latency));
        self.write_told = self.write_told.max(at);
        self.tells += 1;
        self.agenda.add(self.write_told, Step::Tell(signal));
    }

    fn soon(&mut self, now: Time, step: Step, world: &World<'_>) {
        let at = now.after(self.dice.micros(world.setting.latency / 4 + 1));
        self.agenda.add(at, step);
    }

    fn later(&mut self, now: Time, step: Step, world: &World<'_>) {
        let at = now.after(self.dice.micros(world.setting.latency));
        self.agenda.add(at, step);
    }
}

/// What all parts of the simulated world share.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) faults: &'a mut Faults,
}
