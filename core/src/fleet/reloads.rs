//! Reloads under way, each gathered into one answer.

use std::collections::BTreeMap;

use crate::{
    config::FleetChange,
    error::CommandError,
    event::ReloadReport,
    ids::{CommandId, ServerName},
};

#[derive(Debug, Default)]
pub(super) struct Reloads(BTreeMap<CommandId, Reload>);

#[derive(Debug)]
struct Reload {
    changes: BTreeMap<ServerName, FleetChange>,
    /// Changes that are over, and why they came to nothing, where they did.
    ended: BTreeMap<ServerName, Option<CommandError>>,
}

impl Reloads {
    pub(super) fn begin(&mut self, id: CommandId, changes: BTreeMap<ServerName, FleetChange>) {
        let ended = BTreeMap::new();
        self.0.insert(id, Reload { changes, ended });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A change is over. The report, once all are.
    pub(super) fn take(
        &mut self,
        id: CommandId,
        name: &ServerName,
        error: Option<CommandError>,
    ) -> Option<ReloadReport> {
        self.0.get_mut(&id)?.ended.insert(name.clone(), error);
        self.report(id)
    }

    /// What became of a reload, once all its changes are over.
    pub(super) fn report(&mut self, id: CommandId) -> Option<ReloadReport> {
        let reload = self.0.get(&id)?;
        if reload.ended.len() < reload.changes.len() {
            return None;
        }
        let Reload { changes, mut ended } = self.0.remove(&id)?;
        let mut report = ReloadReport::default();
        for (name, change) in changes {
            if let Some(error) = ended.remove(&name).flatten() {
                report.failed.push((name, error));
                continue;
            }
            match change {
                FleetChange::Add => report.added.push(name),
                FleetChange::Remove => report.removed.push(name),
                FleetChange::Replace => report.replaced.push(name),
                FleetChange::Retune => report.retuned.push(name),
                FleetChange::Same => report.unchanged.push(name),
            }
        }
        Some(report)
    }
}
