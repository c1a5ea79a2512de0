//! The lists of a server: read page by page, read again when they change.

use std::{collections::BTreeSet, time::Duration};

use super::Fault;
use crate::{
    config::ServerLimits,
    event::CatalogKind,
    time::Time,
    wire::{
        RawJson,
        bodies::{self, ServerCapabilities},
    },
};

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
/// Shortest pause before a list that cannot be read is tried again.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest pause between attempts to read a list that cannot be read.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// The tools, resources, templates and prompts of one server. It outlives incarnations, so that a
/// restart does not empty the lists.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    lists: [List; 4],
}

#[derive(Debug, Default)]
struct List {
    entries: Vec<RawJson>,
    state: ListState,
    step: Step,
    /// Attempts that failed since the list was last read.
    failures: u32,
    /// Readings that came to an end, good or bad.
    readings: u64,
    /// The entries may not be what the server has: it said so, or is another one.
    doubtful: bool,
}

/// How good the entries of a list are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum ListState {
    /// Never read.
    #[default]
    Unread,
    /// The server does not offer it.
    Absent,
    /// As the server last gave it.
    Read,
    /// It could not be read; entries are of an earlier reading, if any.
    Degraded(String),
}

/// What is being done about a list.
#[derive(Debug, Default)]
enum Step {
    #[default]
    Idle,
    /// To be read from the start at this time.
    Due(Time),
    /// The page at the cursor is to be asked for.
    Ask(Reading, Option<String>),
    /// A page was asked for.
    Asked(Reading),
}

#[derive(Debug, Default)]
struct Reading {
    fresh: Vec<RawJson>,
    cursors: BTreeSet<String>,
    pages: usize,
    /// Length of all entries and cursors.
    bytes: usize,
    /// The list changed meanwhile: one more reading is due after this one.
    again: bool,
}

impl Catalog {
    /// A session is open: read everything it offers.
    pub(crate) fn begin(&mut self, capabilities: ServerCapabilities) {
        for kind in CatalogKind::VALUES {
            let list = self.list_mut(kind);
            list.failures = 0;
            if kind.is_offered(capabilities) {
                list.step = Step::Ask(Reading::default(), None);
            } else {
                list.step = Step::Idle;
                list.state = ListState::Absent;
                list.entries.clear();
            }
        }
    }

    /// The session takes no new requests: nothing is under way, and nothing will be due.
    pub(crate) fn abandon(&mut self) {
        for list in &mut self.lists {
            list.doubtful |= !matches!(list.step, Step::Idle);
            list.step = Step::Idle;
        }
    }

    /// The entries say nothing of the server that comes.
    pub(crate) fn distrust(&mut self) {
        for list in &mut self.lists {
            list.doubtful = true;
        }
    }

    /// Those of `names` that are tools which the server says may be called twice, where its list
    /// is read and did not change since.
    pub(crate) fn repeatable_tools(&self, names: &BTreeSet<&str>) -> BTreeSet<String> {
        let list = self.list(CatalogKind::Tools);
        if names.is_empty() || list.doubtful || list.state != ListState::Read {
            return BTreeSet::new();
        }
        let mut repeatable = BTreeSet::new();
        let mut others = BTreeSet::new();
        for hints in list.entries.iter().filter_map(bodies::tool_hints) {
            if !names.contains(hints.name.as_ref()) {
                continue;
            }
            let those = if hints.repeatable {
                &mut repeatable
            } else {
                &mut others
            };
            those.insert(hints.name.into_owned());
        }
        // Of two entries with one name nobody knows which it is that runs.
        repeatable.retain(|name| !others.contains(name));
        repeatable
    }

    /// Lets the lists that are due by `now` be asked for.
    pub(crate) fn wake(&mut self, now: Time) {
        for list in &mut self.lists {
            if matches!(list.step, Step::Due(at) if at <= now) {
                list.step = Step::Ask(Reading::default(), None);
            }
        }
    }

    /// The next page to ask for, if there is one. It counts as asked.
    pub(crate) fn next_page(&mut self) -> Option<(CatalogKind, Option<String>)> {
        for kind in CatalogKind::VALUES {
            let list = self.list_mut(kind);
            match std::mem::take(&mut list.step) {
                Step::Ask(reading, cursor) => {
                    list.step = Step::Asked(reading);
                    return Some((kind, cursor));
                }
                other @ (Step::Idle | Step::Due(_) | Step::Asked(_)) => list.step = other,
            }
        }
        None
    }

    /// Whether a page waits to be asked for.
    pub(crate) fn wants_page(&self) -> bool {
        let wants = |list: &List| matches!(list.step, Step::Ask(..));
        self.lists.iter().any(wants)
    }

    /// Gives up the readings whose next page could not be asked for. They are tried again later.
    pub(crate) fn give_up_asking(&mut self, now: Time, problem: &str, limits: &ServerLimits) {
        for kind in CatalogKind::VALUES {
            let list = self.list_mut(kind);
            if matches!(list.step, Step::Ask(..)) {
                list.fail(now, kind, problem, limits);
            }
        }
    }

    /// Takes an answer. `Some(entries)` where the list is read to its end and differs from before,
    /// or was never read before.
    pub(crate) fn on_page(
        &mut self,
        now: Time,
        kind: CatalogKind,
        outcome: Result<RawJson, Fault>,
        limits: &ServerLimits,
    ) -> Option<usize> {
        let list = self.list_mut(kind);
        let Step::Asked(mut reading) = std::mem::take(&mut list.step) else {
            return None;
        };
        let page = match outcome {
            Ok(result) => bodies::page(kind, &result),
            Err(Fault::Rpc(error))
                if kind == CatalogKind::Templates
                    && [METHOD_NOT_FOUND, INVALID_PARAMS].contains(&error.code) =>
            {
                // Templates have no capability of their own: a refusal is how one learns.
                list.readings += 1;
                list.state = ListState::Absent;
                list.entries.clear();
                return None;
            }
            Err(Fault::Rpc(error)) => Err(error.to_string()),
            Err(Fault::Protocol(message)) => Err(message),
        };
        match page.and_then(|page| reading.take(page, limits)) {
            Ok(Some(cursor)) => {
                list.step = Step::Ask(reading, Some(cursor));
                None
            }
            Ok(None) => {
                let changed = list.state != ListState::Read || list.entries != reading.fresh;
                list.entries = reading.fresh;
                list.state = ListState::Read;
                list.failures = 0;
                list.readings += 1;
                list.doubtful = false;
                if reading.again {
                    list.step = Step::Due(now.after(limits.refresh_interval));
                }
                changed.then_some(list.entries.len())
            }
            Err(problem) => {
                list.fail(now, kind, &problem, limits);
                None
            }
        }
    }

    /// The server says the list changed. Many such words make one reading an interval.
    pub(crate) fn on_changed(&mut self, now: Time, kind: CatalogKind, limits: &ServerLimits) {
        let list = self.list_mut(kind);
        match &mut list.step {
            Step::Idle if list.state != ListState::Absent => {
                list.step = Step::Due(now.after(limits.refresh_interval));
            }
            Step::Asked(reading) | Step::Ask(reading, _) => reading.again = true,
            Step::Idle | Step::Due(_) => {}
        }
    }

    /// When a list is next to be read.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let due = |list: &List| match list.step {
            Step::Due(at) => Some(at),
            Step::Idle | Step::Ask(..) | Step::Asked(_) => None,
        };
        self.lists.iter().filter_map(due).min()
    }

    /// After how many readings in all the list is newer than this moment. A list that never stops
    /// changing is never settled, and whoever asks for it must not wait for ever.
    pub(crate) fn readings_awaited(&self, kind: CatalogKind) -> u64 {
        let list = self.list(kind);
        let stale = match &list.step {
            Step::Ask(reading, _) | Step::Asked(reading) => reading.again,
            Step::Idle | Step::Due(_) => false,
        };
        list.readings + 1 + u64::from(stale)
    }

    pub(crate) fn readings(&self, kind: CatalogKind) -> u64 {
        self.list(kind).readings
    }

    /// Whether nothing is being read, nor about to be because the list changed.
    pub(crate) fn is_settled(&self, kind: CatalogKind) -> bool {
        let list = self.list(kind);
        match list.step {
            Step::Idle => true,
            Step::Due(_) => matches!(list.state, ListState::Degraded(_)),
            Step::Ask(..) | Step::Asked(_) => false,
        }
    }

    pub(crate) fn entries(&self, kind: CatalogKind) -> &[RawJson] {
        &self.list(kind).entries
    }

    pub(crate) fn state(&self, kind: CatalogKind) -> &ListState {
        &self.list(kind).state
    }

    /// How many entries a list has, where it was read.
    pub(crate) fn count(&self, kind: CatalogKind) -> Option<usize> {
        let list = self.list(kind);
        match list.state {
            ListState::Unread | ListState::Absent => None,
            ListState::Read | ListState::Degraded(_) => Some(list.entries.len()),
        }
    }

    /// Why a list is incomplete, if one is.
    pub(crate) fn degraded(&self) -> Option<&str> {
        self.lists.iter().find_map(|list| match &list.state {
            ListState::Degraded(problem) => Some(problem.as_str()),
            ListState::Unread | ListState::Absent | ListState::Read => None,
        })
    }

    const fn list(&self, kind: CatalogKind) -> &List {
        let [tools, resources, templates, prompts] = &self.lists;
        match kind {
            CatalogKind::Tools => tools,
            CatalogKind::Resources => resources,
            CatalogKind::Templates => templates,
            CatalogKind::Prompts => prompts,
        }
    }

    const fn list_mut(&mut self, kind: CatalogKind) -> &mut List {
        let [tools, resources, templates, prompts] = &mut self.lists;
        match kind {
            CatalogKind::Tools => tools,
            CatalogKind::Resources => resources,
            CatalogKind::Templates => templates,
            CatalogKind::Prompts => prompts,
        }
    }
}

impl List {
    /// A reading came to nothing: the next is due after a pause that grows.
    fn fail(&mut self, now: Time, kind: CatalogKind, problem: &str, limits: &ServerLimits) {
        let interval = limits.refresh_interval.max(RETRY_MIN);
        let pause = interval.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        self.readings += 1;
        self.state = ListState::Degraded(format!("{}: {problem}", kind.method()));
        self.step = Step::Due(now.after(pause.min(RETRY_MAX.max(interval))));
    }
}

impl Reading {
    /// Adds a page. `Some` is the cursor of the next; its presence alone decides, an empty string
    /// is one too (MCP 2026-07-28, server/utilities/pagination).
    fn take(
        &mut self,
        page: bodies::Page,
        limits: &ServerLimits,
    ) -> Result<Option<String>, String> {
        self.pages += 1;
        let entries = page.entries.iter().map(|entry| entry.as_str().len());
        let cursor = page.next_cursor.as_ref().map_or(0, String::len);
        self.bytes += entries.sum::<usize>() + cursor;
        if self.bytes > limits.line_bytes {
            return Err(format!("more than {} bytes", limits.line_bytes));
        }
        self.fresh.extend(page.entries);
        if self.fresh.len() > limits.entries {
            return Err(format!("more than {} entries", limits.entries));
        }
        let Some(cursor) = page.next_cursor else {
            return Ok(None);
        };
        if self.pages >= limits.pages {
            return Err(format!("more than {} pages", limits.pages));
        }
        if !self.cursors.insert(cursor.clone()) {
            return Err(format!(
                "the cursor {cursor:?} came twice: the pages go round in a circle"
            ));
        }
        Ok(Some(cursor))
    }
}
