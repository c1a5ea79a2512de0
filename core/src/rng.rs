//! Randomness that replays: a seeded generator.

use std::time::Duration;

/// SplitMix64: 64 bits of state, passes through every value once. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A span up to `span`, any of them as likely.
    pub(crate) fn up_to(&mut self, span: Duration) -> Duration {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next() % nanos.saturating_add(1).max(1))
    }

    /// A span between half of `span` and `span` and a half, so that callers who were turned away
    /// together do not come back together.
    pub(crate) fn spread(&mut self, span: Duration) -> Duration {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let offset = if nanos == 0 { 0 } else { self.next() % nanos };
        Duration::from_nanos((nanos / 2).saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| a.next() == b.next()));
        assert_ne!(Rng::new(1).next(), Rng::new(2).next());
    }

    #[test]
    fn spread_stays_around_its_span() {
        let mut rng = Rng::new(1);
        for _ in 0..1000 {
            let span = rng.spread(Duration::from_millis(100));
            assert!(span >= Duration::from_millis(50) && span < Duration::from_millis(150));
        }
        assert_eq!(rng.spread(Duration::ZERO), Duration::ZERO);
    }
}
