//! Who starts after whom, and who is started anew with whom, by asking all about all.

use std::collections::{BTreeMap, BTreeSet};

use mcp_fleet_core::{
    CommandError, CommandId, Event, McpCommand, Obstacle, ServerState, Timer, WaitingFor,
    config::{FleetConfig, ServerConfig, Strategy},
};

use super::{
    ReferenceState, Turn, aftermath,
    pools::{PoolBook, Role, bounds, is_lazy},
    servers::ServerBook,
};
use crate::violation::{Violation, promise};

const AFTER: &str = "a server starts only after those that it comes after";
const WAITS: &str = "who waits says truly for what, and no longer than need be";
const GROUP: &str = "the end of one restarts exactly those that its group names";
const REVERSE: &str = "a fleet stops in the reverse order";
const CIRCLE: &str = "circles and unknown groups are refused, and nothing else";

/// The place of a server in the order.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    after: Vec<String>,
    group: Option<String>,
    /// Grows with every deployment.
    number: u64,
}

/// Where all stand, and what is still to follow from it.
#[derive(Debug, Default)]
pub(super) struct OrderBook {
    groups: BTreeMap<String, Strategy>,
    places: BTreeMap<String, Place>,
    deployments: u64,
    /// Servers that are to be started anew with another one.
    anew: BTreeSet<String>,
    /// The server that the command of this turn stops or starts anew.
    ordered: Option<String>,
    /// The command of this turn may do so with any.
    all_ordered: bool,
}

impl OrderBook {
    pub(super) fn new(groups: &BTreeMap<String, Strategy>) -> Self {
        Self {
            groups: groups.clone(),
            ..Self::default()
        }
    }

    /// A server has this place from here on.
    pub(super) fn place(&mut self, config: &ServerConfig) {
        self.deployments += 1;
        let number = self.deployments;
        let place = self.places.entry(config.name.as_str().to_owned());
        let place = place.or_insert_with(|| Place {
            number,
            ..Place::default()
        });
        place.after = names(config);
        place.group.clone_from(&config.group);
    }

    /// All have these places from here on.
    pub(super) fn reload(&mut self, config: &FleetConfig) {
        self.groups = config.groups.clone();
        for server in &config.servers {
            self.place(server);
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.places.remove(name);
        self.anew.remove(name);
    }

    /// Whom the command of this turn stops or starts anew.
    pub(super) fn begin_turn(&mut self, command: Option<&McpCommand>) {
        self.all_ordered = matches!(command, Some(McpCommand::Reload { .. }));
        self.ordered = match command {
            Some(McpCommand::Restart { server, .. } | McpCommand::Undeploy { server, .. }) => {
                Some(server.clone())
            }
            Some(McpCommand::UpdateConfig { config, .. }) => Some(config.name.as_str().to_owned()),
            _ => None,
        };
    }

    fn after(&self, name: &str) -> &[String] {
        self.places.get(name).map_or(&[], |place| &place.after)
    }

    /// Whether such a configuration contradicts itself, or what is deployed.
    fn contradicts(&self, config: &ServerConfig) -> bool {
        let name = config.name.as_str();
        let mut reached: BTreeSet<String> = names(config).into_iter().collect();
        loop {
            let more: BTreeSet<String> = reached
                .iter()
                .flat_map(|server| self.after(server))
                .filter(|server| !reached.contains(*server))
                .cloned()
                .collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        let group = config.group.as_ref();
        reached.contains(name) || group.is_some_and(|group| !self.groups.contains_key(group))
    }
}

fn names(config: &ServerConfig) -> Vec<String> {
    let name = |name: &mcp_fleet_core::ServerName| name.as_str().to_owned();
    config.after.iter().map(name).collect()
}

impl ReferenceState {
    /// Whether a configuration was refused for its place, where it ought to be.
    pub(super) fn judge_place(
        &self,
        id: CommandId,
        config: &ServerConfig,
        events: &[Event],
    ) -> Result<(), Violation> {
        let error = events.iter().find_map(|event| match event {
            Event::CommandEnded {
                id: ended,
                outcome: Err(error),
            } if *ended == id => Some(error),
            _ => None,
        });
        let contradicts = self.order.contradicts(config);
        let turned_away = match error {
            Some(CommandError::Invalid { .. }) => {
                promise!(contradicts, CIRCLE, "{id:?} {error:?}");
                return Ok(());
            }
            Some(
                CommandError::ShuttingDown
                | CommandError::NotFound { .. }
                | CommandError::AlreadyDeployed { .. }
                | CommandError::FleetFull { .. }
                | CommandError::Overloaded { .. }
                | CommandError::Superseded { .. },
            ) => true,
            _ => false,
        };
        promise!(turned_away || !contradicts, CIRCLE, "{id:?} {config:?}");
        Ok(())
    }

    /// A replica is in another state, and says what it waits for.
    pub(super) fn follow_order(
        &mut self,
        name: &str,
        replica: u32,
        before: ServerState,
    ) -> Result<(), Violation> {
        let pool = self.servers.get(name);
        let Some((pool, member)) = pool.and_then(|pool| Some((pool, pool.members.get(&replica)?)))
        else {
            return Ok(());
        };
        let (state, waiting, role) = (member.state, member.waiting.clone(), member.role);
        let plain = is_plain(pool);
        promise!(
            waiting.is_some() == (state == ServerState::Waiting),
            WAITS,
            "{name} is {state}, and waits for {waiting:?}"
        );
        if state == ServerState::Starting || waiting == Some(WaitingFor::Turn) {
            // One that replaces in turn waits for those before it, and is told so later.
            let missing = self.obstacles(name);
            promise!(
                missing.is_empty() || role == Role::Serving && state == ServerState::Waiting,
                AFTER,
                "{name} before {missing:?}"
            );
        }
        if matches!(state, ServerState::Draining | ServerState::Closing) {
            let told = self.order.anew.remove(name);
            let ordered = self.order.ordered.as_deref() == Some(name) || self.order.all_ordered;
            if state == ServerState::Draining && !ordered && plain {
                promise!(told || self.shut_down, GROUP, "{name} is restarted");
            }
            let stays = role == Role::Serving;
            if state == ServerState::Draining && !ordered && self.shut_down && stays {
                let running = self.running_dependents(name);
                promise!(running.is_empty(), REVERSE, "{name} before {running:?}");
            }
        }
        if state == ServerState::Backoff && before != ServerState::Waiting {
            let companions = self.companions(name);
            self.order.anew.extend(companions);
        }
        Ok(())
    }

    /// A server that sleeps is started because somebody needs it.
    pub(super) fn judge_waking(&self, name: &str, state: ServerState) -> Result<(), Violation> {
        if !matches!(state, ServerState::Waiting | ServerState::Starting) {
            return Ok(());
        }
        let called = self.calls.of(name).count() > 0;
        let awaited = self.servers.iter().any(|(_, pool)| {
            let mut waiting = pool.members.values().filter_map(waiting_for);
            waiting.any(|waiting| matches!(waiting, WaitingFor::Server { server, .. } if server.as_str() == name))
        });
        let up = |member: &&ServerBook| {
            aftermath::takes_calls(member.state) && member.state != ServerState::Asleep
        };
        // The one that wakes is among them.
        let pool = self.servers.get(name);
        let others = pool.map_or(0, |pool| pool.of_role(Role::Serving).filter(up).count());
        promise!(
            called || awaited || others > 1 || !self.commands.is_empty(),
            "a server that sleeps is started only where somebody needs it",
            "{name} is {state}"
        );
        Ok(())
    }

    /// A command ended because a server waits in vain.
    pub(super) fn judge_blocked(
        &self,
        server: &str,
        dependency: &str,
        obstacle: Obstacle,
    ) -> Result<(), Violation> {
        let missing = self.obstacles(server);
        let seen = missing.get(dependency);
        promise!(
            seen.is_some_and(|seen| agree(seen, obstacle)) && obstacle != Obstacle::NotReady,
            WAITS,
            "{server} is said to wait in vain for {dependency}, which {obstacle}: {missing:?}"
        );
        Ok(())
    }

    /// What must hold after every turn.
    pub(super) fn compare_order(&self, turn: &Turn<'_>) -> Result<(), Violation> {
        // What does not fit into one turn comes with the next.
        if turn.next.is_some_and(|next| next.timer == Timer::Turn) {
            return Ok(());
        }
        // One that is closed before it was ready keeps its place until nothing is left of it.
        let holds = |state| aftermath::is_starting(state) || state == ServerState::Closing;
        let members = || {
            self.servers
                .iter()
                .flat_map(|(_, pool)| pool.members.values())
        };
        let holders = members().filter(|member| holds(member.state));
        let full = holders.count() >= self.limits.starting.max(1);
        for (name, pool) in self.servers.iter() {
            // Some may wait for those that leave.
            let held = pool.of_role(Role::Leaving).count() > 0;
            for waiting in pool.members.values().filter_map(waiting_for) {
                let missing = self.obstacles(name);
                let kept = match waiting {
                    WaitingFor::Server { server, obstacle } => missing
                        .get(server.as_str())
                        .is_some_and(|seen| agree(seen, *obstacle)),
                    WaitingFor::Turn => full || held,
                    _ => true,
                };
                let sleeps = |server: &str| {
                    let pool = self.servers.get(server);
                    let mut members = pool.iter().flat_map(|pool| pool.members.values());
                    let asleep = |member: &ServerBook| member.state == ServerState::Asleep;
                    pool.is_some_and(|pool| pool.takes_calls()) && members.all(asleep)
                };
                if let WaitingFor::Server { server, .. } = waiting {
                    let woken = self.shut_down || !sleeps(server.as_str());
                    promise!(woken, WAITS, "{name} waits for {server}, which sleeps");
                }
                promise!(kept, WAITS, "{name} waits for {waiting:?}: {missing:?}");
            }
        }
        let left = &self.order.anew;
        promise!(
            left.is_empty() || self.shut_down,
            GROUP,
            "{left:?} are not restarted"
        );
        Ok(())
    }

    /// Whether a replica may wait for ever: for a server that does not come by itself.
    pub(super) fn waits_in_vain(&self, member: &ServerBook) -> bool {
        let Some(WaitingFor::Server { server, .. }) = waiting_for(member) else {
            return false;
        };
        let Some(pool) = self.servers.get(server.as_str()) else {
            return true;
        };
        pool.members.values().all(|other| {
            matches!(other.state, ServerState::Stopped | ServerState::Failed)
                || other.state == ServerState::Waiting && self.waits_in_vain(other)
        })
    }

    /// Those that are not ready of those that `name` comes after, and why not: all that their
    /// replicas could say.
    fn obstacles(&self, name: &str) -> BTreeMap<&str, Vec<Obstacle>> {
        let why = |server: &String| {
            let Some(pool) = self.servers.get(server) else {
                return Some(vec![Obstacle::NotDeployed]);
            };
            let stay = |member: &&ServerBook| pool.leaving || member.role == Role::Serving;
            let staying = || pool.members.values().filter(stay);
            if staying().any(|member| aftermath::is_up(member.state)) {
                return None;
            }
            let mut all: Vec<Obstacle> = staying().map(|member| obstacle(member.state)).collect();
            if all.is_empty() {
                all.push(Obstacle::Stopped);
            }
            Some(all)
        };
        let after = self.order.after(name).iter();
        after
            .filter_map(|server| Some((server.as_str(), why(server)?)))
            .collect()
    }

    fn companions(&self, name: &str) -> Vec<String> {
        let Some(own) = self.order.places.get(name) else {
            return Vec::new();
        };
        let Some(strategy) = own.group.as_ref().map(|group| self.order.groups[group]) else {
            return Vec::new();
        };
        let runs = |server: &str| {
            let pool = self.servers.get(server).filter(|pool| is_plain(pool));
            let state = pool.and_then(PoolBook::only).map(|book| book.state);
            state.is_some_and(|state| aftermath::is_up(state) || aftermath::is_starting(state))
        };
        let others = self.order.places.iter();
        others
            .filter(|(server, place)| {
                let named = match strategy {
                    Strategy::OneForOne => false,
                    Strategy::OneForAll => true,
                    Strategy::RestForOne => place.number > own.number,
                };
                named && *server != name && place.group == own.group && runs(server)
            })
            .map(|(server, _)| server.clone())
            .collect()
    }

    fn running_dependents(&self, name: &str) -> Vec<&String> {
        let others = self.order.places.iter();
        others
            .filter(|(_, place)| place.after.iter().any(|server| server == name))
            .map(|(server, _)| server)
            .filter(|server| self.links.any_of(server))
            .collect()
    }
}

/// Whether all that happens to the one replica of a server happens to the server.
fn is_plain(pool: &PoolBook) -> bool {
    let (_, most) = bounds(&pool.config);
    // One that sleeps is stopped for reasons of its own.
    most == 1
        && !is_lazy(&pool.config)
        && pool.only().is_some()
        && pool.coming.is_none()
        && !pool.switched
}

fn waiting_for(member: &ServerBook) -> Option<&WaitingFor> {
    let waits = member.state == ServerState::Waiting;
    member.waiting.as_ref().filter(|_| waits)
}

const fn obstacle(state: ServerState) -> Obstacle {
    match state {
        ServerState::Stopped => Obstacle::Stopped,
        ServerState::Backoff => Obstacle::Recovering,
        ServerState::Failed => Obstacle::Failed,
        ServerState::Waiting => Obstacle::Blocked,
        _ => Obstacle::NotReady,
    }
}

/// Whether what is seen of a server may be told so. One that waits may do so in vain or not.
fn agree(seen: &[Obstacle], told: Obstacle) -> bool {
    seen.contains(&told) || seen.contains(&Obstacle::Blocked) && told == Obstacle::NotReady
}
