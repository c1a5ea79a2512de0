//! Calls, as a caller saw them.

use std::time::Duration;

use mcp_fleet_core::RawJson;
use mcp_fleet_driver::ExecuteError;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Latencies of calls that were answered rightly, and what went wrong with the others.
#[derive(Default, Debug)]
pub(super) struct Tally {
    latencies: Vec<Duration>,
    pub(super) failed: usize,
    /// The first failure.
    pub(super) failure: Option<String>,
}

impl Tally {
    /// One call. The answer is right if it is what this caller asked for.
    pub(super) fn of(
        latency: Duration,
        outcome: Result<RawJson, ExecuteError>,
        expected: &str,
    ) -> Self {
        let failure = match outcome.map(|result| structured(&result)) {
            Ok(Some(answer)) if answer == expected => {
                return Self {
                    latencies: vec![latency],
                    failed: 0,
                    failure: None,
                };
            }
            Ok(answer) => format!("expected {expected}, got {}", answer.unwrap_or_default()),
            Err(error) => error.to_string(),
        };
        Self {
            latencies: Vec::new(),
            failed: 1,
            failure: Some(failure),
        }
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.latencies.append(&mut other.latencies);
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
    }

    pub(super) const fn calls(&self) -> usize {
        self.latencies.len() + self.failed
    }

    /// The latency that so many of a hundred calls did not exceed.
    pub(super) fn percentile(&self, hundredths: usize) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * hundredths).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

fn structured(result: &RawJson) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        structured_content: Box<RawValue>,
    }
    result
        .read()
        .ok()
        .map(|answer: Answer| answer.structured_content.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(millis: u64) -> Tally {
        let result = RawJson::parse(r#"{"structuredContent":{"n":1}}"#).unwrap();
        Tally::of(Duration::from_millis(millis), Ok(result), r#"{"n":1}"#)
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut tally = Tally::default();
        assert_eq!(tally.percentile(99), None);
        (1..=200)
            .rev()
            .for_each(|millis| tally.add(answered(millis)));
        assert_eq!(tally.percentile(50), Some(Duration::from_millis(100)));
        assert_eq!(tally.percentile(99), Some(Duration::from_millis(198)));
        assert_eq!((tally.calls(), tally.failed), (200, 0));
    }

    #[test]
    fn the_answer_to_another_question_is_a_failure() {
        let result = RawJson::parse(r#"{"structuredContent":{"n":2}}"#).unwrap();
        let mut tally = Tally::of(Duration::ZERO, Ok(result), r#"{"n":1}"#);
        tally.add(Tally::of(
            Duration::ZERO,
            Err(ExecuteError::RuntimeGone),
            "",
        ));
        assert_eq!(
            (tally.calls(), tally.failed, tally.percentile(50)),
            (2, 2, None)
        );
        assert_eq!(
            tally.failure.as_deref(),
            Some("expected {\"n\":1}, got {\"n\":2}")
        );
    }
}
