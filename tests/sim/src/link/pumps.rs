//! The pumps of a link: bytes to the child, and from it.

use bytes::Bytes;
use mcp_fleet_core::{Signal, Time};

use super::{Child, Heard, Link, Step, Told, World};
use crate::{
    fault::Fault,
    server::{ServerInput, Utterance},
};

impl Link {
    pub(super) fn write(&mut self, now: Time, world: &mut World<'_>) {
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

    pub(super) fn read_stdin(&mut self, now: Time, world: &mut World<'_>) {
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

    pub(super) fn read_stdout(&mut self, now: Time, world: &mut World<'_>) {
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

    pub(super) fn hear(&mut self, now: Time, utterance: Utterance, world: &mut World<'_>) {
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
    pub(super) fn close_stdout(&mut self, now: Time, world: &World<'_>) {
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

    /// The write pump's words: late perhaps, but in order.
    pub(super) fn tell_in_order(&mut self, now: Time, signal: Signal, world: &World<'_>) {
        let at = now.after(self.dice.micros(world.setting.latency));
        self.write_told = self.write_told.max(at);
        self.tells += 1;
        self.agenda.add(self.write_told, Step::Tell(signal));
    }
}
