//! The order of the servers: who starts after whom, and who is started anew with whom.

mod agenda;
mod errands;
mod farewell;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::{
    agenda::{Agenda, Errand},
    farewell::Farewell,
};
use crate::{
    config::Strategy,
    error::Obstacle,
    ids::{ServerId, ServerName},
    planted::{Bug, planted},
};

/// What a server says of itself to those that come after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It takes calls.
    Ready,
    /// It does not, for this reason.
    Not(Obstacle),
}

impl Standing {
    /// How far it is to readiness.
    const fn distance(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Not(Obstacle::NotReady) => 1,
            Self::Not(Obstacle::Recovering) => 2,
            Self::Not(Obstacle::Blocked) => 3,
            Self::Not(Obstacle::Failed) => 4,
            Self::Not(Obstacle::Stopped) => 5,
            Self::Not(Obstacle::NotDeployed) => 6,
        }
    }
}

/// A server that another one waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Awaited {
    pub(crate) server: ServerName,
    pub(crate) obstacle: Obstacle,
}

/// The places of all deployed servers in the order, by name.
#[derive(Debug, Default)]
pub(crate) struct Order {
    groups: BTreeMap<String, Strategy>,
    places: BTreeMap<ServerName, Place>,
    /// Those that come after a server, deployed or not.
    dependents: BTreeMap<ServerName, BTreeSet<ServerName>>,
    /// Those that wait to start for a server that is not ready.
    held: BTreeMap<ServerName, BTreeSet<ServerId>>,
    next_number: u64,
}

/// The place of one server.
#[derive(Debug)]
struct Place {
    after: Vec<ServerName>,
    group: Option<String>,
    /// Grows with every deployment.
    number: u64,
    standing: Standing,
}

impl Order {
    pub(super) fn new(groups: BTreeMap<String, Strategy>) -> Self {
        Self {
            groups,
            ..Self::default()
        }
    }

    /// Takes over other groups.
    pub(super) fn set_groups(&mut self, groups: BTreeMap<String, Strategy>) {
        self.groups = groups;
    }

    /// Gives a server its place, or another one. It keeps its number, and how it stands.
    pub(super) fn place(
        &mut self,
        name: &ServerName,
        after: Vec<ServerName>,
        group: Option<String>,
    ) {
        let (number, standing) = match self.leave(name) {
            Some(place) => (place.number, place.standing),
            None => {
                self.next_number += 1;
                (self.next_number, Standing::Not(Obstacle::NotDeployed))
            }
        };
        for dependency in &after {
            self.dependents
                .entry(dependency.clone())
                .or_default()
                .insert(name.clone());
        }
        let place = Place {
            after,
            group,
            number,
            standing,
        };
        self.places.insert(name.clone(), place);
    }

    /// Forgets the place of a server, and answers whom to tell.
    pub(super) fn remove(&mut self, name: &ServerName) -> Vec<ServerId> {
        self.leave(name);
        self.held_after(name)
    }

    /// Notes how a server stands, and answers whom to tell of it.
    pub(super) fn on_standing(&mut self, name: &ServerName, standing: Standing) -> Vec<ServerId> {
        let Some(place) = self.places.get_mut(name) else {
            return Vec::new();
        };
        if std::mem::replace(&mut place.standing, standing) == standing
            || planted(Bug::WaiterForgotten) && standing == Standing::Ready
        {
            return Vec::new();
        }
        self.held_after(name)
    }

    /// The server that keeps `name` from starting: the first that does not come by itself, or else
    /// the first that is not ready.
    pub(crate) fn awaited(&self, name: &ServerName) -> Option<Awaited> {
        let mut first = None;
        for server in &self.places.get(name)?.after {
            let standing = self
                .places
                .get(server)
                .map_or(Standing::Not(Obstacle::NotDeployed), |place| place.standing);
            let obstacle = match standing {
                Standing::Ready => continue,
                Standing::Not(obstacle) => obstacle,
            };
            let awaited = || Awaited {
                server: server.clone(),
                obstacle,
            };
            match obstacle {
                Obstacle::NotReady => {
                    first.get_or_insert_with(awaited);
                }
                Obstacle::NotDeployed
                | Obstacle::Recovering
                | Obstacle::Stopped
                | Obstacle::Failed
                | Obstacle::Blocked => return Some(awaited()),
            }
        }
        first.filter(|_| !planted(Bug::StartsTooEarly))
    }

    /// Keeps in mind that `id`, which bears `name`, waits for another server.
    pub(crate) fn hold(&mut self, name: &ServerName, id: ServerId) {
        self.held.entry(name.clone()).or_default().insert(id);
    }

    /// `id` waits for no other server any more.
    pub(crate) fn let_go(&mut self, name: &ServerName, id: ServerId) {
        if let Some(held) = self.held.get_mut(name) {
            held.remove(&id);
            if held.is_empty() {
                self.held.remove(name);
            }
        }
    }

    /// Those that come after `name`.
    pub(super) fn dependents(&self, name: &ServerName) -> impl Iterator<Item = &ServerName> {
        self.dependents.get(name).into_iter().flatten()
    }

    /// Those that `name` comes after.
    pub(super) fn dependencies(&self, name: &ServerName) -> &[ServerName] {
        self.places.get(name).map_or(&[], |place| &place.after)
    }

    /// Those that are started anew when `name` has failed and starts again, in order of their
    /// deployment.
    pub(super) fn companions(&self, name: &ServerName) -> Vec<ServerName> {
        let Some(own) = self.places.get(name) else {
            return Vec::new();
        };
        let strategy = own.group.as_ref().and_then(|group| self.groups.get(group));
        let least = match strategy {
            None | Some(Strategy::OneForOne) => return Vec::new(),
            Some(Strategy::OneForAll) => 0,
            Some(Strategy::RestForOne) if planted(Bug::OneTooMany) => own.number.saturating_sub(1),
            Some(Strategy::RestForOne) => own.number,
        };
        let mut companions: Vec<_> = self
            .places
            .iter()
            .filter(|(other, place)| {
                *other != name && place.group == own.group && place.number >= least
            })
            .map(|(other, place)| (place.number, other.clone()))
            .collect();
        companions.sort();
        companions.into_iter().map(|(_, other)| other).collect()
    }

    /// Why `name` cannot have this place: its group is unknown, or it would come after itself.
    pub(super) fn refusal(
        &self,
        name: &ServerName,
        after: &[ServerName],
        group: Option<&str>,
    ) -> Option<String> {
        if let Some(group) = group
            && !self.groups.contains_key(group)
        {
            return Some(format!(
                "{name} is of the group {group:?}, which the fleet does not have; add it to \
                 `fleet.groups`, which a fleet reads when it is made"
            ));
        }
        let cycle = self.cycle(name, after)?;
        let way: Vec<_> = cycle.iter().map(ServerName::as_str).collect();
        Some(format!(
            "servers come after each other in a circle: {}; take one out of its `after`",
            way.join(" -> ")
        ))
    }

    /// The way from `name` over `after` back to `name`, where there is one.
    fn cycle(&self, name: &ServerName, after: &[ServerName]) -> Option<Vec<ServerName>> {
        let mut came_from: BTreeMap<&ServerName, &ServerName> = BTreeMap::new();
        let mut open: Vec<(&ServerName, &ServerName)> =
            after.iter().rev().map(|next| (name, next)).collect();
        while let Some((from, server)) = open.pop() {
            if server == name {
                let mut way = vec![name.clone()];
                let mut at = from;
                while at != name {
                    way.push(at.clone());
                    at = came_from.get(at)?;
                }
                way.push(name.clone());
                way.reverse();
                return Some(way);
            }
            if came_from.contains_key(server) {
                continue;
            }
            came_from.insert(server, from);
            open.extend(
                self.dependencies(server)
                    .iter()
                    .rev()
                    .map(|next| (server, next)),
            );
        }
        None
    }

    /// Those that come after `name` and wait to start.
    pub(super) fn held_after(&self, name: &ServerName) -> Vec<ServerId> {
        self.dependents(name)
            .filter_map(|dependent| self.held.get(dependent))
            .flatten()
            .copied()
            .collect()
    }

    fn leave(&mut self, name: &ServerName) -> Option<Place> {
        let place = self.places.remove(name)?;
        for dependency in &place.after {
            if let Some(dependents) = self.dependents.get_mut(dependency) {
                dependents.remove(name);
                if dependents.is_empty() {
                    self.dependents.remove(dependency);
                }
            }
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        ServerName::new(text).unwrap()
    }

    fn names(text: &str) -> Vec<ServerName> {
        text.split_whitespace().map(name).collect()
    }

    fn order(edges: &[(&str, &str)]) -> Order {
        let mut order = Order::default();
        for (server, after) in edges {
            order.place(&name(server), names(after), None);
        }
        order
    }

    #[test]
    fn a_circle_is_shown_whole_and_a_diamond_is_none() {
        let order = order(&[("b", "c d"), ("c", "e"), ("d", "e"), ("e", "")]);
        let refusal = |server: &str, after: &str| order.refusal(&name(server), &names(after), None);
        assert_eq!(refusal("a", "b c"), None);
        assert_eq!(
            refusal("e", "x"),
            None,
            "what is not deployed leads nowhere"
        );
        let circle = refusal("e", "b").unwrap();
        assert!(circle.contains("e -> b -> c -> e"), "{circle}");
        let own = refusal("a", "a").unwrap();
        assert!(own.contains("a -> a"), "{own}");
    }

    #[test]
    fn what_does_not_come_by_itself_is_named_first() {
        let mut order = order(&[("a", ""), ("b", ""), ("c", "a b x")]);
        let obstacle = |order: &Order| order.awaited(&name("c"));
        let awaited = |server: &str, obstacle| {
            Some(Awaited {
                server: name(server),
                obstacle,
            })
        };
        order.on_standing(&name("a"), Standing::Not(Obstacle::Stopped));
        assert_eq!(obstacle(&order), awaited("a", Obstacle::Stopped));
        order.on_standing(&name("a"), Standing::Not(Obstacle::NotReady));
        order.on_standing(&name("b"), Standing::Ready);
        assert_eq!(obstacle(&order), awaited("x", Obstacle::NotDeployed));
        order.place(&name("c"), names("a b"), None);
        assert_eq!(obstacle(&order), awaited("a", Obstacle::NotReady));
        order.on_standing(&name("a"), Standing::Ready);
        assert_eq!(obstacle(&order), None);
    }

    #[test]
    fn only_those_that_wait_for_a_server_are_told_of_it() {
        let mut order = order(&[("a", ""), ("b", "a"), ("c", "b")]);
        order.hold(&name("b"), ServerId(1));
        order.hold(&name("c"), ServerId(2));
        let ready = |order: &mut Order| order.on_standing(&name("a"), Standing::Ready);
        assert_eq!(ready(&mut order), [ServerId(1)]);
        assert_eq!(ready(&mut order), [], "nothing is new");
        order.let_go(&name("b"), ServerId(1));
        assert_eq!(order.remove(&name("a")), []);
        assert!(order.held.contains_key(&name("c")) && !order.held.contains_key(&name("b")));
    }

    #[test]
    fn companions_are_those_of_the_group_that_the_strategy_names() {
        let groups = [
            ("one", Strategy::OneForOne),
            ("all", Strategy::OneForAll),
            ("rest", Strategy::RestForOne),
        ];
        for (group, expected) in [("one", ""), ("all", "c a d"), ("rest", "a d")] {
            let groups = groups.map(|(group, strategy)| (group.to_owned(), strategy));
            let mut order = Order::new(groups.into());
            for server in ["c", "b", "x", "a", "d"] {
                let group = (server != "x").then(|| group.to_owned());
                order.place(&name(server), Vec::new(), group);
            }
            assert_eq!(order.companions(&name("b")), names(expected), "{group}");
            assert_eq!(order.companions(&name("x")), []);
        }
        assert!(order(&[]).refusal(&name("a"), &[], Some("no")).is_some());
    }
}
