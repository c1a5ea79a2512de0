//! Whose turn it is among the calls that wait for a server.

use std::collections::BTreeMap;

use mcp_fleet_core::{CallId, ClientId, Priority};

use super::ReferenceState;
use crate::violation::{Violation, promise};

const TURNS: &str = "clients of a class take turns";
const CLASSES: &str = "higher classes go first, but not for ever";
const ORDER: &str = "calls of a client go out in the order in which they came";

/// Calls that may go before a lower class in a row; one more where two classes wait so long.
const OVERTAKEN_MAX: u32 = 8;
const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// What is remembered of the lines of one server.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Several replicas had a queue each, with turns of its own.
    blurred: bool,
    moves: u64,
    /// When each client last joined its line, and when it was last served.
    turns: BTreeMap<(Priority, Option<ClientId>), Turns>,
    /// How many calls went before each class since its own turn.
    overtaken: BTreeMap<Priority, u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    joined: u64,
    served: u64,
}

impl ReferenceState {
    /// A call is about to stand in line.
    pub(super) fn joins_line(
        &mut self,
        server: &str,
        priority: Priority,
        client: Option<ClientId>,
    ) {
        let mut of_server = self.calls.of(server);
        let waits = of_server.any(|(_, call)| {
            call.stands_in_line() && call.priority == priority && call.client == client
        });
        drop(of_server);
        if let Some(book) = self.servers.get_mut(server)
            && !waits
        {
            book.lines.moves += 1;
            let moves = book.lines.moves;
            book.lines
                .turns
                .entry((priority, client))
                .or_default()
                .joined = moves;
        }
    }

    /// A call is sent that was parked until now.
    pub(super) fn judge_turn(&mut self, id: CallId) -> Result<(), Violation> {
        let sent = &self.calls.open[&id];
        let (server, again) = (sent.server.clone(), sent.rounds > 0);
        let (priority, client, ticket) = (sent.priority, sent.client, sent.ticket);
        let several = self
            .servers
            .get(&server)
            .is_some_and(|pool| pool.only().is_none());
        if several {
            if let Some(pool) = self.servers.get_mut(&server) {
                pool.lines.blur();
            }
            return Ok(());
        }
        if self
            .servers
            .get(&server)
            .is_some_and(|pool| pool.lines.is_blurred())
        {
            return Ok(());
        }
        let others = || self.calls.of(&server).filter(|(_, call)| call.is_parked());
        let back = others().find(|(_, call)| call.rounds > 0 && (!again || call.ticket < ticket));
        promise!(
            back.is_none(),
            "calls that come back go first",
            "{id:?} before {back:?}"
        );
        if again {
            return Ok(());
        }
        let Some(book) = self.servers.get(&server) else {
            return Ok(());
        };
        let turns_of = |client| book.lines.turns.get(&(priority, client)).copied();
        let own = turns_of(client).unwrap_or_default();
        for (other, call) in others().filter(|(_, call)| call.priority == priority) {
            if call.client == client {
                promise!(call.ticket > ticket, ORDER, "{id:?} before {other:?}");
            } else {
                let turns = turns_of(call.client).unwrap_or_default();
                promise!(
                    own.served <= turns.joined.max(turns.served),
                    TURNS,
                    "{id:?} before {other:?}: {own:?} {turns:?}"
                );
            }
        }
        let overtaken = |class| book.lines.overtaken.get(&class).copied().unwrap_or(0);
        let waits = |class| others().any(|(_, call)| call.priority == class);
        let higher = ALL
            .into_iter()
            .find(|class| *class < priority && waits(*class));
        promise!(
            higher.is_none() || overtaken(priority) >= OVERTAKEN_MAX,
            CLASSES,
            "{id:?} of {priority:?} before {higher:?}: {:?}",
            book.lines.overtaken
        );
        let lower: Vec<Priority> = ALL
            .into_iter()
            .filter(|class| *class > priority && waits(*class))
            .collect();
        for class in lower.iter().copied() {
            let bound = OVERTAKEN_MAX + u32::from(class == Priority::Low);
            promise!(
                overtaken(class) < bound,
                CLASSES,
                "{id:?} of {priority:?} goes before {class:?} once too often"
            );
        }
        if let Some(book) = self.servers.get_mut(&server) {
            book.lines.serve(priority, client, &lower);
        }
        Ok(())
    }

    /// A class without calls begins anew.
    pub(super) fn forget_empty_classes(&mut self) {
        for (name, book) in self.servers.iter_mut() {
            if book.lines.is_blurred() && book.only().is_some() && self.calls.of(name).count() == 0
            {
                book.lines = Lines::default();
            }
            book.lines.overtaken.retain(|class, _| {
                let mut of_server = self.calls.of(name);
                of_server.any(|(_, call)| call.stands_in_line() && call.priority == *class)
            });
        }
    }
}

impl Lines {
    /// Whose turn it is cannot be known any more while calls wait that were there before.
    pub(super) const fn blur(&mut self) {
        self.blurred = true;
    }

    const fn is_blurred(&self) -> bool {
        self.blurred
    }

    fn serve(&mut self, priority: Priority, client: Option<ClientId>, before: &[Priority]) {
        self.moves += 1;
        self.turns.entry((priority, client)).or_default().served = self.moves;
        self.overtaken.remove(&priority);
        for class in before {
            *self.overtaken.entry(*class).or_default() += 1;
        }
    }
}
