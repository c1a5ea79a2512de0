//! Which member gets a call.

use super::{Pool, Role};
use crate::{
    event::ServerState,
    ids::{ClientId, ServerId},
    server::Load,
};

/// What the fleet sees of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) id: ServerId,
    pub(crate) replica: u32,
    pub(crate) role: Role,
    pub(crate) client: Option<ClientId>,
    pub(crate) load: Load,
}

impl Seen {
    /// Whether it takes calls, and is to be given them.
    pub(crate) const fn serves(&self) -> bool {
        matches!(self.role, Role::Serving) && self.load.is_ready() && !self.load.spared
    }

    pub(crate) const fn is_asleep(&self) -> bool {
        matches!(self.load.state, ServerState::Asleep)
    }

    /// Whether it takes calls, or is about to for the first time since it woke.
    pub(super) const fn is_up(&self) -> bool {
        matches!(
            self.load.state,
            ServerState::Waiting
                | ServerState::Starting
                | ServerState::Probing
                | ServerState::Handshaking
                | ServerState::Warming
                | ServerState::Ready
                | ServerState::Unready
        )
    }

    /// Whether nothing of it runs, nor is about to.
    pub(super) const fn rests(&self) -> bool {
        matches!(
            self.load.state,
            ServerState::Asleep | ServerState::Stopped | ServerState::Failed
        )
    }

    /// The order in which members are asked: those that serve, of them those that send at once, of
    /// them the least busy first; then those for which calls can wait, the one that is nearest to
    /// readiness first.
    fn place(&self) -> (u8, u8, u8, usize, u32) {
        let class = match self.role {
            Role::Serving if self.serves() => 0,
            Role::Serving if self.load.open && !self.load.spared => 1,
            Role::Coming if self.load.open && !self.load.spared => 2,
            // It says for how long it is spared.
            Role::Serving if self.load.open => 3,
            Role::Serving => 4,
            Role::Coming => 5,
            Role::Leaving => 6,
        };
        // Calls that wait do so in one place, so that they stay in their order.
        let calls = if class == 0 { self.load.calls() } else { 0 };
        let room = match (self.load.spare, self.load.places) {
            (0, 0) => 2,
            (0, _) => 1,
            _ => 0,
        };
        (class, room, distance(self.load.state), calls, self.replica)
    }
}

impl Pool {
    /// The member that is to have the next call. It may have to refuse it.
    pub(crate) fn route(seen: &[Seen]) -> Option<ServerId> {
        seen.iter()
            .min_by_key(|seen| seen.place())
            .map(|seen| seen.id)
    }

    /// How many calls each member is to give up, so that no call waits for one member while another
    /// would send it at once, nor for one that is not ready while another has a place.
    pub(crate) fn balance(seen: &[Seen]) -> Vec<(ServerId, usize)> {
        let serving = seen.iter().filter(|seen| seen.serves());
        let (mut places, mut spare) = (0_usize, 0_usize);
        for seen in serving {
            places = places.saturating_add(seen.load.places);
            spare = spare.saturating_add(seen.load.spare);
        }
        let mut moves = Vec::new();
        for seen in seen.iter().filter(|seen| seen.load.fresh > 0) {
            let left = if seen.load.is_ready() {
                &mut spare
            } else {
                &mut places
            };
            let most = seen.load.fresh.min(*left);
            *left -= most;
            if most > 0 {
                moves.push((seen.id, most));
            }
        }
        moves
    }
}

/// How far it is to readiness.
const fn distance(state: ServerState) -> u8 {
    match state {
        ServerState::Ready => 0,
        ServerState::Unready => 1,
        ServerState::Warming => 2,
        ServerState::Handshaking => 3,
        ServerState::Probing => 4,
        ServerState::Starting => 5,
        ServerState::Waiting => 6,
        ServerState::Closing => 7,
        ServerState::Draining => 8,
        ServerState::Backoff => 9,
        ServerState::Asleep => 10,
        ServerState::Stopped => 11,
        ServerState::Failed => 12,
    }
}
