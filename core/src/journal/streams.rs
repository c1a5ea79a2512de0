//! What servers say, which comes in pieces that end anywhere.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Redaction,
    mask::{Patterns, Stream},
    payload::{Payloads, cover_noise},
};
use crate::ids::LinkId;

/// Which output of a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Side {
    Output,
    Errors,
}

/// Decided bytes for the entry of this number.
pub(super) type Decided = (u64, Vec<u8>);

/// All streams that are open.
#[derive(Debug)]
pub(super) struct Streams {
    level: Redaction,
    streams: BTreeMap<(LinkId, Side), Outlet>,
    /// Entries are missing, so that a stream may be met in its middle.
    lossy: bool,
}

#[derive(Debug)]
struct Outlet {
    payloads: Payloads,
    masks: Stream,
    /// Bytes are missing: the rest of the line may be that of a secret.
    lost: bool,
    /// Entries that wait for bytes, and for how many.
    waiting: VecDeque<(u64, usize)>,
}

impl Streams {
    pub(super) const fn new(level: Redaction) -> Self {
        Self {
            level,
            streams: BTreeMap::new(),
            lossy: false,
        }
    }

    /// A link begins, and its streams with it.
    pub(super) fn open(&mut self, link: LinkId) {
        for side in [Side::Output, Side::Errors] {
            self.streams.insert((link, side), Outlet::new(false));
        }
    }

    /// Takes what a server said in the entry `number`. Gives out what is decided by that.
    pub(super) fn push(
        &mut self,
        patterns: &Patterns,
        link: LinkId,
        side: Side,
        number: u64,
        bytes: &[u8],
    ) -> Vec<Decided> {
        let lossy = self.lossy;
        let outlet = self
            .streams
            .entry((link, side))
            .or_insert_with(|| Outlet::new(lossy));
        outlet.push(self.level, patterns, side, number, bytes)
    }

    /// So many bytes of a stream are missing.
    pub(super) fn lose(&mut self, link: LinkId, side: Side) -> Vec<Decided> {
        self.streams
            .get_mut(&(link, side))
            .map(Outlet::lose)
            .unwrap_or_default()
    }

    /// Bytes of any stream are missing.
    pub(super) fn lose_all(&mut self) -> Vec<Decided> {
        self.lossy = true;
        self.streams.values_mut().flat_map(Outlet::lose).collect()
    }

    /// Decides what is held back of a stream.
    pub(super) fn settle(&mut self, link: LinkId, side: Side) -> Vec<Decided> {
        self.streams
            .get_mut(&(link, side))
            .map(Outlet::settle)
            .unwrap_or_default()
    }

    /// Decides all that is held back.
    pub(super) fn settle_all(&mut self) -> Vec<Decided> {
        self.streams.values_mut().flat_map(Outlet::settle).collect()
    }

    /// Nothing comes of a link any more.
    pub(super) fn close(&mut self, link: LinkId) -> Vec<Decided> {
        let mut decided = Vec::new();
        for side in [Side::Output, Side::Errors] {
            if let Some(mut outlet) = self.streams.remove(&(link, side)) {
                decided.extend(outlet.settle());
            }
        }
        decided
    }
}

impl Outlet {
    fn new(lost: bool) -> Self {
        let mut payloads = Payloads::received();
        if lost {
            payloads.lose();
        }
        Self {
            payloads,
            masks: Stream::default(),
            lost,
            waiting: VecDeque::new(),
        }
    }

    fn push(
        &mut self,
        level: Redaction,
        patterns: &Patterns,
        side: Side,
        number: u64,
        bytes: &[u8],
    ) -> Vec<Decided> {
        let mut bytes = bytes.to_vec();
        match (level, side) {
            (Redaction::Payloads, Side::Output) => self.payloads.cover(&mut bytes),
            (Redaction::Payloads, Side::Errors) => {
                bytes.iter_mut().for_each(|byte| *byte = cover_noise(*byte));
            }
            (Redaction::Nothing | Redaction::Secrets, Side::Output | Side::Errors) => {}
        }
        for byte in &mut bytes {
            self.lost &= *byte != b'\n';
            if !self.lost {
                break;
            }
            *byte = cover_noise(*byte);
        }
        self.waiting.push_back((number, bytes.len()));
        let mut out = Vec::with_capacity(bytes.len());
        self.masks.push(patterns, &bytes, &mut out);
        self.share(&out)
    }

    fn settle(&mut self) -> Vec<Decided> {
        let mut out = Vec::new();
        self.masks.settle(&mut out);
        self.share(&out)
    }

    fn lose(&mut self) -> Vec<Decided> {
        let decided = self.settle();
        self.masks = Stream::default();
        self.payloads.lose();
        self.lost = true;
        decided
    }

    /// Gives decided bytes to the entries that wait for them, in order.
    fn share(&mut self, mut bytes: &[u8]) -> Vec<Decided> {
        let mut decided = Vec::new();
        while let Some((number, missing)) = self.waiting.front_mut() {
            let (own, rest) = bytes.split_at_checked(*missing).unwrap_or((bytes, &[]));
            *missing -= own.len();
            decided.push((*number, own.to_vec()));
            bytes = rest;
            if *missing > 0 {
                break;
            }
            self.waiting.pop_front();
        }
        decided
    }
}
