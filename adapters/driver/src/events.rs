//! Subscriptions to what happens in the fleet.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use async_channel::{Receiver, Sender, TrySendError};
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
pub struct Events {
    events: Pin<Box<Receiver<Event>>>,
    missed: Arc<AtomicU64>,
}

/// The actor's end of a subscription.
pub(crate) struct Subscriber {
    events: Sender<Event>,
    missed: Arc<AtomicU64>,
}

impl Events {
    pub(crate) fn new() -> (Self, Subscriber) {
        let (sender, events) = async_channel::bounded(EVENTS_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        let subscriber = Subscriber {
            events: sender,
            missed: Arc::clone(&missed),
        };
        (
            Self {
                events: Box::pin(events),
                missed,
            },
            subscriber,
        )
    }

    /// The next update; `None` when the fleet has shut down.
    pub async fn next(&mut self) -> Option<Update> {
        StreamExt::next(self).await
    }

    fn take_missed(&self) -> Option<Update> {
        let missed = self.missed.swap(0, Ordering::AcqRel);
        (missed > 0).then_some(Update::Missed(missed))
    }
}

impl Stream for Events {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        match self.events.as_mut().poll_next(context) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Update::Event(event))),
            // The gap begins behind all that was queued before it.
            Poll::Ready(None) => Poll::Ready(self.take_missed()),
            Poll::Pending => match self.take_missed() {
                Some(missed) => Poll::Ready(Some(missed)),
                None => Poll::Pending,
            },
        }
    }
}

impl Subscriber {
    /// Passes `event` on without waiting. Returns whether anybody still listens.
    pub(crate) fn tell(&self, event: &Event) -> bool {
        if self.events.is_closed() {
            return false;
        }
        // Once there is a gap it stays open until it was seen, so that nothing is out of order.
        if self.missed.load(Ordering::Acquire) > 0 {
            self.missed.fetch_add(1, Ordering::AcqRel);
            return true;
        }
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Ordering::AcqRel);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
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
        let (mut events, subscriber) = Events::new();
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
    fn a_subscriber_that_left_is_noticed() {
        let (events, subscriber) = Events::new();
        drop(events);
        assert!(!subscriber.tell(&event(0)));
    }
}
