//! Seeded randomness, one stream for each part of a life.

use std::time::Duration;

/// SplitMix64. Every part of a life throws its own, so that leaving a part out moves no other.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of one part, `stream`, of the life of `seed`.
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        let salt = mixed.next();
        Self(salt ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        let limit = if limit == 0 { 1 } else { limit };
        self.next() % limit
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    pub(crate) const fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// A span of up to `limit`, in microseconds, so that few moments fall together.
    pub(crate) const fn micros(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }
}
