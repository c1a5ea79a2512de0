//! A link as the driver keeps one: a child, the pipes to it, and the pumps that carry bytes.
//!
//! The order of signals is that of the driver: `Opened` first, `Closed` last. The pumps between
//! them keep their own order and no other: bytes, then the end of output; what was written, then
//! that no more will be; the exit of the child when it comes. A kill cuts reading and writing.

mod pumps;

use std::collections::VecDeque;

use bytes::Bytes;
use mcp_fleet_core::{Effect, Exit, LinkId, Signal, Time};

use crate::{
    agenda::Agenda,
    dice::Dice,
    fault::Fault,
    plan::Faults,
    server::{Meaning, ScriptedServer, ServerEffect, ServerInput},
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
    /// Nobody waits for its end any more.
    abandoned: bool,
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
            abandoned: false,
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
            Effect::Abandon { .. } => {
                self.abandoned = true;
                self.agenda = Agenda::default();
                return self.soon(now, Step::Close, world);
            }
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
                let link = self.id;
                if self.abandoned && self.child == Child::NotYet {
                    self.over = true;
                    self.tell(Signal::OpenFailed {
                        link,
                        message: "it did not start".to_owned(),
                        transient: true,
                    });
                } else if self.abandoned || self.is_done() {
                    self.over = true;
                    self.tell(Signal::Closed { link });
                } else {
                    self.later(now, Step::Close, world);
                }
            }
        }
    }

    fn launch(&mut self, now: Time, world: &mut World<'_>) {
        let link = self.id;
        if world.faults.strikes(Fault::Stuck, &mut self.dice) {
            return;
        }
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
        let dice = self.dice.split(1);
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
            let stuck = world.faults.strikes(Fault::Stuck, &mut self.dice);
            if self.child == Child::Running && !stuck {
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
