//! Who waits for the outcomes of calls and commands.

use std::collections::HashMap;

use async_channel::TrySendError;
use futures::channel::oneshot;
use mcp_fleet_core::{CallError, CallId, CommandError, CommandId, RawJson, Reply};

use crate::{call::Progress, message::CallWaiter};

/// Everybody who waits for an outcome.
#[derive(Default)]
pub(crate) struct Waiters {
    calls: HashMap<CallId, CallWaiter>,
    commands: HashMap<CommandId, CommandWaiter>,
}

/// Where the outcome of a command goes.
pub(crate) struct CommandWaiter {
    pub(crate) outcome: oneshot::Sender<Result<Reply, CommandError>>,
    /// The server that is gone when the command succeeds.
    pub(crate) undeploys: Option<String>,
}

impl Waiters {
    pub(crate) fn await_call(&mut self, call: CallId, waiter: CallWaiter) {
        self.calls.insert(call, waiter);
    }

    pub(crate) fn await_command(&mut self, id: CommandId, waiter: CommandWaiter) {
        self.commands.insert(id, waiter);
    }

    /// Whether the call was taken and has not ended.
    pub(crate) fn has_call(&self, call: CallId) -> bool {
        self.calls.contains_key(&call)
    }

    pub(crate) fn end_call(&mut self, call: CallId, outcome: Result<RawJson, CallError>) {
        if let Some(waiter) = self.calls.remove(&call) {
            // A caller that is gone has cancelled already.
            waiter.outcome.send(outcome).ok();
        }
    }

    pub(crate) fn report_progress(&mut self, call: CallId, progress: Progress) {
        let Some(waiter) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(sender) = &waiter.progress else {
            return;
        };
        match sender.try_send(progress) {
            // A caller that does not keep up misses the reports in between.
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Closed(_)) => waiter.progress = None,
        }
    }

    /// Returns the names of the servers that are gone by this.
    pub(crate) fn end_command(
        &mut self,
        id: CommandId,
        outcome: Result<Reply, CommandError>,
    ) -> Vec<String> {
        let mut gone = Vec::new();
        if let Ok(Reply::Reloaded(report)) = &outcome {
            gone.extend(report.removed.iter().map(|name| name.as_str().to_owned()));
        }
        let Some(waiter) = self.commands.remove(&id) else {
            return gone;
        };
        gone.extend(waiter.undeploys.filter(|_| outcome.is_ok()));
        // Whoever gave the command may not care any more.
        waiter.outcome.send(outcome).ok();
        gone
    }
}
