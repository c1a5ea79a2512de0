//! What a command that asks for a list is answered.

use super::{Server, state::State};
use crate::{
    error::CommandError,
    event::{CatalogKind, Reply},
    session::ListState,
};

impl Server {
    /// After how many readings of the list a command that comes now need not wait any more.
    pub(crate) fn readings_awaited(&self, kind: CatalogKind) -> u64 {
        self.catalog.readings_awaited(kind)
    }

    /// What a command that asked for a list is answered; `None` while it must wait.
    pub(crate) fn list_outcome(
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
            State::Asleep if self.knows(kind) => {
                Some(Ok(Reply::Catalog(self.catalog.entries(kind).to_vec())))
            }
            State::Waiting(wait) if wait.is_vain() => Some(Err(unavailable())),
            State::Asleep
            | State::Waiting(_)
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
