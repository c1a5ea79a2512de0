//! What stands behind each name: which members there are, what each is there for, and when one
//! configuration takes over from another.

use std::collections::{BTreeMap, BTreeSet};

use mcp_fleet_core::{
    CommandId, ServerId, ServerState, Time,
    config::{Replace, Scope, ServerConfig, Start},
};

use super::{aftermath, lines::Lines, retries::Retries, servers::ServerBook};
use crate::violation::{Violation, promise};

const TAKE_OVER: &str = "a configuration takes over when all of its replicas are ready";
const IDLE: &str = "a server is stopped for want of work only where it has none";
const BOUNDS: &str = "there are as many replicas as are asked for";

/// What a member is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Serving,
    Coming,
    Leaving,
}

/// One deployed name.
#[derive(Debug)]
pub(super) struct PoolBook {
    pub(super) config: ServerConfig,
    pub(super) members: BTreeMap<u32, ServerBook>,
    pub(super) retries: Retries,
    pub(super) lines: Lines,
    /// The configuration whose newcomers start beside the others.
    pub(super) coming: Option<ServerConfig>,
    /// The configuration that comes back when its successor fails by this time.
    probation: Option<(ServerConfig, Time)>,
    /// That time was over at some moment.
    was_over: bool,
    /// Restarts under way. In which turn each member starts anew cannot be seen.
    pub(super) restarts: BTreeSet<CommandId>,
    /// It is being undeployed.
    pub(super) leaving: bool,
    /// A newcomer failed in this turn.
    rolled_back: bool,
    /// Whether newcomers took over in this turn.
    pub(super) switched: bool,
    /// A command that was to end with the take-over ended well in this turn.
    pub(super) said_so: bool,
    /// Calls that were open when the turn began.
    pub(super) calls: usize,
}

impl PoolBook {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            config: config.clone(),
            members: BTreeMap::new(),
            retries: Retries::default(),
            lines: Lines::default(),
            coming: None,
            probation: None,
            was_over: false,
            restarts: BTreeSet::new(),
            leaving: false,
            rolled_back: false,
            switched: false,
            said_so: false,
            calls: 0,
        }
    }

    pub(super) fn begin_turn(&mut self) {
        self.rolled_back = false;
        self.switched = false;
        self.said_so = false;
    }

    pub(super) fn of_role(&self, role: Role) -> impl Iterator<Item = &ServerBook> {
        self.members
            .values()
            .filter(move |member| member.role == role)
    }

    /// Whether calls may be refused though a member takes calls, because it is spared them, or
    /// because it is not known whether it is.
    pub(super) fn may_spare(&self) -> bool {
        self.members.values().any(|member| {
            let limits = &member.limits;
            member.vague && (limits.breaker_failures > 0 || limits.breaker_percent > 0)
        })
    }

    /// The only member there is.
    pub(super) fn only(&self) -> Option<&ServerBook> {
        match self.members.len() {
            1 => self.members.values().next(),
            _ => None,
        }
    }

    /// A configuration was accepted for it. Whether newcomers start beside the others by that.
    pub(super) fn reconfigure(&mut self, config: &ServerConfig) -> bool {
        let same = |other: &ServerConfig| {
            other.kind == config.kind
                && other.enabled == config.enabled
                && other.start == config.start
                && other.scope == config.scope
        };
        let shared = !is_per_client(config) && !is_per_client(&self.config);
        if let Some(coming) = &mut self.coming {
            if same(coming) {
                *coming = config.clone();
                for member in self.members.values_mut() {
                    if member.role == Role::Coming {
                        member.retune(config);
                    }
                }
                return false;
            }
            self.give_up_newcomers();
        }
        let ready = self
            .of_role(Role::Serving)
            .any(|member| aftermath::is_up(member.state));
        if !same(&self.config)
            && config.enabled
            && config.replace == Replace::Beside
            && shared
            && ready
        {
            self.coming = Some(config.clone());
            return true;
        }
        if !same(&self.config) {
            self.probation = None;
        }
        self.config = config.clone();
        for member in self.members.values_mut() {
            if member.role == Role::Serving {
                member.retune(config);
                // Another kind is a fresh start; to forgive too much is to ask too little.
                member.forgive();
            }
        }
        false
    }

    pub(super) fn give_up_newcomers(&mut self) {
        self.coming = None;
        for member in self.members.values_mut() {
            if member.role == Role::Coming {
                member.role = Role::Leaving;
            }
        }
    }

    pub(super) fn undeploy(&mut self) {
        self.leaving = true;
        self.coming = None;
        self.probation = None;
        for member in self.members.values_mut() {
            member.role = Role::Leaving;
        }
    }

    pub(super) fn deploy_again(&mut self, config: &ServerConfig) {
        self.leaving = false;
        self.config = config.clone();
    }

    pub(super) fn shut_down(&mut self) {
        self.give_up_newcomers();
        self.probation = None;
    }

    /// The member, which may be new, at the time `now` when it enters `state`.
    pub(super) fn member(
        &mut self,
        now: Time,
        replica: u32,
        state: ServerState,
    ) -> &mut ServerBook {
        let role = self.members.get(&replica).map(|member| member.role);
        if role != Some(Role::Coming) {
            self.switch(now);
        }
        // While newcomers start, none of those that stopped does.
        let beside = self.coming.is_some();
        let gone = |member: &ServerBook| {
            (member.role == Role::Leaving || beside) && member.state == ServerState::Stopped
        };
        if self.members.get(&replica).is_some_and(gone) {
            self.members.remove(&replica);
        }
        let (role, config) = match &self.coming {
            // One that was never started, and so is not known, leaves.
            _ if self.leaving || state == ServerState::Stopped => (Role::Leaving, &self.config),
            Some(coming) => (Role::Coming, coming),
            None => (Role::Serving, &self.config),
        };
        self.members
            .entry(replica)
            .or_insert_with(|| ServerBook::new(role, config))
    }

    /// A member failed, for now or for good.
    pub(super) fn on_failed(&mut self, replica: u32) {
        if self.members.get(&replica).map(|member| member.role) == Some(Role::Coming) {
            self.rolled_back = true;
            self.give_up_newcomers();
        }
    }

    /// `blocked`: newcomers wait in vain for another server.
    pub(super) fn on_rolled_back(&mut self, now: Time, blocked: bool) -> Result<(), Violation> {
        if blocked {
            let waits = |member: &ServerBook| member.state == ServerState::Waiting;
            promise!(
                self.of_role(Role::Coming).any(waits),
                TAKE_OVER,
                "nobody waits"
            );
            self.give_up_newcomers();
            return Ok(());
        }
        if std::mem::take(&mut self.rolled_back) {
            return Ok(());
        }
        let failed = self
            .of_role(Role::Serving)
            .all(|member| member.state == ServerState::Failed);
        let before = self.probation.take().filter(|(_, until)| now < *until);
        promise!(
            failed && before.is_some(),
            TAKE_OVER,
            "rolled back without need"
        );
        if let Some((config, _)) = before {
            self.config = config;
        }
        for member in self.members.values_mut() {
            if member.role == Role::Serving {
                member.retune(&self.config);
                member.forgive();
            }
        }
        Ok(())
    }

    /// What must have become of it at the end of a turn; `quiet` where only time passed.
    pub(super) fn settle(
        &mut self,
        now: Time,
        shut_down: bool,
        quiet: bool,
    ) -> Result<(), Violation> {
        promise!(
            !self.rolled_back,
            TAKE_OVER,
            "a failed newcomer was not told of"
        );
        self.switch(now);
        // A server that is wanted stops where it is one too many, or makes way for another.
        let wanted = self.config.enabled && !shut_down;
        self.members.retain(|_, member| {
            !wanted || member.role != Role::Serving || member.state != ServerState::Stopped
        });
        promise!(
            !self.said_so || self.coming.is_none(),
            TAKE_OVER,
            "told before"
        );
        self.note_surplus(quiet && !shut_down)?;
        self.members.retain(|_, member| {
            member.role != Role::Leaving || member.state != ServerState::Stopped
        });
        for (replica, member) in &self.members {
            use ServerState::{Closing, Draining};
            let leaves = matches!(member.state, Draining | Closing);
            promise!(
                member.role != Role::Leaving || leaves,
                "what was replaced or given up leaves",
                "replica {replica} is {}",
                member.state
            );
        }
        if shut_down || self.leaving {
            return Ok(());
        }
        let serving = self.of_role(Role::Serving).count();
        // Of those on their way out one cannot tell whether they come back.
        let leaves = |member: &&ServerBook| {
            use ServerState::{Closing, Draining, Stopped};
            matches!(member.state, Draining | Closing | Stopped)
        };
        let leaving = self.of_role(Role::Serving).filter(leaves).count();
        let (least, most) = bounds(&self.config);
        promise!(
            serving - leaving <= most && (serving >= least || !self.config.enabled),
            BOUNDS,
            "{serving} of {least} to {most}"
        );
        // Time may go back meanwhile.
        if self
            .probation
            .as_ref()
            .is_some_and(|(_, until)| now >= *until)
        {
            self.was_over = true;
        }
        let probation = self.probation.is_some() && !self.was_over;
        let mut members = self.of_role(Role::Serving);
        let lost = members.all(|member| member.state == ServerState::Failed);
        promise!(
            !(probation && lost) || self.coming.is_some(),
            TAKE_OVER,
            "all failed within the probation, and nothing came of it"
        );
        Ok(())
    }

    fn switch(&mut self, now: Time) {
        let coming = || self.of_role(Role::Coming);
        // One too many may leave in the very turn in which they take over.
        let ready = |new: &ServerBook| new.state == ServerState::Ready || new.left_ready;
        let up = |new: &ServerBook| aftermath::is_up(new.state) || new.left_ready;
        if !coming().all(up) || !coming().any(ready) {
            return;
        }
        for member in self.members.values_mut() {
            member.role = match member.role {
                Role::Coming => Role::Serving,
                Role::Serving | Role::Leaving => Role::Leaving,
            };
        }
        if let Some(config) = self.coming.take() {
            let until = now.after(config.limits.probation);
            let before = std::mem::replace(&mut self.config, config);
            self.probation = Some((before, until));
            self.was_over = false;
        }
        self.switched = true;
    }

    /// A member that leaves while only time passes was idle, and one too many.
    fn note_surplus(&mut self, quiet: bool) -> Result<(), Violation> {
        let (least, _) = bounds(&self.config);
        // With its group it may be started anew at any time.
        if quiet && self.config.group.is_none() {
            // Another one may have failed in the same moment.
            let ready = |member: &&ServerBook| member.was_ready && !member.left_ready;
            let ready = self.of_role(Role::Serving).filter(ready).count();
            for member in self.members.values_mut() {
                if member.role == Role::Serving && member.left_ready {
                    let sleeps = is_lazy(&self.config) && !self.config.limits.idle_stop.is_zero();
                    let surplus = ready >= least;
                    promise!(
                        surplus || sleeps,
                        BOUNDS,
                        "one too few is left: {ready} of {least}"
                    );
                    promise!(
                        surplus || self.calls == 0 || is_per_client(&self.config),
                        IDLE,
                        "{} calls are open",
                        self.calls
                    );
                    promise!(member.in_flight == 0, BOUNDS, "a busy replica was stopped");
                    // Those that sleep come back.
                    if !is_lazy(&self.config) {
                        member.role = Role::Leaving;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a call is certain to have a member that takes it, but for want of room.
    pub(super) fn takes_calls(&self) -> bool {
        self.of_role(Role::Serving)
            .any(|member| aftermath::takes_calls(member.state))
    }

    /// Whether no member could ever serve a call.
    pub(super) fn holds_no_calls(&self) -> bool {
        self.members
            .values()
            .all(|member| aftermath::holds_no_calls(member.state))
    }

    /// The operator wants a fresh start of all members.
    pub(super) fn forgive(&mut self) {
        for member in self.members.values_mut() {
            member.forgive();
        }
    }

    pub(super) fn of_slot_mut(&mut self, slot: ServerId) -> Option<&mut ServerBook> {
        self.members
            .values_mut()
            .find(|member| member.slot == Some(slot))
    }

    /// The member that has a call which was sent there, or was not sent yet.
    pub(super) fn holder_mut(&mut self, slot: Option<ServerId>) -> Option<&mut ServerBook> {
        match slot {
            Some(slot) => self.of_slot_mut(slot),
            None if self.members.len() == 1 => self.members.values_mut().next(),
            None => None,
        }
    }

    pub(super) fn of_slot(&self, slot: ServerId) -> Option<&ServerBook> {
        self.members
            .values()
            .find(|member| member.slot == Some(slot))
    }
}

/// Whether each client has a member of its own.
pub(super) const fn is_per_client(config: &ServerConfig) -> bool {
    matches!(config.scope, Scope::PerClient)
}

/// Whether its members run only while they are needed.
pub(super) fn is_lazy(config: &ServerConfig) -> bool {
    config.enabled && (config.start == Start::Lazy || is_per_client(config))
}

/// The least and the greatest number of replicas, those without an owner and those of clients.
pub(super) fn bounds(config: &ServerConfig) -> (usize, usize) {
    if is_per_client(config) {
        return (1, 1 + config.limits.clients);
    }
    let least = config.limits.replicas.max(1);
    (least, config.limits.replicas_max.max(least))
}
