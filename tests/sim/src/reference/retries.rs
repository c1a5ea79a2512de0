//! Which calls are made again after their server was lost.

use mcp_fleet_core::{CallId, LinkId, Sent, ServerState, ServerStats, config::Retry};

use super::{
    BOOKS, ReferenceState,
    calls::{Call, Stage},
};
use crate::violation::{Violation, promise};

const AGAIN: &str = "a call is made again only where that is allowed";

/// The retries of one server.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Hundredths of a retry, over all calls so far.
    earned: u64,
    retries: u64,
    requeued: u64,
}

impl Retries {
    pub(super) fn earn(&mut self, percent: u32) {
        self.earned += u64::from(percent);
    }
}

impl ReferenceState {
    /// Calls whose link is over and that have no outcome wait to be made again.
    pub(super) fn lost_calls_wait(&mut self) -> Result<(), Violation> {
        let over = |link| self.links.get(link).is_some_and(|book| book.over);
        let lost: Vec<(CallId, LinkId)> = self
            .calls
            .open
            .iter()
            .filter_map(|(id, call)| match call.stage {
                Stage::Sent(link, _) if over(link) => Some((*id, link)),
                _ => None,
            })
            .collect();
        for (id, link) in lost {
            self.make_again(id, link)?;
        }
        Ok(())
    }

    fn make_again(&mut self, id: CallId, link: LinkId) -> Result<(), Violation> {
        let call = &self.calls.open[&id];
        let (name, priority, client) = (call.server.clone(), call.priority, call.client);
        let book = self.links.get(link);
        let start = call.frames.last().map_or(0, |(_, start)| *start);
        let written = book.is_some_and(|book| book.wrote > start);
        let vouches = book.is_some_and(|book| book.vouches);
        let member = self.member_of(call);
        let retry = member.map_or(Retry::Never, |member| member.retry);
        let comes = member.is_some_and(|member| comes_again(member.state));
        promise!(
            comes
                && retry != Retry::Never
                && call.rounds == 0
                && (call.vague || call.due > self.now),
            AGAIN,
            "{call:?} with {retry:?}"
        );
        promise!(
            !written || retry == Retry::Idempotent && call.repeatable && vouches && !call.lost,
            AGAIN,
            "{call:?} was written, with {retry:?}"
        );
        self.joins_line(&name, priority, client);
        if let Some(call) = self.calls.open.get_mut(&id) {
            call.lost |= written;
            call.frames.clear();
        }
        if let Some(server) = self.servers.get_mut(&name) {
            let retries = &mut server.retries;
            if written {
                retries.retries += 1;
            } else {
                retries.requeued += 1;
            }
            promise!(
                retries.retries * 100 <= retries.earned,
                "retries are a share of the calls",
                "{id:?}: {retries:?}"
            );
        }
        self.calls.move_to(id, Stage::Parked);
        Ok(())
    }

    /// A call that ends as `ServerGone` though nothing was written of it.
    pub(super) fn judge_told_at_once(
        &self,
        id: CallId,
        call: &Call,
        sent: Sent,
    ) -> Result<(), Violation> {
        let member = self.member_of(call);
        let waits =
            member.is_some_and(|member| member.retry != Retry::Never && comes_again(member.state));
        let spared = member.is_some_and(|member| member.vague || !member.breaker.lets_through(id));
        promise!(
            sent == Sent::Unknown || !waits || spared || call.due <= self.now,
            "a call that was never sent waits for a server that comes again",
            "{id:?} {call:?}"
        );
        Ok(())
    }

    pub(super) fn compare_retries(&self, name: &str, stats: &ServerStats) -> Result<(), Violation> {
        let Some(server) = self.servers.get(name) else {
            return Ok(());
        };
        let (told, counted) = ((stats.retries, stats.requeued), &server.retries);
        promise!(
            told == (counted.retries, counted.requeued),
            BOOKS,
            "{name} has {told:?} retried and requeued, not {counted:?}"
        );
        Ok(())
    }
}

/// Whether the server is on its way to its next incarnation.
const fn comes_again(state: ServerState) -> bool {
    matches!(
        state,
        ServerState::Backoff | ServerState::Starting | ServerState::Waiting
    )
}
