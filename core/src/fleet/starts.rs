//! Whose turn it is to start.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    ids::ServerId,
    planted::{Bug, planted},
};

/// The places for servers that start, and the servers that wait for one.
#[derive(Debug)]
pub(crate) struct Starts {
    limit: usize,
    starting: BTreeSet<ServerId>,
    waiting: VecDeque<ServerId>,
}

impl Starts {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            starting: BTreeSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Those that start go on, also where they are more than the new limit.
    pub(super) const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes a place for `server`, or puts it at the end of the line.
    pub(crate) fn take(&mut self, server: ServerId) -> bool {
        if self.starting.len() < self.limit && self.waiting.is_empty() {
            self.starting.insert(server)
        } else {
            self.waiting.push_back(server);
            false
        }
    }

    /// Gives back the place of `server`, or its place in the line.
    pub(crate) fn give_back(&mut self, server: ServerId) {
        if planted(Bug::StartSlotLeak) && self.starting.contains(&server) {
            return;
        }
        if !self.starting.remove(&server) {
            self.waiting.retain(|waiting| *waiting != server);
        }
    }

    /// Gives a free place to whoever waits longest.
    pub(super) fn grant(&mut self) -> Option<ServerId> {
        if self.starting.len() >= self.limit {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.starting.insert(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_to_whoever_waits_longest() {
        let mut starts = Starts::new(1);
        assert!(starts.take(ServerId(0)));
        assert!(
            !starts.take(ServerId(1)) && !starts.take(ServerId(2)) && !starts.take(ServerId(3))
        );
        assert_eq!(starts.grant(), None);
        starts.give_back(ServerId(2));
        starts.give_back(ServerId(0));
        assert_eq!(starts.grant(), Some(ServerId(1)));
        starts.give_back(ServerId(1));
        assert_eq!(starts.grant(), Some(ServerId(3)));
    }
}
