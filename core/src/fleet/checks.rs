//! Health checks over several servers, gathered into one answer.

use std::collections::BTreeMap;

use crate::{event::Health, ids::CommandId};

#[derive(Debug, Default)]
pub(super) struct Checks(BTreeMap<CommandId, Check>);

#[derive(Debug)]
struct Check {
    missing: usize,
    found: Vec<Health>,
}

impl Checks {
    pub(super) fn begin(&mut self, command: CommandId, servers: usize) {
        self.0.insert(
            command,
            Check {
                missing: servers,
                found: Vec::with_capacity(servers),
            },
        );
    }

    /// Adds what was found; all of it, in order of the names, once nothing is missing.
    pub(super) fn take(&mut self, command: CommandId, health: Health) -> Option<Vec<Health>> {
        let check = self.0.get_mut(&command)?;
        check.found.push(health);
        check.missing = check.missing.saturating_sub(1);
        if check.missing > 0 {
            return None;
        }
        let mut found = self.0.remove(&command)?.found;
        found.sort_by(|a, b| (&a.server, a.replica).cmp(&(&b.server, b.replica)));
        Some(found)
    }
}
