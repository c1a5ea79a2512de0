//! What became of a reload.

use mcp_fleet_core::{CommandError, ReloadReport, ServerName};
use serde::Serialize;

/// Which servers a reload touched, and how; each list in the order of names.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(crate) struct Reloaded {
    /// New in the file, and started.
    pub(crate) added: Vec<ServerName>,
    /// No longer in the file, and stopped.
    pub(crate) removed: Vec<ServerName>,
    /// Another process took over.
    pub(crate) replaced: Vec<ServerName>,
    /// The same process with other limits.
    pub(crate) retuned: Vec<ServerName>,
    /// As they were.
    pub(crate) unchanged: Vec<ServerName>,
    /// Not as the file says.
    pub(crate) failed: Vec<Failed>,
    /// The file changed again meanwhile, and what was not settled by then is the next one's.
    pub(crate) overtaken: bool,
}

/// A server that is not as the file says.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) server: ServerName,
    pub(crate) why: String,
    /// An event told of it already.
    #[serde(skip)]
    pub(crate) is_told: bool,
}

impl Reloaded {
    /// What is worth telling of a report.
    pub(crate) fn of(report: ReloadReport, overtaken: bool) -> Self {
        let ReloadReport {
            added,
            removed,
            replaced,
            retuned,
            unchanged,
            failed,
        } = report;
        let failed = failed.into_iter();
        let failed = failed.filter(|(_, error)| !overtaken || !is_superseded(error));
        Self {
            added,
            removed,
            replaced,
            retuned,
            unchanged,
            failed: failed
                .map(|(server, error)| Failed::of(server, &error))
                .collect(),
            overtaken,
        }
    }

    /// `added a, b; replaced c; 3 unchanged`.
    pub(crate) fn summary(&self) -> String {
        let failed: Vec<&ServerName> = self.failed.iter().map(|failed| &failed.server).collect();
        let mut parts = Vec::new();
        for (word, names) in [
            ("added", self.added.iter().collect()),
            ("removed", self.removed.iter().collect()),
            ("replaced", self.replaced.iter().collect()),
            ("retuned", self.retuned.iter().collect()),
            ("failed", failed),
        ] {
            let names: Vec<&str> = names.into_iter().map(ServerName::as_str).collect();
            if !names.is_empty() {
                parts.push(format!("{word} {}", names.join(", ")));
            }
        }
        if parts.is_empty() && !self.overtaken {
            return "nothing changed".to_owned();
        }
        if self.overtaken {
            parts.push("overtaken by the next change".to_owned());
        }
        if !self.unchanged.is_empty() {
            parts.push(format!("{} unchanged", self.unchanged.len()));
        }
        parts.join("; ")
    }
}

impl Failed {
    fn of(server: ServerName, error: &CommandError) -> Self {
        let (why, is_told) = if let CommandError::Failed { failure, .. } = error {
            // The name stands beside it.
            (failure.to_string(), true)
        } else {
            (error.to_string(), false)
        };
        Self {
            server,
            why,
            is_told,
        }
    }
}

const fn is_superseded(error: &CommandError) -> bool {
    matches!(error, CommandError::Superseded { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_summed_up_in_one_line() {
        let names = |names: &[&str]| {
            let names = names.iter().map(|name| ServerName::new(name).unwrap());
            names.collect::<Vec<_>>()
        };
        let mut reloaded = Reloaded {
            unchanged: names(&["x", "y"]),
            ..Reloaded::default()
        };
        assert_eq!(reloaded.summary(), "nothing changed");
        reloaded.added = names(&["a", "b"]);
        reloaded.retuned = names(&["c"]);
        reloaded.failed = vec![Failed {
            server: ServerName::new("d").unwrap(),
            why: "cannot start".to_owned(),
            is_told: false,
        }];
        assert_eq!(
            reloaded.summary(),
            "added a, b; retuned c; failed d; 2 unchanged"
        );
        let overtaken = Reloaded {
            overtaken: true,
            ..Reloaded::default()
        };
        assert_eq!(overtaken.summary(), "overtaken by the next change");
    }
}
