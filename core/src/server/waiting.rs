//! What keeps a server from starting: those that it comes after, and its turn.

use super::{
    Context, Server,
    state::{Opening, State},
    timers::Timer,
};
use crate::{
    error::{CommandError, Obstacle},
    event::WaitingFor,
    fleet::{Awaited, Standing},
    ids::ServerName,
    link::Note,
};

/// A start that has to wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wait {
    pub(super) opening: Opening,
    /// The server that is not ready; absent where this one only waits for its turn.
    awaited: Option<Awaited>,
    /// `awaited` was not deployed for so long that those who wait have been told.
    given_up: bool,
}

impl Wait {
    pub(super) const fn for_turn(opening: Opening) -> Self {
        Self {
            opening,
            awaited: None,
            given_up: false,
        }
    }

    pub(super) const fn is_for_turn(&self) -> bool {
        self.awaited.is_none()
    }

    pub(super) fn waiting_for(&self) -> WaitingFor {
        match self.awaited.clone() {
            None => WaitingFor::Turn,
            Some(Awaited { server, obstacle }) => WaitingFor::Server { server, obstacle },
        }
    }

    /// Whether it ends only when something is done about the server that it waits for.
    pub(super) fn is_vain(&self) -> bool {
        match self.awaited.as_ref().map(|awaited| awaited.obstacle) {
            None | Some(Obstacle::NotReady) => false,
            // Servers of one configuration are deployed in any order.
            Some(Obstacle::NotDeployed) => self.given_up,
            Some(
                Obstacle::Recovering | Obstacle::Stopped | Obstacle::Failed | Obstacle::Blocked,
            ) => true,
        }
    }

    /// What to tell a command that waits for `server` to be ready, where that is in vain.
    pub(super) fn problem(&self, server: &ServerName) -> Option<CommandError> {
        let awaited = self.awaited.clone().filter(|_| self.is_vain())?;
        Some(CommandError::Blocked {
            server: server.clone(),
            dependency: awaited.server,
            obstacle: awaited.obstacle,
        })
    }
}

impl Server {
    /// Looks again whether those are ready that it comes after.
    pub(crate) fn look_again(&mut self, cx: &mut Context<'_>) {
        if let State::Waiting(wait) = &self.state
            && wait.awaited.is_some()
        {
            let opening = wait.opening;
            self.open(cx, opening);
            self.settle(cx);
        }
    }

    /// The server that it waits for.
    pub(crate) fn awaits(&self) -> Option<&ServerName> {
        match &self.state {
            State::Waiting(wait) => wait.awaited.as_ref().map(|awaited| &awaited.server),
            State::Stopped
            | State::Asleep
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_)
            | State::Draining(..)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_) => None,
        }
    }

    /// How it stands to the servers that come after it.
    pub(crate) fn standing(&self) -> Standing {
        Standing::Not(match &self.state {
            State::Ready(_) => return Standing::Ready,
            State::Waiting(wait) if wait.is_vain() => Obstacle::Blocked,
            // Whoever waits for it wakes it.
            State::Asleep
            | State::Waiting(_)
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Draining(..)
            | State::Closing(_) => Obstacle::NotReady,
            State::Backoff(_) => Obstacle::Recovering,
            State::Stopped => Obstacle::Stopped,
            State::Failed(_) => Obstacle::Failed,
        })
    }

    /// Waits where a server that it comes after is not ready; it is in that state then.
    pub(super) fn must_wait(&mut self, cx: &mut Context<'_>, opening: Opening) -> bool {
        let Some(awaited) = cx.order.awaited(&self.name) else {
            self.stop_waiting(cx);
            return false;
        };
        cx.order.hold(&self.name, self.id);
        let told = match &self.state {
            State::Waiting(wait) => wait.awaited.as_ref() == Some(&awaited),
            State::Stopped
            | State::Asleep
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Ready(_)
            | State::Draining(..)
            | State::Closing(_)
            | State::Backoff(_)
            | State::Failed(_) => false,
        };
        if told {
            return true;
        }
        self.timers.disarm(Timer::Dependency);
        if awaited.obstacle == Obstacle::NotDeployed {
            let due = cx.now.after(self.limits.start_timeout);
            self.timers.arm(Timer::Dependency, due);
        }
        let wait = Wait {
            opening,
            awaited: Some(awaited),
            given_up: false,
        };
        self.enter(cx, State::Waiting(wait));
        true
    }

    /// It waits for no other server any more, whatever becomes of it.
    pub(super) fn stop_waiting(&mut self, cx: &mut Context<'_>) {
        self.timers.disarm(Timer::Dependency);
        cx.order.let_go(&self.name, self.id);
    }

    /// The server that it waits for was not deployed in all that time.
    pub(super) fn give_up_dependency(&mut self, cx: &mut Context<'_>) {
        if let State::Waiting(wait) = &mut self.state {
            wait.given_up = true;
            cx.out.note(Note::Moved);
        }
    }
}
