//! What is to be done with servers because of others.

use std::collections::{BTreeSet, VecDeque};

use crate::{ids::ServerId, time::Time};

/// Errands run in one turn; the rest are run in the next, which is due at once.
pub(in crate::fleet) const ERRANDS_PER_TURN: usize = 256;

/// Something to be done with one server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::fleet) enum Errand {
    /// It looks again whether it may start.
    Look,
    /// It wakes, because another one waits for it.
    Wake,
    /// It is started anew with a companion that failed.
    Anew,
    /// It stops, as those that come after it have.
    Stop,
}

/// Errands in the order in which they came up, each once.
#[derive(Debug, Default)]
pub(in crate::fleet) struct Agenda {
    queue: VecDeque<(ServerId, Errand)>,
    known: BTreeSet<(ServerId, Errand)>,
    /// When the first of those that are left was due.
    since: Time,
}

impl Agenda {
    pub(in crate::fleet) fn add(&mut self, now: Time, server: ServerId, errand: Errand) {
        if self.known.insert((server, errand)) {
            if self.queue.is_empty() {
                self.since = now;
            }
            self.queue.push_back((server, errand));
        }
    }

    pub(in crate::fleet) fn take(&mut self) -> Option<(ServerId, Errand)> {
        let next = self.queue.pop_front()?;
        self.known.remove(&next);
        Some(next)
    }

    /// Forgets what was to be done with a server that is gone.
    pub(in crate::fleet) fn forget(&mut self, server: ServerId) {
        self.queue.retain(|(other, _)| *other != server);
        self.known.retain(|(other, _)| *other != server);
    }

    /// The next server, and since when it is its turn.
    pub(in crate::fleet) fn first(&self) -> Option<(Time, ServerId)> {
        self.queue.front().map(|(server, _)| (self.since, *server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_is_run_once_and_in_turn() {
        let mut agenda = Agenda::default();
        let (now, later) = (Time::from_millis(1), Time::from_millis(2));
        for (at, server, errand) in [
            (now, 1, Errand::Look),
            (later, 0, Errand::Anew),
            (later, 1, Errand::Look),
            (later, 2, Errand::Look),
        ] {
            agenda.add(at, ServerId(server), errand);
        }
        agenda.forget(ServerId(2));
        assert_eq!(agenda.first(), Some((now, ServerId(1))));
        assert_eq!(agenda.take(), Some((ServerId(1), Errand::Look)));
        assert_eq!(agenda.take(), Some((ServerId(0), Errand::Anew)));
        assert_eq!(agenda.take(), None);
        agenda.add(later, ServerId(1), Errand::Look);
        assert_eq!(agenda.first(), Some((later, ServerId(1))));
    }
}
