//! The calls of each client.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    ids::{CallId, ClientId},
    planted::{Bug, planted},
};

/// Calls that were accepted and have not ended, by client. Calls without a client are those of one
/// client.
#[derive(Debug, Default)]
pub(super) struct Clients {
    calls: BTreeMap<Option<ClientId>, BTreeSet<CallId>>,
    /// Looked up, never walked.
    client_of: HashMap<CallId, Option<ClientId>>,
}

impl Clients {
    pub(super) fn begin(&mut self, call: CallId, client: Option<ClientId>) {
        self.client_of.insert(call, client);
        self.calls.entry(client).or_default().insert(call);
    }

    pub(super) fn end(&mut self, call: CallId) {
        if planted(Bug::ClientSlotLeak) && call.0.is_multiple_of(8) {
            return;
        }
        let Some(client) = self.client_of.remove(&call) else {
            return;
        };
        if let Some(calls) = self.calls.get_mut(&client) {
            calls.remove(&call);
            if calls.is_empty() {
                self.calls.remove(&client);
            }
        }
    }

    /// How many calls of the client have not ended.
    pub(super) fn count(&self, client: Option<ClientId>) -> usize {
        self.calls.get(&client).map_or(0, BTreeSet::len)
    }

    /// The calls of the client, in order of their ids.
    pub(super) fn calls(&self, client: ClientId) -> Vec<CallId> {
        let calls = self.calls.get(&Some(client));
        calls.into_iter().flatten().copied().collect()
    }
}
