//! Who is next among the calls that wait to be sent, and who gives way when they are too many.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{CallId, ClientId},
    input::Priority,
    planted::{Bug, planted},
};

/// Calls that go before the head of a lower class, one after the other, until it has its turn.
pub(super) const OVERTAKEN_MAX: u32 = 8;

/// The calls that wait to be sent.
///
/// Those that come back for their next round go first. Of the others, higher classes go before
/// lower ones, but no more than [`OVERTAKEN_MAX`] times in a row; in a class the clients take
/// turns; and each client's calls go in the order in which they were accepted.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Calls between two rounds, in order of acceptance.
    again: BTreeSet<(u64, CallId)>,
    high: Class,
    normal: Class,
    low: Class,
    /// How many calls wait, by client, whatever their class.
    by_client: BTreeMap<Option<ClientId>, usize>,
    len: usize,
}

/// Where a call stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Its place in the order of acceptance.
    pub(super) ticket: u64,
    pub(super) id: CallId,
    pub(super) client: Option<ClientId>,
    pub(super) priority: Priority,
    /// It comes back for its next round.
    pub(super) begun: bool,
}

#[derive(Debug, Default)]
struct Class {
    lines: BTreeMap<Option<ClientId>, Line>,
    /// The clients in the order of their turns.
    turns: BTreeSet<(u64, Option<ClientId>)>,
    /// The clients by the length of their lines.
    lengths: BTreeSet<(usize, Option<ClientId>)>,
    next_turn: u64,
    /// Calls of higher classes that went before its head.
    overtaken: u32,
}

/// The calls of one client in one class; never empty.
#[derive(Debug)]
struct Line {
    calls: BTreeSet<(u64, CallId)>,
    turn: u64,
}

impl Queue {
    pub(super) fn insert(&mut self, place: Place) {
        self.len += 1;
        *self.by_client.entry(place.client).or_default() += 1;
        if place.begun {
            self.again.insert((place.ticket, place.id));
        } else {
            self.class_mut(place.priority).insert(place);
        }
    }

    pub(super) fn remove(&mut self, place: Place) {
        let found = if place.begun {
            self.again.remove(&(place.ticket, place.id))
        } else {
            self.class_mut(place.priority).remove(place)
        };
        if !found {
            return;
        }
        self.len -= 1;
        if let Some(count) = self.by_client.get_mut(&place.client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&place.client);
            }
        }
    }

    /// Removes a call because it is sent, which is the turn of its client and of its class.
    pub(super) fn take(&mut self, place: Place) {
        if !place.begun {
            self.class_mut(place.priority).pass_turn(place.client);
            let lower: &mut [&mut Class] = match place.priority {
                Priority::High => &mut [&mut self.normal, &mut self.low],
                Priority::Normal => &mut [&mut self.low],
                Priority::Low => &mut [],
            };
            for class in lower {
                if !class.lines.is_empty() {
                    class.overtaken += 1;
                }
            }
        }
        self.remove(place);
    }

    /// The call that is to be sent next.
    pub(super) fn next(&self) -> Option<CallId> {
        if let Some((_, id)) = self.again.first() {
            return Some(*id);
        }
        let classes = [&self.high, &self.normal, &self.low];
        let overdue = |class: &&&Class| class.overtaken >= OVERTAKEN_MAX;
        let overdue = classes
            .iter()
            .find(overdue)
            .filter(|_| !planted(Bug::Starvation));
        let waiting = |class: &&&Class| !class.lines.is_empty();
        overdue.or_else(|| classes.iter().find(waiting))?.head()
    }

    /// The call that gives way to a new one where the queue is full; `None` where the new one has
    /// no better claim than those that wait.
    ///
    /// It is the youngest of the longest line in the lowest class that is not above the new call's.
    /// In the same class it gives way only where its client still has as many calls waiting as the
    /// new one's has then.
    pub(super) fn gives_way(&self, priority: Priority, client: Option<ClientId>) -> Option<CallId> {
        let lower: &[&Class] = match priority {
            Priority::High => &[&self.low, &self.normal],
            Priority::Normal => &[&self.low],
            Priority::Low => &[],
        };
        let own = self.class(priority);
        lower
            .iter()
            .find_map(|class| class.youngest(1))
            .or_else(|| {
                let length = own.lines.get(&client).map_or(0, |line| line.calls.len());
                let longer = if planted(Bug::WrongOneGivesWay) { 1 } else { 2 };
                own.youngest(length + longer)
            })
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Calls of one client that wait.
    pub(super) fn len_of(&self, client: Option<ClientId>) -> usize {
        self.by_client.get(&client).copied().unwrap_or_default()
    }

    /// Calls that wait for their next round.
    pub(super) fn begun(&self) -> usize {
        self.again.len()
    }

    /// Whether a call waits for its next round.
    pub(super) fn has_begun(&self) -> bool {
        !self.again.is_empty()
    }

    const fn class(&self, priority: Priority) -> &Class {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
            Priority::Low => &self.low,
        }
    }

    const fn class_mut(&mut self, priority: Priority) -> &mut Class {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }
}

impl Class {
    /// A client that had no call waiting is the last in turn.
    fn insert(&mut self, place: Place) {
        let line = self.lines.entry(place.client).or_insert_with(|| {
            let turn = self.next_turn;
            self.next_turn += 1;
            self.turns.insert((turn, place.client));
            Line {
                calls: BTreeSet::new(),
                turn,
            }
        });
        let length = line.calls.len();
        line.calls.insert((place.ticket, place.id));
        self.lengths.remove(&(length, place.client));
        self.lengths.insert((length + 1, place.client));
    }

    fn remove(&mut self, place: Place) -> bool {
        let Some(line) = self.lines.get_mut(&place.client) else {
            return false;
        };
        let length = line.calls.len();
        if !line.calls.remove(&(place.ticket, place.id)) {
            return false;
        }
        self.lengths.remove(&(length, place.client));
        if length > 1 {
            self.lengths.insert((length - 1, place.client));
            return true;
        }
        self.turns.remove(&(line.turn, place.client));
        self.lines.remove(&place.client);
        if self.lines.is_empty() {
            self.overtaken = 0;
        }
        true
    }

    /// The client had its turn, and is the last in turn from here on.
    fn pass_turn(&mut self, client: Option<ClientId>) {
        self.overtaken = 0;
        if planted(Bug::UnfairTurns) {
            return;
        }
        if let Some(line) = self.lines.get_mut(&client) {
            self.turns.remove(&(line.turn, client));
            line.turn = self.next_turn;
            self.next_turn += 1;
            self.turns.insert((line.turn, client));
        }
    }

    fn head(&self) -> Option<CallId> {
        let (_, client) = self.turns.first()?;
        self.lines.get(client)?.calls.first().map(|(_, id)| *id)
    }

    /// The youngest call of the longest line, where that has `least` calls.
    fn youngest(&self, least: usize) -> Option<CallId> {
        let (length, client) = self.lengths.last()?;
        let line = self.lines.get(client).filter(|_| *length >= least)?;
        line.calls.last().map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64, client: u64, priority: Priority) -> Place {
        Place {
            ticket: number,
            id: CallId(number),
            client: (client > 0).then_some(ClientId(client)),
            priority,
            begun: false,
        }
    }

    fn queue(places: &[Place]) -> Queue {
        let mut queue = Queue::default();
        for place in places {
            queue.insert(*place);
        }
        queue
    }

    /// All of them, in the order in which they are sent.
    fn drain(queue: &mut Queue, places: &[Place]) -> Vec<u64> {
        std::iter::from_fn(|| {
            let next = queue.next()?;
            let place = places.iter().find(|place| place.id == next).unwrap();
            queue.take(*place);
            Some(next.0)
        })
        .collect()
    }

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let places: Vec<Place> = [(1, 7), (2, 7), (3, 7), (4, 0), (5, 8), (6, 0)]
            .map(|(number, client)| place(number, client, Priority::Normal))
            .into();
        let mut queue = queue(&places);
        assert_eq!(
            (queue.len_of(Some(ClientId(7))), queue.len_of(None)),
            (3, 2)
        );
        assert_eq!(drain(&mut queue, &places), [1, 4, 5, 2, 6, 3]);
        assert_eq!((queue.len(), queue.len_of(None)), (0, 0));
        assert!(queue.by_client.is_empty() && queue.normal.lengths.is_empty());
    }

    #[test]
    fn a_lower_class_waits_for_so_many_calls_and_no_more() {
        let places: Vec<Place> = (0..40)
            .map(|number| match number {
                0 | 1 => place(number, 0, Priority::Low),
                2 | 3 => place(number, 0, Priority::Normal),
                _ => place(number, 0, Priority::High),
            })
            .collect();
        let order = drain(&mut queue(&places), &places);
        let at = |number| order.iter().position(|id| *id == number).unwrap();
        assert_eq!([at(2), at(0), at(3), at(1)], [8, 9, 18, 19], "{order:?}");
    }

    #[test]
    fn what_comes_back_goes_before_every_class() {
        let back = Place {
            begun: true,
            ..place(9, 1, Priority::Low)
        };
        let places = [place(1, 2, Priority::High), back];
        let mut queue = queue(&places);
        assert!(queue.has_begun());
        assert_eq!(drain(&mut queue, &places), [9, 1]);
        assert!(!queue.has_begun());
    }

    #[test]
    fn the_longest_line_of_the_lowest_class_gives_way() {
        let places = [
            place(1, 1, Priority::Low),
            place(2, 2, Priority::Low),
            place(3, 2, Priority::Low),
            place(4, 1, Priority::Normal),
            place(5, 1, Priority::Normal),
            place(6, 1, Priority::Normal),
        ];
        let mut queue = queue(&places);
        let (one, two) = (Some(ClientId(1)), Some(ClientId(2)));
        assert_eq!(queue.gives_way(Priority::Normal, one), Some(CallId(3)));
        assert_eq!(queue.gives_way(Priority::Low, None), Some(CallId(3)));
        assert_eq!(queue.gives_way(Priority::Low, one), None);
        for place in places.into_iter().take(3) {
            queue.remove(place);
        }
        assert_eq!(queue.gives_way(Priority::High, one), Some(CallId(6)));
        assert_eq!(queue.gives_way(Priority::Normal, two), Some(CallId(6)));
        assert_eq!(queue.gives_way(Priority::Normal, one), None);
        assert_eq!(queue.gives_way(Priority::Low, two), None);
    }
}
