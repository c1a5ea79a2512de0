//! What lies between two configurations of one server.

use std::collections::BTreeMap;

use super::{FleetConfig, ServerConfig};
use crate::ids::ServerName;

/// What a new configuration of a server asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing: process and session stay.
    Same,
    /// Other limits, policies or places in the order, and no more: process and session stay, and
    /// what is new takes effect.
    Retune,
    /// Another server in effect: a new incarnation has to take over.
    Replace,
}

/// Compares two configurations of one server.
pub fn diff(old: &ServerConfig, new: &ServerConfig) -> Change {
    // Taken apart whole, so that a new field cannot be forgotten.
    let ServerConfig {
        name,
        kind,
        enabled,
        restart,
        start,
        scope,
        after,
        group,
        probes,
        retry,
        replace,
        limits,
    } = old;
    let replaced = *name != new.name
        || *kind != new.kind
        || *enabled != new.enabled
        || *scope != new.scope
        || *start != new.start;
    let retuned = *limits != new.limits
        || *restart != new.restart
        || *after != new.after
        || *group != new.group
        || *probes != new.probes
        || *retry != new.retry
        || *replace != new.replace;
    if replaced {
        Change::Replace
    } else if retuned {
        Change::Retune
    } else {
        Change::Same
    }
}

/// What a new configuration of a fleet asks for, for one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FleetChange {
    /// It is new.
    Add,
    /// It is in the configuration no more.
    Remove,
    /// See [`Change::Replace`].
    Replace,
    /// See [`Change::Retune`].
    Retune,
    /// See [`Change::Same`].
    Same,
}

/// Compares the servers of two configurations of a fleet, by their names as they are spelled: a
/// name that changes its case is one server less and one more. The order of the servers, and what
/// concerns the fleet as a whole, is not compared.
pub fn diff_fleets(old: &FleetConfig, new: &FleetConfig) -> BTreeMap<ServerName, FleetChange> {
    let of = |config: &FleetConfig, name: &ServerName| {
        let mut servers = config.servers.iter();
        servers.find(|server| server.name == *name).cloned()
    };
    let names = old.servers.iter().chain(&new.servers);
    let changes = names.map(|server| {
        let name = &server.name;
        let change = match (of(old, name), of(new, name)) {
            (Some(old), Some(new)) => match diff(&old, &new) {
                Change::Same => FleetChange::Same,
                Change::Retune => FleetChange::Retune,
                Change::Replace => FleetChange::Replace,
            },
            (Some(_), None) => FleetChange::Remove,
            (None, _) => FleetChange::Add,
        };
        (name.clone(), change)
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::{Kind, Stdio},
        ids::ServerName,
    };

    #[test]
    fn only_limits_can_change_under_a_running_server() {
        let kind = |command: &str| {
            Kind::Stdio(Stdio {
                command: command.to_owned(),
                ..Stdio::default()
            })
        };
        let old = ServerConfig::new(ServerName::new("files").unwrap(), kind("a"));
        assert_eq!(diff(&old, &old.clone()), Change::Same);
        let mut retuned = old.clone();
        retuned.limits.timeout = Duration::from_secs(1);
        assert_eq!(diff(&old, &retuned), Change::Retune);
        let other = ServerConfig {
            kind: kind("b"),
            ..old.clone()
        };
        assert_eq!(diff(&old, &other), Change::Replace);
        let stopped = ServerConfig {
            enabled: false,
            ..retuned
        };
        assert_eq!(diff(&old, &stopped), Change::Replace);
        let renamed = ServerConfig {
            name: ServerName::new("Files").unwrap(),
            ..old.clone()
        };
        assert_eq!(diff(&old, &renamed), Change::Replace);
    }

    #[test]
    fn each_server_of_two_fleets_is_compared_with_its_namesake() {
        let server =
            |name: &str| ServerConfig::new(ServerName::new(name).unwrap(), Kind::InProcess);
        let retuned = |name: &str| {
            let mut server = server(name);
            server.limits.queue = 1;
            server
        };
        let replaced = |name: &str| ServerConfig {
            kind: Kind::Attached,
            ..server(name)
        };
        let fleet = |servers: Vec<ServerConfig>| FleetConfig {
            servers,
            ..FleetConfig::default()
        };
        let old = fleet(vec![server("a"), server("b"), server("c"), server("d")]);
        let new = fleet(vec![server("e"), replaced("c"), retuned("b"), server("a")]);
        let changes = diff_fleets(&old, &new).into_values();
        let want = [
            FleetChange::Same,
            FleetChange::Retune,
            FleetChange::Replace,
            FleetChange::Remove,
            FleetChange::Add,
        ];
        assert!(changes.eq(want));
    }
}
