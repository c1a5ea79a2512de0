//! Who starts after whom, and who is started anew with whom, by asking all about all.

use std::collections::{BTreeMap, BTreeSet};

use mcp_fleet_core::{
    CommandError, CommandId, Event, McpCommand, Obstacle, ServerState, Timer, WaitingFor,
    config::{ServerConfig, Strategy},
};

use super::{ReferenceState, Turn, aftermath, servers::ServerBook};
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
    /// What it last said that it waits for.
    waiting: Option<WaitingFor>,
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

    pub(super) fn remove(&mut self, name: &str) {
        self.places.remove(name);
        self.anew.remove(name);
    }

    /// Whom the command of this turn stops or starts anew.
    pub(super) fn begin_turn(&mut self, command: Option<&McpCommand>) {
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
                | CommandError::Overloaded { .. },
            ) => true,
            _ => false,
        };
        promise!(turned_away || !contradicts, CIRCLE, "{id:?} {config:?}");
        Ok(())
    }

    /// A server is in another state, and says what it waits for.
    pub(super) fn follow_order(
        &mut self,
        name: &str,
        before: ServerState,
        state: ServerState,
        waiting: Option<&WaitingFor>,
    ) -> Result<(), Violation> {
        promise!(
            waiting.is_some() == (state == ServerState::Waiting),
            WAITS,
            "{name} is {state}, and waits for {waiting:?}"
        );
        if let Some(place) = self.order.places.get_mut(name) {
            place.waiting = waiting.cloned();
        }
        if state == ServerState::Starting || waiting == Some(&WaitingFor::Turn) {
            let missing = self.obstacles(name);
            promise!(missing.is_empty(), AFTER, "{name} before {missing:?}");
        }
        if matches!(state, ServerState::Draining | ServerState::Closing) {
            let told = self.order.anew.remove(name);
            let ordered = self.order.ordered.as_deref() == Some(name);
            if state == ServerState::Draining && !ordered {
                promise!(told || self.shut_down, GROUP, "{name} is restarted");
            }
            if state == ServerState::Draining && !ordered && self.shut_down {
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
            seen.is_some_and(|seen| agree(*seen, obstacle)) && obstacle != Obstacle::NotReady,
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
        let holders = self.servers.iter().filter(|(_, book)| holds(book.state));
        let full = holders.count() >= self.limits.starting.max(1);
        for (name, book) in self.servers.iter() {
            let Some(waiting) = self.waiting_for(name, book) else {
                continue;
            };
            let missing = self.obstacles(name);
            let kept = match waiting {
                WaitingFor::Server { server, obstacle } => missing
                    .get(server.as_str())
                    .is_some_and(|seen| agree(*seen, *obstacle)),
                WaitingFor::Turn => full,
                _ => true,
            };
            promise!(kept, WAITS, "{name} waits for {waiting:?}: {missing:?}");
        }
        let left = &self.order.anew;
        promise!(
            left.is_empty() || self.shut_down,
            GROUP,
            "{left:?} are not restarted"
        );
        Ok(())
    }

    /// Whether a server may wait for ever: for one that does not come by itself.
    pub(super) fn waits_in_vain(&self, name: &str, book: &ServerBook) -> bool {
        match self.waiting_for(name, book) {
            Some(WaitingFor::Server { server, .. }) => match self.servers.get(server.as_str()) {
                Some(other) if other.state == ServerState::Waiting => {
                    self.waits_in_vain(server.as_str(), other)
                }
                Some(other) => matches!(other.state, ServerState::Stopped | ServerState::Failed),
                None => true,
            },
            _ => false,
        }
    }

    fn waiting_for(&self, name: &str, book: &ServerBook) -> Option<&WaitingFor> {
        let place = self.order.places.get(name)?;
        let waits = book.state == ServerState::Waiting;
        place.waiting.as_ref().filter(|_| waits)
    }

    /// Those that are not ready of those that `name` comes after, and why not.
    fn obstacles(&self, name: &str) -> BTreeMap<&str, Obstacle> {
        let why = |server: &String| match self.servers.get(server).map(|book| book.state) {
            None => Some(Obstacle::NotDeployed),
            Some(ServerState::Ready | ServerState::Unready) => None,
            Some(ServerState::Stopped) => Some(Obstacle::Stopped),
            Some(ServerState::Backoff) => Some(Obstacle::Recovering),
            Some(ServerState::Failed) => Some(Obstacle::Failed),
            Some(ServerState::Waiting) => Some(Obstacle::Blocked),
            Some(_) => Some(Obstacle::NotReady),
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
            let state = self.servers.get(server).map(|book| book.state);
            state.is_some_and(|state| {
                matches!(state, ServerState::Ready | ServerState::Unready)
                    || aftermath::is_starting(state)
            })
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
            .filter(|server| self.links.of(server).is_some())
            .collect()
    }
}

/// Whether what is seen of a server may be told so. One that waits may do so in vain or not.
fn agree(seen: Obstacle, told: Obstacle) -> bool {
    seen == told || seen == Obstacle::Blocked && told == Obstacle::NotReady
}
