//! What the machine may tell, and when.

use std::time::Duration;

use mcp_fleet_core::{
    CallError, CallId, CommandError, CommandId, Event, InputId, Limit, RawJson, Reply, Sent,
    ServerName, ServerState,
};

use super::{
    Asked, Command, ONE_OUTCOME, ReferenceState,
    calls::{Call, Fate, Stage},
};
use crate::{
    server::Answer,
    violation::{Violation, promise},
};

const ONE_END: &str = "one end a command";
const SENT: &str = "`sent` is no only where no byte was written";
const OWN_ANSWER: &str = "each caller gets its own answer";

impl ReferenceState {
    pub(super) fn on_event(&mut self, event: &Event) -> Result<(), Violation> {
        match event {
            Event::CommandEnded { id, outcome } => self.on_command_ended(*id, outcome),
            Event::CallEnded { call, outcome } => self.on_call_ended(*call, outcome),
            Event::CallProgress { call, progress, .. } => {
                let expected = (!self.progress.is_empty()).then(|| self.progress.remove(0));
                promise!(
                    expected == Some((*call, *progress)),
                    "growth is told",
                    "{call:?} {progress}, not {expected:?}"
                );
                Ok(())
            }
            Event::ServerChanged {
                server,
                replica,
                state,
                failure,
                waiting,
                ..
            } => {
                let Some(pool) = self.servers.get_mut(server.as_str()) else {
                    promise!(false, "only deployed servers change", "{server}");
                    return Ok(());
                };
                if !pool.restarts.is_empty() {
                    pool.forgive();
                }
                let book = pool.member(self.now, *replica, *state);
                let newest = self.links.newest(book.slot);
                let before = book.state;
                book.waiting.clone_from(waiting);
                book.enter(*state)?;
                promise!(
                    failure.is_none()
                        || matches!(state, ServerState::Failed | ServerState::Backoff),
                    "a server fails for a reason that was seen",
                    "{state} with {failure:?}"
                );
                if let (Some(failure), ServerState::Backoff) = (failure, state) {
                    book.grant_restart(failure, self.now)?;
                }
                if let (Some(failure), Some(link)) = (failure, newest) {
                    book.judge_failure(failure, self.now, link)?;
                }
                if failure.is_some() {
                    pool.on_failed(*replica);
                }
                if before == ServerState::Asleep {
                    self.judge_waking(server.as_str(), *state)?;
                }
                self.follow_order(server.as_str(), *replica, before)
            }
            Event::RolledBack { server, error } => match self.servers.get_mut(server.as_str()) {
                Some(pool) => {
                    let blocked = matches!(error, CommandError::Blocked { .. });
                    pool.on_rolled_back(self.now, blocked)
                }
                None => Ok(()),
            },
            Event::BreakerChanged {
                server,
                replica,
                state,
            } => {
                let who = (server.as_str().to_owned(), *replica);
                self.breakers.push((who, *state));
                Ok(())
            }
            Event::Abandoned {
                server,
                replica,
                incarnation,
                ..
            } => {
                let link = self.links.life(server.as_str(), *replica, *incarnation);
                promise!(link.is_some(), "what is left behind was there", "{server}");
                link.map_or(Ok(()), super::links::LinkBook::on_abandoned)
            }
            Event::InputRequested {
                input,
                server,
                call,
                ..
            } => self.on_question(*input, server, *call),
            Event::InputWithdrawn { input } => {
                let open = self.inputs.remove(input);
                promise!(
                    open.is_some(),
                    "only open questions are withdrawn",
                    "{input:?}"
                );
                Ok(())
            }
            Event::CatalogChanged {
                server, entries, ..
            } => {
                let known = self.servers.get(server.as_str());
                let bounds = known.map(|pool| {
                    let bounds = pool.members.values().map(|member| member.limits.entries);
                    bounds.max().unwrap_or_default()
                });
                let bound = bounds.unwrap_or_default();
                promise!(*entries <= bound, "lists are bounded", "{entries} entries");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_command_ended(
        &mut self,
        id: CommandId,
        outcome: &Result<Reply, CommandError>,
    ) -> Result<(), Violation> {
        let command = self.commands.remove(&id);
        promise!(
            self.ended_commands.insert(id) && command.is_some(),
            ONE_END,
            "{id:?} {outcome:?}"
        );
        match (command, outcome) {
            (Some(Command::Restart(server)), _) => {
                if let Some(pool) = self.servers.get_mut(&server) {
                    pool.restarts.remove(&id);
                    pool.forgive();
                }
            }
            (Some(Command::Replace(server)), Ok(_)) => {
                if let Some(pool) = self.servers.get_mut(&server) {
                    pool.said_so = true;
                }
            }
            (Some(Command::Answer { known }), outcome) => {
                promise!(known == outcome.is_ok(), ONE_END, "{id:?} {outcome:?}");
            }
            (
                _,
                Err(CommandError::Blocked {
                    server,
                    dependency,
                    obstacle,
                }),
            ) => {
                self.judge_blocked(server.as_str(), dependency.as_str(), *obstacle)?;
            }
            (_, Err(CommandError::FleetFull { .. })) => {
                let full = self.servers.len() >= self.limits.servers;
                promise!(
                    full,
                    "admission",
                    "{} servers are no full fleet",
                    self.servers.len()
                );
            }
            (_, Err(CommandError::ShuttingDown)) => {
                promise!(self.shut_down, "admission", "nobody shut down");
            }
            (_, Err(CommandError::NotFound { server, .. })) => {
                let known = self.servers.get(server).is_some();
                promise!(!known, "admission", "{server} is deployed");
            }
            _ => {}
        }
        Ok(())
    }

    fn on_question(
        &mut self,
        input: InputId,
        server: &ServerName,
        call: Option<CallId>,
    ) -> Result<(), Violation> {
        promise!(
            input.0 > self.last_input,
            "a question comes once",
            "{input:?}"
        );
        self.last_input = input.0;
        let name = server.as_str().to_owned();
        let bound = self.servers.get(&name).map_or(0, |pool| {
            let bounds = pool.members.values().map(|member| member.limits.inputs);
            bounds.sum()
        });
        let open = self
            .inputs
            .values()
            .filter(|asked| asked.server == name)
            .count();
        promise!(
            open < bound,
            "questions are bounded",
            "{open} of {bound} are open"
        );
        if let Some(call) = call.and_then(|call| self.calls.open.get_mut(&call))
            && let Stage::Asking(inputs) = &mut call.stage
        {
            inputs.insert(input);
        }
        let at = self.now;
        self.inputs.insert(
            input,
            Asked {
                server: name,
                call,
                at,
            },
        );
        Ok(())
    }

    fn on_call_ended(
        &mut self,
        id: CallId,
        outcome: &Result<RawJson, CallError>,
    ) -> Result<(), Violation> {
        promise!(
            !self.calls.ended.contains(&id),
            ONE_OUTCOME,
            "{id:?} ended twice"
        );
        promise!(
            self.calls.open.contains_key(&id),
            ONE_OUTCOME,
            "{id:?} was never made"
        );
        if let Err(CallError::Overloaded {
            limit: Limit::Queue,
            ..
        }) = outcome
            && self.gave_way.is_none()
            && self.candidates.contains(&id)
        {
            self.gave_way = Some(id);
        }
        let Some(call) = self.calls.open.get(&id) else {
            return Ok(());
        };
        self.judge_outcome(id, call, outcome)?;
        let refused = matches!(
            outcome,
            Err(CallError::Unavailable { .. } | CallError::ServerGone { sent: Sent::No, .. })
        );
        if refused && call.is_fresh() && self.verdict.is_none_or(|(new, _)| new != id) {
            self.left_alone.push((id, call.server.clone()));
        }
        if let (
            Err(CallError::TimedOut { .. } | CallError::Cancelled { .. }),
            Stage::Sent(link, request),
        ) = (outcome, &call.stage)
        {
            let open = self
                .links
                .get(*link)
                .is_some_and(|book| !book.over && !book.input_closed);
            if open {
                self.notices.insert((*link, *request));
            }
        }
        let pool = self.servers.get_mut(&call.server);
        if let Some(server) = pool.and_then(|pool| pool.holder_mut(call.slot())) {
            let waited = matches!(call.stage, Stage::Sent(..));
            let sent = (call.period, call.incarnation, waited);
            let limits = &server.limits;
            server.breaker.on_ended(self.now, id, sent, outcome, limits);
        }
        self.calls.end(id);
        self.outcomes += 1;
        self.results += u64::from(outcome.is_ok());
        Ok(())
    }

    fn judge_outcome(
        &self,
        id: CallId,
        call: &Call,
        outcome: &Result<RawJson, CallError>,
    ) -> Result<(), Violation> {
        let fate = self.fates.get(&id);
        let as_told = |kept: bool| -> Result<(), Violation> {
            promise!(
                kept,
                OWN_ANSWER,
                "{id:?} ends with {outcome:?}: {fate:?} {call:?}"
            );
            Ok(())
        };
        let in_round = matches!(fate, Some(Fate::Answered(Answer::Round { .. })));
        let error = match outcome {
            Ok(result) => {
                let expected = Fate::Answered(Answer::Result(result.as_str().to_owned()));
                return as_told(fate == Some(&expected));
            }
            Err(error) => error,
        };
        match error {
            CallError::Rpc(error) => {
                as_told(fate == Some(&Fate::Answered(Answer::Error(error.code))))
            }
            CallError::Protocol { .. } => {
                let member = self.member_of(call);
                let bound = member.map_or(0, |member| member.limits.rounds);
                let too_many = in_round && call.rounds > bound;
                as_told(
                    too_many
                        || fate == Some(&Fate::Answered(Answer::Broken))
                        || fate == Some(&Fate::Answered(Answer::Vain)),
                )
            }
            CallError::InputRefused { .. } => as_told(in_round || fate == Some(&Fate::Refused)),
            CallError::Cancelled { sent } => {
                as_told(fate == Some(&Fate::Cancelled))?;
                judge_sent(id, *sent, call.may_have_run())
            }
            CallError::TimedOut { sent, .. } => {
                promise!(
                    call.due <= self.now,
                    "deadlines are kept",
                    "{id:?} timed out at {:?}, before {:?}",
                    self.now,
                    call.due
                );
                judge_sent(id, *sent, call.may_have_run())
            }
            CallError::ServerGone { sent, .. } => self.judge_gone(id, call, *sent),
            refusal => {
                let verdict = self.verdict.filter(|(new, _)| *new == id);
                let spared = self.servers.get(&call.server).is_some_and(|pool| {
                    let wait = match refusal {
                        CallError::BreakerOpen { retry_after, .. } => *retry_after,
                        _ => return false,
                    };
                    let members = pool.members.values();
                    let longest = members.map(|member| member.breaker_open_max).max();
                    let known = pool.only().filter(|only| !only.vague);
                    promised(wait, longest.unwrap_or_default())
                        && known.is_none_or(|only| !only.breaker.lets_through(id))
                });
                let never = !call.may_have_run();
                let lost = (matches!(refusal, CallError::Unavailable { .. }) || spared) && never;
                let gave_way = self.gave_way == Some(id);
                let kept = verdict.map_or(lost || gave_way, |(_, verdict)| verdict.allows(refusal));
                promise!(
                    kept,
                    "admission",
                    "{id:?} {refusal:?}: {verdict:?} {call:?}"
                );
                Ok(())
            }
        }
    }

    /// A call that its server left behind. What was written is known to the byte by now.
    fn judge_gone(&self, id: CallId, call: &Call, sent: Sent) -> Result<(), Violation> {
        self.judge_told_at_once(id, call, sent)?;
        let Some((link, start)) = call.frames.last() else {
            return judge_sent(id, sent, call.lost);
        };
        let book = self.links.get(*link);
        let member = self.member_of(call);
        let closing = member.map(|member| member.state) == Some(ServerState::Closing);
        let gone = book.is_some_and(|book| book.over || book.input_closed || closing);
        promise!(gone, OWN_ANSWER, "{id:?}: {link:?} is not gone");
        let written = book.is_some_and(|book| book.wrote > *start);
        judge_sent(id, sent, written || call.rounds > 0 || call.lost)
    }
}

/// Whether a caller is told to wait for a time that makes sense.
fn promised(wait: Duration, longest: Duration) -> bool {
    wait <= longest.max(Duration::from_millis(10))
}

fn judge_sent(id: CallId, sent: Sent, begun: bool) -> Result<(), Violation> {
    let expected = if begun { Sent::Unknown } else { Sent::No };
    promise!(
        sent == expected,
        SENT,
        "{id:?} says {sent:?}, not {expected:?}"
    );
    Ok(())
}
