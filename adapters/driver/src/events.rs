//! Subscriptions to what happens in the fleet.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use async_channel::{Receiver, Sender};
use futures::{Stream, StreamExt};
use mcp_fleet_core::Event;

/// Events that wait for one subscriber.
const EVENTS_MAX: usize = 1024;

/// What a subscriber gets.
#[derive(Clone, PartialEq, Debug)]
pub enum Update {
    /// Something happened.
    Event(Event),
    /// The subscriber was too slow: this many events were left out here.
    Missed(u64),
}

/// A stream of all events of a fleet but the outcomes and progress of calls and commands, which
/// their own waiters get.
///
/// A subscriber that does not keep up loses events and is told how many; it never slows the fleet.
/// Ends when the fleet has shut down.
#[derive(Debug)]
pub struct Events(Pin<Box<Receiver<Queued>>>);

/// The actor's end of a subscription.
pub(crate) struct Subscriber {
    queue: Sender<Queued>,
    /// The gap at the end of the queue, if there is one.
    gap: Gap,
}

/// Events that were left out: shared by the subscription and an entry in the queue. Zero once the
/// entry was taken, from when on events can be queued again.
type Gap = Arc<AtomicU64>;

#[derive(Debug)]
enum Queued {
    Event(Event),
    Gap(Gap),
}

impl Events {
    pub(crate) fn new() -> (Self, Subscriber) {
        // One place is for the gap behind the last event.
        let (sender, receiver) = async_channel::bounded(EVENTS_MAX + 1);
        let subscriber = Subscriber {
            queue: sender,
            gap: Gap::default(),
        };
        (Self(Box::pin(receiver)), subscriber)
    }

    /// The next update; `None` when the fleet has shut down.
    pub async fn next(&mut self) -> Option<Update> {
        StreamExt::next(self).await
    }
}

impl Stream for Events {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        let queued = ready!(self.0.as_mut().poll_next(context));
        Poll::Ready(queued.map(|queued| match queued {
            Queued::Event(event) => Update::Event(event),
            Queued::Gap(gap) => Update::Missed(gap.swap(0, Ordering::AcqRel)),
        }))
    }
}

impl Subscriber {
    /// Whether anybody still listens.
    pub(crate) fn is_heard(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Passes `event` on without waiting. Returns whether anybody still listens.
    pub(crate) fn tell(&mut self, event: &Event) -> bool {
        if !self.is_heard() {
            return false;
        }
        let more = |missed| (missed > 0).then_some(missed + 1);
        let widened = self
            .gap
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        if widened.is_ok() {
            return true;
        }
        let queued = if self.queue.len() < EVENTS_MAX {
            Queued::Event(event.clone())
        } else {
            self.gap = Arc::new(AtomicU64::new(1));
            Queued::Gap(Arc::clone(&self.gap))
        };
        // Nobody else puts anything into the queue, so there is room.
        self.queue.try_send(queued).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use mcp_fleet_core::InputId;

    use super::*;

    fn event(number: u64) -> Event {
        Event::InputWithdrawn {
            input: InputId(number),
        }
    }

    fn take(events: &mut Events) -> Option<Option<Update>> {
        events.next().now_or_never()
    }

    #[test]
    fn a_slow_subscriber_is_told_how_many_events_it_missed_and_where() {
        let (mut events, mut subscriber) = Events::new();
        for number in 0..EVENTS_MAX as u64 + 3 {
            assert!(subscriber.tell(&event(number)));
        }
        assert_eq!(take(&mut events), Some(Some(Update::Event(event(0)))));
        // There is room, but what comes after the gap must not overtake it.
        assert!(subscriber.tell(&event(9999)));
        for number in 1..EVENTS_MAX as u64 {
            assert_eq!(take(&mut events), Some(Some(Update::Event(event(number)))));
        }
        assert_eq!(take(&mut events), Some(Some(Update::Missed(4))));
        assert_eq!(take(&mut events), None);
        assert!(subscriber.tell(&event(10_000)));
        assert_eq!(take(&mut events), Some(Some(Update::Event(event(10_000)))));
        drop(subscriber);
        assert_eq!(take(&mut events), Some(None));
    }

    #[test]
    fn a_subscriber_that_catches_up_amid_a_gap_is_told_of_all() {
        for _ in 0..50 {
            let (mut events, mut subscriber) = Events::new();
            let total = EVENTS_MAX as u64 * 2;
            let (report, reported) = std::sync::mpsc::channel();
            let reader = std::thread::spawn(move || {
                let mut accounted = 0;
                while accounted < total {
                    match futures::executor::block_on(events.next()) {
                        Some(Update::Event(_)) => accounted += 1,
                        Some(Update::Missed(missed)) => accounted += missed,
                        None => break,
                    }
                }
                report.send(accounted).unwrap();
            });
            for number in 0..total {
                assert!(subscriber.tell(&event(number)));
            }
            // It comes to know of all while the subscription lasts.
            let patience = std::time::Duration::from_secs(30);
            assert_eq!(reported.recv_timeout(patience), Ok(total));
            drop(subscriber);
            reader.join().unwrap();
        }
    }

    #[test]
    fn a_subscriber_that_left_is_noticed() {
        let (events, mut subscriber) = Events::new();
        assert!(subscriber.is_heard());
        drop(events);
        assert!(!subscriber.is_heard() && !subscriber.tell(&event(0)));
    }
}
