//! Commands that wait for a server to get somewhere.

use super::{Context, Server, state::State};
use crate::{
    error::CommandError,
    event::{CatalogKind, Event, Reply},
    ids::CommandId,
    planted::{Bug, planted},
    session::ListState,
};

/// Commands in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<Waiter>);

#[derive(Debug)]
struct Waiter {
    command: CommandId,
    goal: Goal,
    /// After how many readings of its list it need not wait, where it waits for one.
    readings: u64,
}

/// What a command waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// The server takes calls.
    Ready,
    /// Nothing runs any more.
    Stopped,
    /// The server is forgotten.
    Gone,
    /// The list is read.
    List(CatalogKind),
}

impl Server {
    /// Why no more commands may wait for `goal`. To be asked before anything is done, so that a
    /// command that is refused has had no effect.
    ///
    /// The first to wait for [`Goal::Gone`] is always taken: one can get rid of any server.
    pub(crate) fn refuse_to_wait(&self, goal: Goal) -> Option<CommandError> {
        let Waiters(all) = &self.waiters;
        let first_farewell = goal == Goal::Gone && all.iter().all(|waiter| waiter.goal != goal);
        (all.len() >= self.limits.waiting && !first_farewell).then(|| CommandError::Overloaded {
            server: self.name.clone(),
            limit: self.limits.waiting,
        })
    }

    /// Ends `command` when the server has reached `goal`, or cannot.
    pub(crate) fn wait(&mut self, cx: &mut Context<'_>, command: CommandId, goal: Goal) {
        let readings = match goal {
            Goal::List(kind) => self.catalog.readings_awaited(kind),
            Goal::Ready | Goal::Stopped | Goal::Gone => 0,
        };
        self.waiters.0.push(Waiter {
            command,
            goal,
            readings,
        });
        self.settle_waiters(cx);
    }

    /// Ends the commands whose goal is reached, or out of reach.
    pub(super) fn settle_waiters(&mut self, cx: &mut Context<'_>) {
        let waiting = std::mem::take(&mut self.waiters.0);
        for waiter in waiting {
            match self.outcome(&waiter) {
                Some(outcome) => end(cx, waiter.command, outcome),
                None => self.waiters.0.push(waiter),
            }
        }
    }

    /// Ends all commands: the server is being forgotten.
    pub(super) fn retire_waiters(&mut self, cx: &mut Context<'_>) {
        for waiter in std::mem::take(&mut self.waiters.0) {
            let outcome = match waiter.goal {
                Goal::Gone | Goal::Stopped => Ok(Reply::Done),
                Goal::Ready | Goal::List(_) => Err(CommandError::Superseded {
                    server: self.name.clone(),
                    by: "undeployed".to_owned(),
                }),
            };
            end(cx, waiter.command, outcome);
        }
    }

    /// What becomes of a command now; `None` while it must wait.
    fn outcome(&self, waiter: &Waiter) -> Option<Result<Reply, CommandError>> {
        match waiter.goal {
            Goal::Gone => None,
            Goal::Stopped => match &self.state {
                State::Stopped | State::Backoff(_) | State::Failed(_) => Some(Ok(Reply::Done)),
                State::Draining(..) | State::Closing(_) => None,
                _ if planted(Bug::EndlessWait) => None,
                State::Waiting(_)
                | State::Starting(_)
                | State::Probing(_)
                | State::Handshaking(_)
                | State::Warming(_)
                | State::Ready(_) => Some(Err(CommandError::Superseded {
                    server: self.name.clone(),
                    by: "restarted".to_owned(),
                })),
            },
            Goal::Ready => match &self.state {
                State::Ready(_) => Some(Ok(Reply::Done)),
                State::Backoff(failure) | State::Failed(failure) => {
                    Some(Err(CommandError::Failed {
                        server: self.name.clone(),
                        failure: failure.clone(),
                    }))
                }
                State::Stopped => Some(Err(CommandError::Superseded {
                    server: self.name.clone(),
                    by: "stopped".to_owned(),
                })),
                State::Waiting(wait) => wait.problem(&self.name).map(Err),
                State::Starting(_)
                | State::Probing(_)
                | State::Handshaking(_)
                | State::Warming(_)
                | State::Draining(..)
                | State::Closing(_) => None,
            },
            Goal::List(kind) => self.list_outcome(kind, waiter.readings),
        }
    }

    fn list_outcome(
        &self,
        kind: CatalogKind,
        readings: u64,
    ) -> Option<Result<Reply, CommandError>> {
        let unavailable = || CommandError::Catalog {
            server: self.name.clone(),
            message: self.why_unavailable(),
        };
        match &self.state {
            State::Ready(_)
                if !self.catalog.is_settled(kind) && self.catalog.readings(kind) < readings =>
            {
                None
            }
            State::Ready(_) => Some(match self.catalog.state(kind) {
                ListState::Degraded(problem) if self.catalog.entries(kind).is_empty() => {
                    Err(CommandError::Catalog {
                        server: self.name.clone(),
                        message: problem.clone(),
                    })
                }
                ListState::Unread
                | ListState::Absent
                | ListState::Read
                | ListState::Degraded(_) => Ok(Reply::Catalog(self.catalog.entries(kind).to_vec())),
            }),
            State::Waiting(wait) if wait.is_vain() => Some(Err(unavailable())),
            State::Waiting(_)
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Backoff(_) => None,
            State::Draining(_, after) if after.is_temporary() => None,
            State::Closing(closing) if closing.after.is_temporary() => None,
            State::Stopped | State::Failed(_) | State::Draining(..) | State::Closing(_) => {
                Some(Err(unavailable()))
            }
        }
    }
}

fn end(cx: &mut Context<'_>, id: CommandId, outcome: Result<Reply, CommandError>) {
    cx.out.event(Event::CommandEnded { id, outcome });
}
