//! The mark that tells to which link of which fleet a process belongs, wherever it went.
//!
//! A process leaves the group of its server by `setsid`, and its parent by a fork or two. Its
//! environment stays with it unless it clears it, and so does the mark in there.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The variable that holds the mark.
pub(super) const VARIABLE: &str = "MCP_FLEET_LINK";

/// What all marks of one fleet begin with, like that of no other fleet.
#[derive(Clone, Debug)]
pub(crate) struct FleetMark(Arc<str>);

/// The mark of one link: of a process started for it, and of all that descend from that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    fleet: Arc<str>,
    number: u64,
}

impl FleetMark {
    /// A new one, which nobody can guess.
    pub(super) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self(format!("{:016x}{:016x}", random(), random()).into())
    }

    /// The mark of the next link.
    pub(super) fn next(&self, counter: &AtomicU64) -> Mark {
        Mark {
            fleet: self.0.clone(),
            number: counter.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What the environment of every process of the fleet holds, and of no other.
    pub(super) fn needle(&self) -> String {
        format!("{VARIABLE}={}-", self.0)
    }
}

impl Mark {
    /// Which link of the fleet it is.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.fleet, self.number)
    }
}
