//! Calls that were lost with their server and are made again.

use std::collections::BTreeSet;

use super::{Context, Server, calls::Stage, execute::Loss, state::After};
use crate::{
    config::Retry,
    error::Sent,
    ids::CallId,
    input::Request,
    planted::{Bug, planted},
    time::Time,
};

/// Retries that a server may have saved up.
const RETRIES_SAVED_MAX: u32 = 10;
/// The price of a retry: each call that is sent earns as many parts of it as `retryPercent` says.
const PRICE: u32 = 100;

/// How many more calls may be made again: of a hundred calls sent, `retryPercent`, at every moment.
#[derive(Debug)]
pub(super) struct RetryBudget {
    saved: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            saved: if planted(Bug::RetryOffByOne) {
                PRICE
            } else {
                0
            },
        }
    }
}

impl RetryBudget {
    /// A call is sent for the first time.
    pub(super) fn earn(&mut self, percent: u32) {
        self.saved = (self.saved + percent.min(PRICE)).min(RETRIES_SAVED_MAX * PRICE);
    }

    /// Pays for one retry, where there is enough.
    fn spend(&mut self) -> bool {
        let left = self.saved.checked_sub(PRICE);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

impl Server {
    /// Whether the server is certain to start again after an incarnation that was `lost`.
    pub(super) fn comes_again(&self, now: Time, after: &After, loss: &Loss, ready: bool) -> bool {
        match after {
            After::Stop | After::Retire => false,
            After::Sleep | After::Restart | After::Respawn => true,
            After::Fail(cause) => {
                let failure = self.failure(cause.clone(), Some(loss), ready);
                self.budget
                    .grants(now, &failure, self.restart, &self.limits)
            }
        }
    }

    /// The tools among those of `calls` that may be called twice, as the server itself says.
    pub(super) fn repeatable_tools(&self, calls: &[CallId]) -> BTreeSet<String> {
        match self.retry {
            Retry::Never | Retry::Unsent => return BTreeSet::new(),
            Retry::Idempotent => {}
        }
        let tool = |id: &CallId| match &self.calls.get(*id)?.request {
            Request::Tool { name, .. } => Some(name.as_str()),
            Request::Method { .. } => None,
        };
        self.catalog
            .repeatable_tools(&calls.iter().filter_map(tool).collect())
    }

    /// Parks a call that was lost with its server so that it is made again, where its policy, its
    /// budget and its deadline allow; says whether it did.
    ///
    /// A call of which nothing was written costs nothing: it is no extra load, and the deadline
    /// that it keeps bounds how often it may come to that. One that may have run is made again once
    /// at most.
    pub(super) fn make_again(
        &mut self,
        cx: &Context<'_>,
        id: CallId,
        loss: &Loss,
        sent: Sent,
        repeatable: &BTreeSet<String>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(id) else {
            return false;
        };
        if self.retry == Retry::Never || call.rounds > 0 || call.due <= cx.now {
            return false;
        }
        match sent {
            Sent::No => self.meter.counts.requeued += 1,
            Sent::Unknown => {
                let may_repeat = match &call.request {
                    Request::Tool { name, .. } => repeatable.contains(name),
                    Request::Method { .. } => false,
                };
                let may_repeat = may_repeat || planted(Bug::RetryOfSent);
                if !may_repeat || call.lost.is_some() || !self.retries.spend() {
                    return false;
                }
                call.lost = Some(Box::new(loss.clone()));
                self.meter.counts.retries += 1;
            }
        }
        self.calls.move_to(id, Stage::Parked);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_never_exceed_their_share_of_the_calls() {
        for percent in [0, 1, 7, 20, 100] {
            let mut budget = RetryBudget::default();
            let mut retries = 0;
            for calls in 1..=1000_u32 {
                budget.earn(percent);
                while budget.spend() {
                    retries += 1;
                }
                assert_eq!(retries, calls * percent / 100, "{percent} of {calls}");
            }
        }
    }

    #[test]
    fn no_more_than_a_few_retries_are_saved_up() {
        let mut budget = RetryBudget::default();
        for _ in 0..10_000 {
            budget.earn(20);
        }
        let spent = std::iter::from_fn(|| budget.spend().then_some(())).count();
        assert_eq!(spent, usize::try_from(RETRIES_SAVED_MAX).unwrap());
    }
}
