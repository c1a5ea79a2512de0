//! Latencies in fixed buckets.

use std::time::Duration;

use super::Latency;

/// Buckets per power of two: a reading is at most 1/16 above the sample.
const STEPS: u64 = 16;
const STEPS_LOG2: u32 = 4;
/// Samples of 2^36 microseconds (19 hours) and more share the last bucket.
const POWERS: usize = 36;
const BUCKETS: usize = POWERS * 16;

/// A histogram of microseconds whose size never changes, whatever it is fed.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into(),
            count: 0,
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, sample: Duration) {
        let micros = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(micros)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(sample);
    }

    /// Takes in the samples of another.
    pub(crate) fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn summary(&self) -> Latency {
        Latency {
            count: self.count,
            p50: self.quantile(50),
            p95: self.quantile(95),
            p99: self.quantile(99),
            max: self.max,
        }
    }

    /// The least bucket limit that `percent` of the samples do not exceed, never above the slowest.
    pub(crate) fn quantile(&self, percent: u64) -> Duration {
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0_u128;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank && seen > 0 {
                return Duration::from_micros(limit_of(index)).min(self.max);
            }
        }
        Duration::ZERO
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < STEPS {
        return usize::try_from(micros).unwrap_or(usize::MAX);
    }
    let power = micros.ilog2() - STEPS_LOG2;
    let step = (micros >> power) - STEPS;
    let index = u64::from(power + 1) * STEPS + step;
    usize::try_from(index)
        .unwrap_or(usize::MAX)
        .min(BUCKETS - 1)
}

/// The largest sample, in microseconds, that falls into bucket `index`.
fn limit_of(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    if index < STEPS {
        return index;
    }
    let power = index / STEPS - 1;
    let step = index % STEPS;
    ((STEPS + step + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_tight() {
        for index in 1..BUCKETS - 1 {
            assert_eq!(bucket_of(limit_of(index)), index);
            assert_eq!(bucket_of(limit_of(index) + 1), index + 1);
        }
        for micros in [100_u64, 5_000, 1_000_000, 60_000_000] {
            let limit = limit_of(bucket_of(micros));
            assert!(
                limit >= micros && limit <= micros + micros / 16,
                "{micros} {limit}"
            );
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_one_to_a_thousand() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.summary(), Latency::default());
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let summary = histogram.summary();
        let near = |actual: Duration, millis: u64| {
            let want = Duration::from_millis(millis);
            assert!(
                actual >= want && actual <= want + want / 16,
                "{actual:?} {want:?}"
            );
        };
        assert_eq!(summary.count, 1000);
        near(summary.p50, 500);
        near(summary.p95, 950);
        near(summary.p99, 990);
        assert_eq!(summary.max, Duration::from_secs(1));
    }
}
