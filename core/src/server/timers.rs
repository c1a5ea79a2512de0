//! What a server waits for, and until when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{CallId, InputId, ServerId},
    time::Time,
};

/// When the machine next wants [`crate::Fleet::handle_timeout`], and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deadline {
    /// The moment.
    pub at: Time,
    /// The server that asked for it.
    pub server: ServerId,
    /// What it waits for.
    pub timer: Timer,
}

/// What a server waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Timer {
    /// The session must be open by now.
    Start,
    /// The era probe must be answered by now; the handshake is tried next.
    Probe,
    /// Calls in flight must have ended by now; the close ladder is next.
    Drain,
    /// The server must have ended after its input was closed; SIGTERM is next.
    CloseInput,
    /// The server must have ended after SIGTERM; SIGKILL is next.
    Terminate,
    /// The output must have ended after the process did; SIGKILL for its group is next.
    ExitWait,
    /// Nothing of it may be left after SIGKILL; it is given up next.
    KillWait,
    /// The server is to be asked whether it lives.
    Health,
    /// The server is to be asked whether it has started up.
    Startup,
    /// The server is to be asked whether it is to be given calls.
    Readiness,
    /// The next page of a list must have been asked for by now.
    Page,
    /// A server that failed may start again by now.
    Backoff,
    /// A server that used up its restarts may try once more.
    Revive,
    /// A server that has nothing to do may be one too many by now.
    Idle,
    /// A server that it comes after must be deployed by now; commands that wait for it end.
    Dependency,
    /// What follows for other servers from what became of one is done in the next turn.
    Turn,
    /// A subscription that ended may be asked for again.
    Listen,
    /// A list is to be read again.
    Refresh,
    /// A call must have ended by now.
    Call,
    /// The machine's own request must be answered by now.
    Request,
    /// A round that asked nothing may be repeated now.
    Round,
    /// A question of the server must be answered by now.
    Input,
}

impl Timer {
    /// Those that a server has one of.
    pub(super) const SINGLE: [Self; 16] = [
        Self::Start,
        Self::Probe,
        Self::Drain,
        Self::CloseInput,
        Self::Terminate,
        Self::ExitWait,
        Self::Listen,
        Self::Backoff,
        Self::Revive,
        Self::Health,
        Self::Startup,
        Self::Readiness,
        Self::Page,
        Self::Dependency,
        Self::KillWait,
        Self::Idle,
    ];

    const fn place(self) -> Option<usize> {
        match self {
            Self::Start => Some(0),
            Self::Probe => Some(1),
            Self::Drain => Some(2),
            Self::CloseInput => Some(3),
            Self::Terminate => Some(4),
            Self::ExitWait => Some(5),
            Self::Listen => Some(6),
            Self::Backoff => Some(7),
            Self::Revive => Some(8),
            Self::Health => Some(9),
            Self::Startup => Some(10),
            Self::Readiness => Some(11),
            Self::Page => Some(12),
            Self::Dependency => Some(13),
            Self::KillWait => Some(14),
            Self::Idle => Some(15),
            Self::Refresh | Self::Call | Self::Request | Self::Round | Self::Input | Self::Turn => {
                None
            }
        }
    }
}

/// What a deadline of which a server may have many is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    Call(CallId),
    Request(u64),
    Round(CallId),
    Input(InputId),
}

impl Due {
    const fn timer(self) -> Timer {
        match self {
            Self::Call(_) => Timer::Call,
            Self::Request(_) => Timer::Request,
            Self::Round(_) => Timer::Round,
            Self::Input(_) => Timer::Input,
        }
    }
}

/// All deadlines of one server.
#[derive(Debug, Default)]
pub(super) struct Timers {
    single: [Option<Time>; Timer::SINGLE.len()],
    many: BTreeSet<(Time, Due)>,
}

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, at: Time) {
        if let Some(slot) = timer.place().and_then(|place| self.single.get_mut(place)) {
            *slot = Some(at);
        }
    }

    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        let slot = timer.place().and_then(|place| self.single.get(place));
        slot.is_some_and(Option::is_some)
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        if let Some(slot) = timer.place().and_then(|place| self.single.get_mut(place)) {
            *slot = None;
        }
    }

    /// Forgets everything that belongs to one incarnation. Deadlines of calls stay.
    pub(super) fn disarm_incarnation(&mut self) {
        self.single = Default::default();
        self.many.retain(|(_, due)| match due {
            Due::Call(_) => true,
            Due::Request(_) | Due::Round(_) | Due::Input(_) => false,
        });
    }

    pub(super) fn insert(&mut self, at: Time, due: Due) {
        self.many.insert((at, due));
    }

    pub(super) fn remove(&mut self, at: Time, due: Due) {
        self.many.remove(&(at, due));
    }

    /// Takes a single timer that is due by `now`.
    pub(super) fn take_single(&mut self, now: Time) -> Option<Timer> {
        Timer::SINGLE
            .into_iter()
            .zip(&mut self.single)
            .find_map(|(timer, slot)| {
                if slot.is_some_and(|at| at <= now) {
                    *slot = None;
                    Some(timer)
                } else {
                    None
                }
            })
    }

    /// Takes the earliest of the many deadlines that is due by `now`.
    pub(super) fn take_many(&mut self, now: Time) -> Option<Due> {
        let (at, _) = self.many.first()?;
        if *at > now {
            None
        } else {
            self.many.pop_first().map(|(_, due)| due)
        }
    }

    pub(super) fn next(&self) -> Option<(Time, Timer)> {
        let single = Timer::SINGLE
            .into_iter()
            .zip(&self.single)
            .filter_map(|(timer, slot)| slot.map(|at| (at, timer)))
            .min();
        let many = self.many.first().map(|(at, due)| (*at, due.timer()));
        single.into_iter().chain(many).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_timer_has_its_own_place() {
        for (index, timer) in Timer::SINGLE.into_iter().enumerate() {
            assert_eq!(timer.place(), Some(index));
        }
    }

    #[test]
    fn the_earliest_deadline_wins_and_early_calls_take_nothing() {
        let mut timers = Timers::default();
        timers.arm(Timer::Start, Time::from_millis(20));
        timers.insert(Time::from_millis(10), Due::Call(CallId(1)));
        assert_eq!(timers.next(), Some((Time::from_millis(10), Timer::Call)));
        assert_eq!(timers.take_many(Time::from_millis(9)), None);
        assert_eq!(
            timers.take_many(Time::from_millis(10)),
            Some(Due::Call(CallId(1)))
        );
        assert_eq!(timers.next(), Some((Time::from_millis(20), Timer::Start)));
        assert_eq!(
            timers.take_single(Time::from_millis(30)),
            Some(Timer::Start)
        );
        assert_eq!(timers.next(), None);
    }
}
