//! What the servers of a file say of each other: who comes after whom, and the groups.

use std::collections::{BTreeMap, BTreeSet};

use jsonc_parser::{
    ast::{Object, Value},
    common::Ranged,
};

use super::{
    FleetConfig, Scope, ServerConfig,
    keys::Slot,
    near::near_miss,
    path::{Path, shown},
    values::{Entry, Reader},
};
use crate::ids::ServerName;

/// One name in a list `after`.
struct Edge<'n> {
    section: &'static str,
    server: &'n str,
    index: usize,
    after: &'n str,
    offset: usize,
}

impl Edge<'_> {
    fn report(&self, report: impl FnOnce(usize, &Path<'_>)) {
        let (top, section) = (Path::Top, self.section);
        let path = top.key(section);
        let path = path.key(self.server);
        let path = path.key("after");
        report(self.offset, &path.element(self.index));
    }
}

impl Reader<'_> {
    /// Sees all servers together. What is wrong with one alone was reported before.
    pub(super) fn check_order(
        &mut self,
        entries: &[Entry<'_, '_>],
        config: &FleetConfig,
        is_used: &dyn Fn(&str) -> bool,
    ) {
        let sections = sections(entries);
        let mut edges = edges(&sections);
        edges.retain(|edge| is_used(edge.server));
        let names: BTreeSet<&str> = sections
            .iter()
            .flat_map(|(_, object)| object.properties.iter().map(|prop| prop.name.as_str()))
            .collect();
        let servers: BTreeMap<&str, &ServerConfig> = config
            .servers
            .iter()
            .map(|server| (server.name.as_str(), server))
            .collect();
        for edge in &edges {
            self.check_edge(edge, &names, &servers);
        }
        self.check_circles(&edges);
        self.check_groups(entries, &sections, is_used);
    }

    fn check_edge(
        &mut self,
        edge: &Edge<'_>,
        names: &BTreeSet<&str>,
        servers: &BTreeMap<&str, &ServerConfig>,
    ) {
        let after = shown(edge.after);
        if edge.after == edge.server {
            return edge.report(|offset, path| {
                let message = "a server cannot come after itself";
                self.report.error(offset, path, message, "remove it");
            });
        }
        if !names.contains(edge.after) {
            let message = format!("the file has no server `{after}`");
            let others = names.iter().copied().filter(|name| *name != edge.server);
            let remedy = match near_miss(edge.after, others) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write the name of a server of this file, or remove it".to_owned(),
            };
            return edge.report(|offset, path| self.report.error(offset, path, message, remedy));
        }
        let Some(other) = servers.get(edge.after) else {
            return;
        };
        let wanted = servers.get(edge.server).is_none_or(|server| server.enabled);
        let message = if !wanted {
            return;
        } else if !other.enabled {
            format!("`{after}` is disabled, and this server does not start before it is ready")
        } else if other.scope == Scope::PerClient {
            format!(
                "`{after}` is `per_client`: this server waits for the one that serves no client by name"
            )
        } else {
            return;
        };
        let remedy = format!("remove it, or change `{after}`");
        edge.report(|offset, path| self.report.warning(offset, path, message, remedy));
    }

    /// Reports each circle once, at a name that closes it.
    fn check_circles(&mut self, edges: &[Edge<'_>]) {
        let mut of_server: BTreeMap<&str, Vec<&Edge<'_>>> = BTreeMap::new();
        for edge in edges.iter().filter(|edge| edge.server != edge.after) {
            of_server.entry(edge.server).or_default().push(edge);
        }
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for first in edges {
            // The way from `first`: servers, and which of their names is looked at next.
            let mut way: Vec<(&str, usize)> = vec![(first.server, 0)];
            while let Some((server, next)) = way.pop() {
                let known = done.contains(server);
                let edge = of_server.get(server).and_then(|edges| edges.get(next));
                let Some(edge) = edge.filter(|_| !known) else {
                    done.insert(server);
                    continue;
                };
                way.push((server, next + 1));
                match way.iter().position(|(other, _)| *other == edge.after) {
                    None => way.push((edge.after, 0)),
                    Some(start) => {
                        let circle = way.iter().skip(start).map(|(server, _)| *server);
                        let circle: Vec<_> = circle.chain([edge.after]).map(shown).collect();
                        let message = format!(
                            "servers come after each other in a circle: {}",
                            circle.join(" -> ")
                        );
                        let remedy = "take one of them out of the `after` of the one before it";
                        edge.report(|offset, path| {
                            self.report.error(offset, path, message, remedy);
                        });
                    }
                }
            }
        }
    }

    fn check_groups(
        &mut self,
        entries: &[Entry<'_, '_>],
        sections: &[(&'static str, &Object<'_>)],
        is_used: &dyn Fn(&str) -> bool,
    ) {
        let fleet = entries
            .iter()
            .filter(|entry| matches!(entry.key.slot, Slot::FleetObject))
            .find_map(|entry| entry.value.as_object());
        let groups = fleet.and_then(|fleet| fleet.get_object("groups"));
        let declared = || groups.iter().flat_map(|groups| &groups.properties);
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for (section, object) in sections {
            for prop in &object.properties {
                let group = prop
                    .value
                    .as_object()
                    .and_then(|server| server.get("group"));
                let Some(Value::StringLit(group)) = group.map(|group| &group.value) else {
                    continue;
                };
                let name = group.value.as_ref();
                used.insert(name);
                let known = declared().any(|prop| prop.name.as_str() == name);
                if name.trim().is_empty() || known || !is_used(prop.name.as_str()) {
                    continue;
                }
                let top = Path::Top;
                let path = top.key(section);
                let path = path.key(prop.name.as_str());
                let message = format!("`fleet.groups` has no group `{}`", shown(name));
                let remedy = match near_miss(name, declared().map(|prop| prop.name.as_str())) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "add `\"groups\": {{ \"{}\": \"one_for_all\" }}` to `fleet`, with the \
                         strategy that you want",
                        shown(name)
                    ),
                };
                self.report
                    .error(group.start(), &path.key("group"), message, remedy);
            }
        }
        for prop in declared() {
            let name = prop.name.as_str();
            if !used.contains(name) {
                let top = Path::Top;
                let path = top.key("fleet");
                let path = path.key("groups");
                let message = "no server is of this group";
                let remedy = "add `\"group\"` to the servers that are, or remove it";
                self.report
                    .warning(prop.start(), &path.key(name), message, remedy);
            }
        }
    }
}

/// The objects that hold servers, by their keys.
fn sections<'n, 't>(entries: &[Entry<'n, 't>]) -> Vec<(&'static str, &'n Object<'t>)> {
    entries
        .iter()
        .filter(|entry| matches!(entry.key.slot, Slot::Servers))
        .filter_map(|entry| Some((entry.key.name, entry.value.as_object()?)))
        .collect()
}

/// The servers that are to be used, and all that they come after.
pub(super) fn used(entries: &[Entry<'_, '_>], is_used: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    let sections = sections(entries);
    let edges = edges(&sections);
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut wanted: Vec<&str> = sections
        .iter()
        .flat_map(|(_, object)| object.properties.iter().map(|prop| prop.name.as_str()))
        .filter(|name| is_used(name))
        .collect();
    while let Some(name) = wanted.pop() {
        if used.insert(name.to_owned()) {
            let after = edges.iter().filter(|edge| edge.server == name);
            wanted.extend(after.map(|edge| edge.after));
        }
    }
    used
}

fn edges<'n>(sections: &[(&'static str, &'n Object<'_>)]) -> Vec<Edge<'n>> {
    let mut edges = Vec::new();
    for (section, object) in sections {
        for prop in &object.properties {
            let after = prop
                .value
                .as_object()
                .and_then(|server| server.get_array("after"));
            for (index, element) in after
                .iter()
                .flat_map(|list| list.elements.iter().enumerate())
            {
                // What can be no name was reported where it was read.
                if let Value::StringLit(name) = element
                    && ServerName::new(&name.value).is_ok()
                {
                    edges.push(Edge {
                        section,
                        server: prop.name.as_str(),
                        index,
                        after: name.value.as_ref(),
                        offset: name.start(),
                    });
                }
            }
        }
    }
    edges
}
