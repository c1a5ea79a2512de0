//! What a machine was told and what it wanted done, so that it can be told again.
//!
//! A journal is text, one JSON value a line ([`Line`]): a [`Header`], then an [`Entry`] for each
//! turn. A [`Mark`] says where turns are missing. A [`Redactor`] makes a journal one that can be
//! shown to others, and that is replayed byte for byte all the same.

mod forms;
mod line;
mod mask;
mod payload;
mod redactor;
mod secrets;
mod shape;
mod streams;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::{
    line::{Line, Mark},
    redactor::{HELD_BYTES_MAX, HELD_ENTRIES_MAX, Redactor},
    secrets::{SECRET_BYTES_MIN, SECRETS_MAX},
};
use crate::{
    config::FleetConfig, effect::Effect, event::Event, fleet::Fleet, input::Input, time::Time,
};

/// The first line of a journal: what [`Fleet::new`] was given.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The version of this crate that wrote the journal.
    pub version: String,
    /// The configuration of the fleet.
    pub config: FleetConfig,
    /// The seed.
    pub seed: u64,
    /// What was left out of the journal.
    #[serde(default = "Redaction::nothing")]
    pub redaction: Redaction,
}

impl Header {
    /// The header of a fleet made by this version of the crate. Nothing is left out.
    pub fn new(config: FleetConfig, seed: u64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            seed,
            redaction: Redaction::Nothing,
        }
    }

    /// Whether this version of the crate wrote it. Another may want other things done.
    pub fn is_of_this_version(&self) -> bool {
        self.version == env!("CARGO_PKG_VERSION")
    }
}

/// What is left out of a journal. Each level leaves out what the one before does.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Redaction {
    /// Nothing.
    Nothing,
    /// What the configuration keeps secret, wherever it is said: values of `env` and `headers`,
    /// addresses behind their host, and what [`Redactor::know`] was told.
    Secrets,
    /// What callers and servers say to each other too: arguments, results, questions and answers,
    /// log messages, standard error. Names, methods, ids, capabilities, the names of members and
    /// the length of everything stay.
    #[default]
    Payloads,
}

impl Redaction {
    const fn nothing() -> Self {
        Self::Nothing
    }

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Secrets => "secrets",
            Self::Payloads => "payloads",
        }
    }
}

/// Every further line: one turn of the machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// What the machine was told; absent where a deadline passed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input: Option<Input>,
    /// What it wanted done.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub effects: Vec<Effect>,
}

/// Tells a fleet one turn again. The answer is what it wants done and tells this time.
pub fn replay(fleet: &mut Fleet, entry: &Entry) -> (Vec<Effect>, Vec<Event>) {
    match &entry.input {
        Some(input) => fleet.handle_input(entry.at, input.clone()),
        None => fleet.handle_timeout(entry.at),
    }
    let effects = std::iter::from_fn(|| fleet.poll_effect()).collect();
    let events = std::iter::from_fn(|| fleet.poll_event()).collect();
    (effects, events)
}
