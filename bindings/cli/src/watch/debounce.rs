//! When changes have come to rest.

use std::time::{Duration, Instant};

/// How long nothing may have changed before a change is looked at.
pub(crate) const QUIET: Duration = Duration::from_millis(200);
/// How long changes without an end hold up the look at them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Turns many changes into few looks: one when it has been quiet for a while, and one every
/// [`PATIENCE`] where it never is.
#[derive(Debug, Default)]
pub(crate) struct Debouncer(State);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Idle,
    Pending {
        first: Instant,
        last: Instant,
    },
}

/// Why it is time to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Nothing changed for a while.
    Quiet,
    /// Changes go on, and have for long enough.
    Late,
}

impl Debouncer {
    /// Something changed.
    pub(crate) fn handle_change(&mut self, now: Instant) {
        let first = match self.0 {
            State::Idle => now,
            State::Pending { first, .. } => first,
        };
        self.0 = State::Pending { first, last: now };
    }

    /// Whether it is time to look. A look that is taken ends what was pending; one that comes too
    /// early is harmless.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        let due = self.due(now)?;
        self.0 = State::Idle;
        Some(due)
    }

    /// When [`Debouncer::handle_timeout`] is wanted. Moves with every change.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.0 {
            State::Idle => None,
            State::Pending { first, last } => Some((last + QUIET).min(first + PATIENCE)),
        }
    }

    fn due(&self, now: Instant) -> Option<Due> {
        match self.0 {
            State::Idle => None,
            State::Pending { last, .. } if now >= last + QUIET => Some(Due::Quiet),
            State::Pending { first, .. } if now >= first + PATIENCE => Some(Due::Late),
            State::Pending { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Looks at the times, in milliseconds, at which it is time to, while something changes at
    /// each of `changes`, until nothing is pending any more.
    fn looks(changes: impl IntoIterator<Item = u64>) -> Vec<(u64, Due)> {
        let epoch = Instant::now();
        let at = |millis| epoch + Duration::from_millis(millis);
        let mut debouncer = Debouncer::default();
        let mut looks = Vec::new();
        let mut look_until = |debouncer: &mut Debouncer, end: Option<Instant>| {
            while let Some(deadline) = debouncer.poll_timeout()
                && end.is_none_or(|end| deadline <= end)
            {
                assert_eq!(debouncer.handle_timeout(deadline - MILLISECOND), None);
                let due = debouncer.handle_timeout(deadline).expect("at its deadline");
                let millis = deadline.duration_since(epoch).as_millis();
                looks.push((u64::try_from(millis).unwrap(), due));
            }
        };
        for change in changes {
            look_until(&mut debouncer, Some(at(change)));
            debouncer.handle_change(at(change));
        }
        look_until(&mut debouncer, None);
        looks
    }

    #[test]
    fn nothing_is_looked_at_where_nothing_changes() {
        assert_eq!(looks([]), []);
        assert_eq!(Debouncer::default().handle_timeout(Instant::now()), None);
    }

    #[test]
    fn one_change_is_one_look() {
        assert_eq!(looks([50]), [(250, Due::Quiet)]);
    }

    #[test]
    fn changes_close_to_each_other_are_one_look() {
        assert_eq!(looks([0, 100, 299, 300]), [(500, Due::Quiet)]);
    }

    #[test]
    fn changes_apart_from_each_other_are_looks_of_their_own() {
        assert_eq!(looks([0, 500]), [(200, Due::Quiet), (700, Due::Quiet)]);
    }

    #[test]
    fn a_storm_is_looked_at_every_two_seconds_and_once_when_it_is_over() {
        let storm = (0..=5_000).collect::<Vec<u64>>();
        let expected = [
            (2_000, Due::Late),
            // The change of that very millisecond comes after the look, and begins anew.
            (4_000, Due::Late),
            (5_200, Due::Quiet),
        ];
        assert_eq!(looks(storm), expected);
    }
}
