//! What a machine was told and what it wanted done, so that it can be told again.

use serde::{Deserialize, Serialize};

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
}

impl Header {
    /// The header of a fleet made by this version of the crate.
    pub fn new(config: FleetConfig, seed: u64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            seed,
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
