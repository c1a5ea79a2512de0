//! Chance, one stream for each part of a life: seeded, or read from bytes.

use std::{cell::Cell, rc::Rc, time::Duration};

/// Where the chance of one life comes from.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Every part of a life throws its own dice, so that leaving a part out moves no other.
    Seed(u64),
    /// All parts read on in the same bytes, which decide the order of things too.
    Tape(Tape),
}

impl Fate {
    /// Bytes to be read. Their number is the seed of what cannot be read from them.
    pub(crate) fn tape(bytes: &[u8]) -> Self {
        Self::Tape(Tape {
            bytes: bytes.into(),
            place: Rc::default(),
        })
    }

    /// The dice of one part, `stream`, of the life.
    pub(crate) fn dice(&self, stream: u64) -> Dice {
        match self {
            Self::Seed(seed) => Dice::new(*seed, stream),
            Self::Tape(tape) => Dice {
                state: Dice::new(tape.bytes.len() as u64, stream).state,
                tape: Some(tape.clone()),
            },
        }
    }

    /// The dice of one part that must fall alike each time they are thrown in the life.
    pub(crate) fn fixed(&self, stream: u64) -> Dice {
        Dice::new(self.seed(), stream)
    }

    /// The seed of the machine.
    pub(crate) fn seed(&self) -> u64 {
        match self {
            Self::Seed(seed) => *seed,
            Self::Tape(tape) => tape.bytes.first().copied().map_or(0, u64::from),
        }
    }

    /// Reads no further: what is left of a life is not up to the bytes.
    pub(crate) fn use_up(&self) {
        if let Self::Tape(tape) = self {
            tape.place.set(tape.bytes.len());
        }
    }

    /// Whether all bytes were read: nobody decides any more what is to go wrong.
    pub(crate) fn is_used_up(&self) -> bool {
        match self {
            Self::Seed(_) => false,
            Self::Tape(tape) => tape.place.get() >= tape.bytes.len(),
        }
    }
}

/// Bytes that all parts of a life read on in.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    bytes: Rc<[u8]>,
    place: Rc<Cell<usize>>,
}

impl Tape {
    /// A number below `limit`, of as few bytes as can say so.
    fn below(&self, limit: u64) -> Option<u64> {
        let place = self.place.get();
        let width = match limit {
            0..=1 => return Some(0),
            2..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        // The end of the tape is its end, though a byte may be left.
        self.place.set(place + width);
        let bytes = self.bytes.get(place..place + width)?;
        let fold = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        Some(bytes.iter().fold(0, fold) % limit)
    }
}

/// SplitMix64, or a tape as long as there is any of it.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
    tape: Option<Tape>,
}

impl Dice {
    fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self {
            state: seed,
            tape: None,
        };
        mixed.state = mixed.step() ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed
    }

    const fn step(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Dice for a part of this part.
    pub(crate) fn split(&mut self, stream: u64) -> Self {
        let seed = self.step();
        Self {
            tape: self.tape.clone(),
            ..Self::new(seed, stream)
        }
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if let Some(read) = self.tape.as_ref().and_then(|tape| tape.below(limit)) {
            return read;
        }
        self.step() % limit.max(1)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    pub(crate) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// A span of up to `limit`, in microseconds, so that few moments fall together.
    pub(crate) fn micros(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }
}
