//! What stands behind one configured name: its replicas, those that are to replace them, and those
//! that leave. A pool decides; the fleet tells it how its members fare, and does what it says.

mod clients;
mod orders;
mod route;
mod waiters;

use self::waiters::Waiters;
pub(crate) use self::{
    clients::Place,
    orders::Order,
    route::Seen,
    waiters::{Asker, Ended, Goal},
};
use crate::{
    config::{Kind, Replace, Scope, ServerConfig},
    error::CommandError,
    ids::{ClientId, ServerId, ServerName},
    server::is_lazy,
    stats::Meter,
    time::Time,
};

/// All replicas of one server.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The configuration in force.
    config: ServerConfig,
    members: Vec<Member>,
    task: Task,
    probation: Option<Probation>,
    pub(crate) waiters: Waiters,
    /// What members counted that are gone.
    past: Option<Box<Meter>>,
}

/// One replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: ServerId,
    pub(crate) replica: u32,
    pub(crate) role: Role,
    /// Whose it is alone.
    pub(crate) client: Option<ClientId>,
    /// Whether it was ready, or failed, or fell asleep, since it was last to start.
    risen: bool,
}

/// What a member is there for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    /// It takes calls.
    Serving,
    /// It is to take over when all of its kind are ready.
    Coming,
    /// It ends its calls, and is gone then.
    Leaving,
}

/// What is under way.
#[derive(Clone, PartialEq, Debug)]
enum Task {
    None,
    /// The members start.
    Rise,
    /// The members wait for those before them to be gone, and start then.
    Hold,
    /// The members start anew, one after the other.
    Roll {
        current: Option<ServerId>,
        todo: Vec<ServerId>,
    },
    /// Newcomers of this configuration start beside the members that serve.
    Beside(Box<ServerConfig>),
    /// The members stop.
    Stop,
}

/// The configuration that comes back when its successor fails soon.
#[derive(Debug)]
struct Probation {
    config: Box<ServerConfig>,
    until: Time,
}

impl Pool {
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self {
            config,
            members: Vec::new(),
            task: Task::None,
            probation: None,
            waiters: Waiters::default(),
            past: None,
        }
    }

    pub(crate) const fn name(&self) -> &ServerName {
        &self.config.name
    }

    /// The configuration in force.
    pub(crate) const fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// The configuration that was asked for last, in force or about to be.
    pub(crate) const fn desired(&self) -> &ServerConfig {
        match &self.task {
            Task::Beside(config) => config,
            Task::None | Task::Rise | Task::Hold | Task::Roll { .. } | Task::Stop => &self.config,
        }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(crate) fn ids(&self, role: Role) -> Vec<ServerId> {
        let members = self.members.iter().filter(|member| member.role == role);
        members.map(|member| member.id).collect()
    }

    /// Whether it is being undeployed.
    pub(crate) fn is_leaving(&self) -> bool {
        let mut roles = self.members.iter().map(|member| member.role);
        roles.all(|role| role == Role::Leaving)
    }

    /// Whether nothing but the life of its one member goes on.
    pub(crate) fn is_quiet(&self) -> bool {
        let (_, most) = bounds(&self.config);
        self.task == Task::None
            && self.probation.is_none()
            && self.members.len() == 1
            && most == 1
            && self.waiters.is_empty()
    }

    /// The number of the next member: the least that no other has.
    pub(crate) fn free_replica(&self) -> u32 {
        let taken = |replica: &u32| self.members.iter().any(|member| member.replica == *replica);
        (0..).find(|replica| !taken(replica)).unwrap_or(u32::MAX)
    }

    pub(crate) fn join(
        &mut self,
        id: ServerId,
        replica: u32,
        role: Role,
        client: Option<ClientId>,
    ) {
        self.members.push(Member {
            id,
            replica,
            role,
            client,
            risen: false,
        });
        self.members.sort_by_key(|member| member.replica);
    }

    /// Forgets a member of which nothing is left. `true` where it was the last.
    pub(crate) fn part(&mut self, id: ServerId, counted: &Meter) -> bool {
        self.members.retain(|member| member.id != id);
        self.past.get_or_insert_default().add(counted);
        self.members.is_empty()
    }

    pub(crate) fn past(&self) -> Option<&Meter> {
        self.past.as_deref()
    }

    /// Whether a configuration may start beside the members that serve: where one of them takes
    /// calls, and two may live at once.
    pub(crate) fn may_start_beside(&self, config: &ServerConfig, seen: &[Seen]) -> bool {
        let attached = |kind: &Kind| matches!(kind, Kind::Attached);
        config.enabled
            && config.replace == Replace::Beside
            && !is_per_client(config)
            && !is_per_client(&self.config)
            && !attached(&config.kind)
            && !attached(&self.config.kind)
            && seen
                .iter()
                .any(|seen| seen.role == Role::Serving && seen.load.up)
    }

    /// Newcomers of `config` are about to start beside the members.
    pub(crate) fn begin_beside(&mut self, config: ServerConfig) {
        self.task = Task::Beside(Box::new(config));
    }

    /// Other limits and policies are in force, for what is desired.
    pub(crate) fn retune(&mut self, config: ServerConfig) {
        match &mut self.task {
            Task::Beside(desired) => **desired = config,
            Task::None | Task::Rise | Task::Hold | Task::Roll { .. } | Task::Stop => {
                self.config = config;
            }
        }
    }

    /// The members are about to start anew with `config`, or to stop where it is disabled.
    pub(crate) fn begin_anew(&mut self, config: ServerConfig) {
        self.task = if config.enabled {
            Task::Rise
        } else {
            Task::Stop
        };
        self.config = config;
        self.probation = None;
        for member in &mut self.members {
            member.risen = false;
        }
    }

    /// The members of `config` wait until those before them are gone.
    pub(crate) fn begin_hold(&mut self, config: ServerConfig) {
        self.config = config;
        self.probation = None;
        self.task = Task::Hold;
    }

    /// New members start beside others that go on.
    pub(crate) fn begin_rise(&mut self) {
        if self.task == Task::None {
            self.task = Task::Rise;
        }
    }

    /// The members start anew one after the other, those that take no calls first. A replacement
    /// under way does just that.
    pub(crate) fn begin_roll(&mut self, seen: &[Seen]) {
        let serving = || seen.iter().filter(|seen| seen.role == Role::Serving);
        let mut members: Vec<&Seen> = serving().collect();
        // Nobody asked for those that wait for their client to come back.
        if is_per_client(&self.config) && serving().any(|seen| !seen.is_asleep()) {
            members.retain(|seen| !seen.is_asleep());
        }
        members.sort_by_key(|seen| (seen.load.up, seen.replica));
        let todo = members.into_iter().map(|seen| seen.id).rev().collect();
        match self.task {
            Task::Beside(_) | Task::Hold => {}
            Task::None | Task::Rise | Task::Roll { .. } | Task::Stop => {
                self.task = Task::Roll {
                    current: None,
                    todo,
                };
            }
        }
    }

    /// Newcomers take over. The answer is who leaves.
    pub(crate) fn switch(&mut self, now: Time) -> Vec<ServerId> {
        let Task::Beside(config) = std::mem::replace(&mut self.task, Task::None) else {
            return Vec::new();
        };
        let leaving = self.ids(Role::Serving);
        for member in &mut self.members {
            member.role = match member.role {
                Role::Coming => Role::Serving,
                Role::Serving | Role::Leaving => Role::Leaving,
            };
            member.risen = true;
        }
        let until = now.after(config.limits.probation);
        let config = Box::new(std::mem::replace(&mut self.config, *config));
        self.probation = (until > now).then_some(Probation { config, until });
        leaving
    }

    /// Newcomers are given up. The answer is who they are.
    pub(crate) fn give_up_newcomers(&mut self) -> Vec<ServerId> {
        if let Task::Beside(_) = self.task {
            self.task = Task::None;
        }
        let newcomers = self.ids(Role::Coming);
        self.dismiss(&newcomers);
        newcomers
    }

    /// These members leave.
    pub(crate) fn dismiss(&mut self, ids: &[ServerId]) {
        for member in &mut self.members {
            if ids.contains(&member.id) {
                member.role = Role::Leaving;
            }
        }
    }

    /// The configuration to which a pool on probation returns.
    pub(crate) fn take_probation(&mut self) -> Option<ServerConfig> {
        self.probation.take().map(|probation| *probation.config)
    }

    /// All is to end; only a stop that is under way is still waited for.
    pub(crate) fn abandon(&mut self) {
        if self.task != Task::Stop {
            self.task = Task::None;
        }
        self.probation = None;
    }

    /// What was under way is over.
    pub(crate) fn finish(&mut self) {
        self.task = Task::None;
    }

    /// Whether its members are to stop, and it is waited for.
    pub(crate) fn is_stopping(&self) -> bool {
        self.task == Task::Stop
    }

    pub(crate) fn is_held(&self) -> bool {
        self.task == Task::Hold
    }

    /// Why no more commands may wait. To be asked before anything is done, so that a command that
    /// is refused has had no effect. The first farewell is always taken: one can get rid of any
    /// server.
    ///
    /// Reloads have a bound of their own.
    pub(crate) fn refuse_to_wait(&self, asker: Asker, farewell: bool) -> Option<CommandError> {
        let limit = self.config.limits.waiting;
        let first = farewell && !(self.is_leaving() && self.waiters.any_farewell());
        let full = self.waiters.len() >= limit && matches!(asker, Asker::Command(_));
        (full && !first).then(|| CommandError::Overloaded {
            server: self.config.name.clone(),
            limit,
        })
    }
}

/// Whether each client has a member of its own.
pub(crate) const fn is_per_client(config: &ServerConfig) -> bool {
    // A pair of streams is one.
    matches!(config.scope, Scope::PerClient) && !matches!(config.kind, Kind::Attached)
}

/// The least and the greatest number of replicas, without those that belong to one client.
pub(crate) fn bounds(config: &ServerConfig) -> (usize, usize) {
    // A pair of streams is used once.
    if matches!(config.kind, Kind::Attached) || is_per_client(config) {
        return (1, 1);
    }
    let least = config.limits.replicas.max(1);
    (least, config.limits.replicas_max.max(least))
}
