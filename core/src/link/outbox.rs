//! What one input makes the machine say, gathered on its way up.

use std::collections::VecDeque;

use crate::{
    effect::Effect,
    error::CallError,
    event::{Event, Health},
    ids::{CallId, CommandId, InputId},
    server::Parked,
    wire::RawJson,
};

/// Effects and events in order, and the notes that a server leaves for the fleet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) notes: VecDeque<Note>,
}

/// What a server tells the fleet, which makes events of it and keeps its own books.
#[derive(Debug)]
pub(crate) enum Note {
    /// A call is over, this long after it was accepted.
    CallEnded {
        call: CallId,
        outcome: Result<RawJson, CallError>,
        span: std::time::Duration,
    },
    /// A question waits for the application.
    InputOpened(InputId),
    /// A question waits no more.
    InputClosed(InputId),
    /// A health check found this.
    Checked(CommandId, Health),
    /// This call was never sent, and waits in vain here: others of the pool can take it.
    Unserved(CallId, Box<Parked>),
    /// The server had nothing to do for as long as it was to tell.
    Idle,
    /// The server is in another state.
    Moved,
    /// The server ended unexpectedly, and is to start again.
    Lapsed,
    /// The server was undeployed and nothing is left of it.
    Gone,
}

impl Outbox {
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push_back(note);
    }
}
