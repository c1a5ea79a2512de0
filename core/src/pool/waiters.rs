//! Commands that wait for a pool to get somewhere.

use std::collections::BTreeSet;

use crate::{
    error::CommandError,
    event::{CatalogKind, Reply},
    ids::{CommandId, ServerId},
};

/// Commands in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<Waiter>);

#[derive(Debug)]
struct Waiter {
    asker: Asker,
    goal: Goal,
}

/// Who waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asker {
    /// A command of its own.
    Command(CommandId),
    /// A reload, for which this is one change among others.
    Reload(CommandId),
}

/// What a command waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// The pool takes calls.
    Up {
        /// Whether the command brought the configuration that is to be in force then.
        configured: bool,
    },
    /// Nothing of it runs any more.
    Down,
    /// These members are gone.
    Gone(BTreeSet<ServerId>),
    /// The list is read, by this member, so many times.
    List {
        kind: CatalogKind,
        member: ServerId,
        readings: u64,
    },
}

/// The end of a command.
pub(crate) type Ended = (Asker, Result<Reply, CommandError>);

impl Waiters {
    pub(crate) fn push(&mut self, asker: Asker, goal: Goal) {
        self.0.push(Waiter { asker, goal });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn any_list(&self) -> bool {
        let mut goals = self.0.iter().map(|waiter| &waiter.goal);
        goals.any(|goal| matches!(goal, Goal::List { .. }))
    }

    pub(crate) fn any_farewell(&self) -> bool {
        let mut goals = self.0.iter().map(|waiter| &waiter.goal);
        goals.any(|goal| matches!(goal, Goal::Gone(_)))
    }

    /// Ends those whose goal `which` names.
    pub(crate) fn end(
        &mut self,
        which: impl Fn(&Goal) -> bool,
        outcome: &Result<Reply, CommandError>,
    ) -> Vec<Ended> {
        self.settle(|goal| which(goal).then(|| outcome.clone()))
    }

    /// A member is gone: ends the farewells that waited for it as the last.
    pub(crate) fn on_gone(&mut self, id: ServerId) -> Vec<Ended> {
        self.settle(|goal| match goal {
            Goal::Gone(members) => {
                members.remove(&id);
                members.is_empty().then_some(Ok(Reply::Done))
            }
            Goal::Up { .. } | Goal::Down | Goal::List { .. } => None,
        })
    }

    /// Ends those for which `outcome` has one; it may also change what they wait for.
    pub(crate) fn settle(
        &mut self,
        mut outcome: impl FnMut(&mut Goal) -> Option<Result<Reply, CommandError>>,
    ) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.0.retain_mut(|waiter| match outcome(&mut waiter.goal) {
            Some(outcome) => {
                ended.push((waiter.asker, outcome));
                false
            }
            None => true,
        });
        ended
    }
}

impl Goal {
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    pub(crate) const fn is_down(&self) -> bool {
        matches!(self, Self::Down)
    }

    /// Whether another configuration makes it pointless.
    pub(crate) const fn is_configured(&self) -> bool {
        matches!(self, Self::Up { configured: true })
    }
}
