//! What lies between two configurations of one server.

use super::ServerConfig;

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
        || *retry != new.retry;
    if replaced {
        Change::Replace
    } else if retuned {
        Change::Retune
    } else {
        Change::Same
    }
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
}
