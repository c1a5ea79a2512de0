//! The members that belong to one client each, and those that sleep.

use std::time::Duration;

use super::{Pool, Role, Seen, Task, bounds, is_lazy, is_per_client};
use crate::{
    ids::{ClientId, ServerId},
    planted::{Bug, planted},
    time::Time,
};

/// Which member has the calls of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// This one.
    Member(ServerId),
    /// One of its own, that is to be added; this one makes way for it, where there are too many.
    New(Option<ServerId>),
    /// None: clients get no servers of their own while the server is disabled.
    Disabled,
    /// None: too many clients have one, and all of them have calls.
    Full,
}

impl Pool {
    /// Whether each client has a member of its own.
    pub(crate) const fn has_owners(&self) -> bool {
        is_per_client(&self.config)
    }

    /// Which member has the calls of a client, where each has one of its own; `None` where calls are
    /// refused anyway.
    pub(crate) fn place_of(&self, client: Option<ClientId>, seen: &[Seen]) -> Option<Place> {
        if self.is_leaving() {
            return None;
        }
        let serving = || seen.iter().filter(|seen| seen.role == Role::Serving);
        let foreign = planted(Bug::ForeignMember);
        let own = serving().find(|seen| seen.client == client || foreign && seen.serves());
        if let Some(own) = own {
            return Some(Place::Member(own.id));
        }
        if !self.config.enabled {
            return Some(Place::Disabled);
        }
        let bound = self.config.limits.clients + usize::from(planted(Bug::ClientsOffByOne));
        let owned = || serving().filter(|seen| seen.client.is_some());
        if owned().count() < bound {
            return Some(Place::New(None));
        }
        // Those that end take a while: there are not to be any number of them.
        let gone = |seen: &&Seen| seen.role == Role::Leaving && seen.client.is_some();
        if seen.iter().filter(gone).count() >= bound {
            return Some(Place::Full);
        }
        let unneeded = owned().filter(|seen| seen.load.unneeded);
        let longest = unneeded.min_by_key(|seen| (seen.load.last_busy, seen.replica));
        Some(longest.map_or(Place::Full, |seen| Place::New(Some(seen.id))))
    }

    /// The members of a client that is gone.
    pub(crate) fn of_client(&self, client: ClientId) -> Vec<ServerId> {
        let members = self.members.iter();
        let theirs =
            members.filter(|member| member.client == Some(client) && member.role == Role::Serving);
        theirs.map(|member| member.id).collect()
    }

    /// The members that belong to one client, where the configuration knows none of these.
    pub(crate) fn owned(&self) -> Vec<ServerId> {
        let members = self.members.iter();
        let owned =
            members.filter(|member| member.client.is_some() && member.role == Role::Serving);
        owned.map(|member| member.id).collect()
    }

    /// For how long a member is to have nothing to do before that is told.
    pub(crate) fn watched_idle(&self) -> Option<Duration> {
        let (least, most) = bounds(&self.config);
        let spare = (most > least).then_some(self.config.limits.scale_down);
        let stop = self.idle_stop();
        match (spare, stop) {
            (Some(spare), Some(stop)) => Some(spare.min(stop)),
            (one, other) => one.or(other),
        }
    }

    /// The members that are to sleep now that this one had nothing to do for a while: where all
    /// clients share them, all or none.
    pub(crate) fn may_sleep(&self, now: Time, id: ServerId, seen: &[Seen]) -> Vec<ServerId> {
        let Some(stop) = self.idle_stop() else {
            return Vec::new();
        };
        if self.task != Task::None || !self.waiters.is_empty() {
            return Vec::new();
        }
        let idle = |seen: &&Seen| seen.load.idle_since.is_some_and(|at| now.since(at) >= stop);
        let serving = || seen.iter().filter(|seen| seen.role == Role::Serving);
        if is_per_client(&self.config) {
            return serving()
                .filter(|seen| seen.id == id)
                .filter(idle)
                .map(|seen| seen.id)
                .collect();
        }
        if serving().all(|seen| idle(&seen) || seen.rests()) {
            serving().filter(idle).map(|seen| seen.id).collect()
        } else {
            Vec::new()
        }
    }

    /// The members that sleep while another of their like does not, and the members that sleep
    /// because their client left them alone.
    pub(super) fn sleepers(&self, seen: &[Seen]) -> (Vec<ServerId>, Vec<ServerId>) {
        let asleep = || {
            seen.iter()
                .filter(|seen| seen.role == Role::Serving && seen.is_asleep())
        };
        if asleep().next().is_none() {
            return (Vec::new(), Vec::new());
        }
        if is_per_client(&self.config) {
            let owned = asleep().filter(|seen| seen.client.is_some());
            return (Vec::new(), owned.map(|seen| seen.id).collect());
        }
        let awake = |seen: &Seen| seen.role == Role::Serving && seen.is_up();
        if seen.iter().any(awake) || planted(Bug::NeedlessStart) {
            (asleep().map(|seen| seen.id).collect(), Vec::new())
        } else {
            (Vec::new(), Vec::new())
        }
    }

    fn idle_stop(&self) -> Option<Duration> {
        let stop = self.config.limits.idle_stop;
        (is_lazy(&self.config) && !stop.is_zero()).then_some(stop)
    }
}
