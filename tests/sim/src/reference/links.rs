//! What may pass over a link.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mcp_fleet_core::{Effect, LinkId, ServerId, Signal, Time};

use crate::{
    frame::Frame,
    violation::{Violation, promise},
};

const ONE_LIFE: &str = "one life of a server at a time";
const LADDER: &str = "the close ladder is climbed rung by rung, once";
const LEFT: &str = "what is left behind is said to be, once";
const IDS: &str = "ids of requests only grow";
const GREETING: &str = "the handshake comes first, and does not go round";
const CREDIT: &str = "bytes on their way are bounded";

/// One incarnation, as far as its own traffic tells.
#[derive(Debug, Default)]
pub(super) struct LinkBook {
    pub(super) server: String,
    pub(super) replica: u32,
    pub(super) opened_at: Time,
    pub(super) over: bool,
    pub(super) handed: u64,
    pub(super) wrote: u64,
    pub(super) input_closed: bool,
    /// Nothing that it says can be read any more.
    pub(super) unreadable: bool,
    /// It gave a reason to give it up: noise, a line too long.
    pub(super) broke_protocol: bool,
    /// It said of a tool that it changes nothing.
    pub(super) vouches: bool,
    /// It refused or botched a handshake.
    pub(super) botched: bool,
    /// When it last said something.
    pub(super) heard_at: Time,
    /// Something of it ended.
    pub(super) ended: bool,
    kills: u32,
    killed_at: Time,
    /// It is said to be left behind.
    left: bool,
    abandoned: bool,
    terminated: bool,
    last_request: u64,
    greeted: bool,
    greetings: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
    /// Ids of questions, as they stand, and how often each waits for an answer.
    asked: BTreeMap<String, u32>,
    /// When the first page of each list was last asked for.
    readings: BTreeMap<String, Time>,
}

impl LinkBook {
    pub(super) fn new(server: String, replica: u32, opened_at: Time) -> Self {
        Self {
            server,
            replica,
            opened_at,
            ..Self::default()
        }
    }

    pub(super) fn on_signal(&mut self, now: Time, signal: &Signal) {
        match signal {
            Signal::Wrote { bytes, .. } => self.wrote += bytes,
            // What it says on the ladder comes too late to save it.
            Signal::Bytes { .. } if !self.input_closed => self.heard_at = now,
            Signal::Closed { .. } => {
                self.ended |= !self.input_closed && self.kills == 0;
                self.over = true;
            }
            Signal::OpenFailed { .. } => self.over = true,
            Signal::Eof { .. } | Signal::Exited { .. } | Signal::WriteFailed { .. } => {
                self.ended = true;
            }
            _ => {}
        }
    }

    pub(super) const fn has_credit(&self, write_bytes: u64) -> bool {
        self.handed - self.wrote < write_bytes
    }

    pub(super) fn ask(&mut self, id: &str) {
        *self.asked.entry(id.to_owned()).or_default() += 1;
    }

    pub(super) fn is_greeting(&self, request: u64) -> bool {
        self.greetings.contains(&request)
    }

    /// A rung of the ladder, which stands in order.
    /// `wait` is the least time between the last two.
    pub(super) fn on_rung(
        &mut self,
        now: Time,
        effect: &Effect,
        wait: Duration,
    ) -> Result<(), Violation> {
        promise!(
            !self.over && !self.abandoned,
            ONE_LIFE,
            "{effect:?} for a link that is over"
        );
        match effect {
            Effect::CloseInput { .. } => {
                promise!(!self.input_closed && self.kills == 0, LADDER, "{effect:?}");
                self.input_closed = true;
            }
            Effect::Terminate { .. } => {
                let in_order = self.input_closed && !self.terminated && self.kills == 0;
                promise!(in_order, LADDER, "{effect:?}");
                self.terminated = true;
            }
            Effect::Kill { .. } => {
                self.kills += 1;
                self.killed_at = now;
                promise!(self.kills <= 2, LADDER, "{effect:?} for the third time");
            }
            Effect::Abandon { .. } => {
                let waited = now.since(self.killed_at);
                promise!(
                    self.kills > 0 && (waited >= wait || now < self.killed_at),
                    LADDER,
                    "{effect:?} after {} kills and {waited:?}, not {wait:?}",
                    self.kills
                );
                promise!(self.left, LEFT, "{effect:?}");
                self.abandoned = true;
            }
            Effect::Open { .. } | Effect::Send { .. } => {}
        }
        Ok(())
    }

    /// Since when it is waited for what SIGKILL did not end yet.
    pub(super) fn lingers_since(&self) -> Option<Time> {
        let lingers = self.kills > 0 && !self.over && !self.abandoned;
        lingers.then_some(self.killed_at)
    }

    /// It is said to be left behind.
    pub(super) fn on_abandoned(&mut self) -> Result<(), Violation> {
        let told = std::mem::replace(&mut self.left, true);
        promise!(!told, LEFT, "it was said before");
        Ok(())
    }

    /// A frame on its way; the answer is where it begins. `interval` is the least time between two
    /// readings of a list, `open` whether the handshake is over.
    pub(super) fn on_frame(
        &mut self,
        now: Time,
        length: u64,
        frame: &Frame,
        write_bytes: u64,
        interval: Duration,
        open: bool,
    ) -> Result<u64, Violation> {
        promise!(
            !self.over && !self.input_closed && self.kills == 0,
            ONE_LIFE,
            "{frame:?} after the close"
        );
        let start = self.handed;
        let under_way = self.handed - self.wrote;
        self.handed += length;
        if let Some(id) = &frame.answers {
            let open = self.asked.get_mut(id).filter(|open| **open > 0);
            let asked = open.map(|open| *open -= 1).is_some();
            promise!(asked, "only questions are answered, once", "id {id}");
            promise!(
                under_way < write_bytes.saturating_mul(2),
                CREDIT,
                "{frame:?}"
            );
        }
        if let (Some(id), Some(method)) = (frame.id, &frame.method) {
            promise!(
                id > self.last_request,
                IDS,
                "{id} after {}",
                self.last_request
            );
            self.last_request = id;
            if !open && (method == "initialize" || method == "server/discover") {
                self.greetings.insert(id);
            }
            self.greeted |= method == "initialize" || method == "server/discover";
            promise!(self.greeted, GREETING, "{method} came first");
            promise!(self.greetings.len() <= 4, GREETING, "{:?}", self.greetings);
            if method.ends_with("/list") && !frame.cursor {
                self.on_reading(now, method, interval)?;
            }
            let first = self.is_greeting(id) || method == "subscriptions/listen";
            promise!(first || under_way < write_bytes, CREDIT, "{frame:?}");
        }
        if let Some(id) = frame.cancels {
            let known = id <= self.last_request && self.cancelled.insert(id);
            promise!(known, "a request is taken back once", "{id}");
            promise!(!self.is_greeting(id), GREETING, "{id} was cancelled");
        }
        Ok(start)
    }

    fn on_reading(&mut self, now: Time, method: &str, interval: Duration) -> Result<(), Violation> {
        if let Some(before) = self.readings.insert(method.to_owned(), now) {
            let pause = now.since(before);
            promise!(
                pause >= interval || now < before,
                "a list is read once an interval",
                "{method} again after {pause:?}, not {interval:?}"
            );
        }
        Ok(())
    }
}

/// All links that ever were.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<LinkId, LinkBook>);

impl Links {
    pub(super) fn open(
        &mut self,
        now: Time,
        link: LinkId,
        server: &str,
        replica: u32,
    ) -> Result<(), Violation> {
        let mut of_slot = self.0.iter().filter(|(id, _)| id.server == link.server);
        let other = of_slot.find(|(id, book)| !book.over || **id >= link);
        promise!(
            other.is_none(),
            ONE_LIFE,
            "{link:?} beside or after {other:?}"
        );
        let mut of_name = self.0.values();
        let twin =
            of_name.find(|book| !book.over && book.server == server && book.replica == replica);
        promise!(twin.is_none(), ONE_LIFE, "{link:?} beside {twin:?}");
        self.0
            .insert(link, LinkBook::new(server.to_owned(), replica, now));
        Ok(())
    }

    /// The link, while it is not over.
    pub(super) fn live(&mut self, link: LinkId) -> Option<&mut LinkBook> {
        self.0.get_mut(&link).filter(|book| !book.over)
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&LinkBook> {
        self.0.get(&link)
    }

    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut LinkBook> {
        self.0.get_mut(&link)
    }

    /// The live link of a slot.
    pub(super) fn of(&self, slot: Option<ServerId>) -> Option<&LinkBook> {
        self.newest(slot).filter(|book| !book.over)
    }

    /// The newest link of a slot, live or not.
    pub(super) fn newest(&self, slot: Option<ServerId>) -> Option<&LinkBook> {
        let server = slot?;
        let link = |incarnation| LinkId {
            server,
            incarnation,
        };
        let mut of_slot = self.0.range(link(0)..=link(u32::MAX));
        of_slot.next_back().map(|(_, book)| book)
    }

    /// One life of a replica.
    pub(super) fn life(
        &mut self,
        server: &str,
        replica: u32,
        incarnation: u32,
    ) -> Option<&mut LinkBook> {
        self.0
            .iter_mut()
            .filter(|(id, book)| {
                id.incarnation == incarnation && book.server == server && book.replica == replica
            })
            .max_by_key(|(_, book)| book.opened_at)
            .map(|(_, book)| book)
    }

    /// Whether a server has a live link.
    pub(super) fn any_of(&self, server: &str) -> bool {
        self.0
            .values()
            .any(|book| !book.over && book.server == server)
    }

    pub(super) fn all_over(&self) -> bool {
        self.0.values().all(|book| book.over)
    }
}
