//! What servers leave behind, carried to whom it concerns.

use super::Fleet;
use crate::{
    event::{Event, Reply},
    ids::ServerId,
    link::Note,
    planted::{Bug, planted},
    time::Time,
};

impl Fleet {
    /// Carries the notes of server `id`: each call has its outcome told once, from here.
    pub(super) fn carry_notes(&mut self, now: Time, id: ServerId) {
        while let Some(note) = self.out.notes.pop_front() {
            match note {
                Note::CallEnded {
                    call,
                    outcome,
                    span,
                } => {
                    self.calls.remove(&call);
                    self.clients.end(call);
                    self.total.ended(outcome.as_ref().err(), span);
                    if planted(Bug::DoubleReply) && outcome.is_err() {
                        let outcome = outcome.clone();
                        self.out.event(Event::CallEnded { call, outcome });
                    }
                    self.out.event(Event::CallEnded { call, outcome });
                }
                Note::InputOpened(input) => {
                    self.inputs.insert(input, id);
                }
                Note::InputClosed(input) => {
                    self.inputs.remove(&input);
                }
                Note::Checked(command, health) => {
                    if let Some(all) = self.checks.take(command, health) {
                        let outcome = Ok(Reply::Health(all));
                        self.out.event(Event::CommandEnded {
                            id: command,
                            outcome,
                        });
                    }
                }
                Note::Unserved(call, parked) => {
                    let server = self.server(id);
                    if let Some(name) = server.map(|server| server.name().clone()) {
                        self.unserved.push((name, call, parked));
                    }
                }
                Note::Moved => self.on_moved(now, id),
                Note::Lapsed => self.on_lapsed(now, id),
                Note::Idle => self.on_idle(now, id),
                Note::Gone => self.forget(now, id),
            }
        }
    }

    pub(super) fn finish_shutdown(&mut self) {
        let Some(waiting) = &mut self.shutdown else {
            return;
        };
        if !waiting.is_empty() && self.servers.iter().all(|(_, server)| server.is_at_rest()) {
            for id in std::mem::take(waiting) {
                self.out.event(Event::CommandEnded {
                    id,
                    outcome: Ok(Reply::Done),
                });
            }
        }
    }
}
