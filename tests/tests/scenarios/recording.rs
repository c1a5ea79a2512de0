//! The journal of a scenario: what was done, and that it would be done again.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use mcp_fleet_core::{
    Effect, Fleet, LinkId, ServerName,
    journal::{Entry, Header, Line, replay},
};
use serde_json::value::RawValue;

/// What the driver wrote as its journal.
#[derive(Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<u8>>>);

impl Write for Recording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Recording {
    /// Tells a new fleet everything again, and compares what it wants done byte for byte. Returns
    /// how many turns there were.
    pub(crate) fn replay(&self) -> usize {
        let text = self.text();
        let mut lines = text.lines();
        let header: Header = serde_json::from_str(lines.next().unwrap()).unwrap();
        let mut fleet = Fleet::new(header.config, header.seed);
        let mut turns = 0;
        for line in lines {
            let Line::Entry(entry) = Line::parse(line).unwrap() else {
                panic!("turns are missing: {line}");
            };
            let (effects, _) = replay(&mut fleet, &entry);
            let again = serde_json::to_string(&effects).unwrap();
            assert_eq!(again, recorded_effects(line), "turn {turns}: {line}");
            turns += 1;
        }
        assert!(fleet.is_shut_down(), "the journal ends before the fleet");
        turns
    }

    /// The effects that are no frames, by server: what became of its links.
    pub(crate) fn work(&self) -> BTreeMap<String, String> {
        let text = self.text();
        let mut names: BTreeMap<LinkId, ServerName> = BTreeMap::new();
        let mut work: BTreeMap<String, String> = BTreeMap::new();
        for line in text.lines().skip(1) {
            // The last line of a fleet that runs on may be half of one.
            let Ok(entry) = serde_json::from_str::<Entry>(line) else {
                break;
            };
            for effect in entry.effects {
                let word = match &effect {
                    Effect::Open { link, server, .. } => {
                        names.insert(*link, server.clone());
                        "open"
                    }
                    Effect::Send { .. } => continue,
                    Effect::CloseInput { .. } => "close input",
                    Effect::Terminate { .. } => "terminate",
                    Effect::Kill { .. } => "kill",
                    Effect::Abandon { .. } => "abandon",
                };
                let link = effect.link();
                let lines = work.entry(names[&link].to_string()).or_default();
                lines.push_str(&format!("#{} {word}\n", link.incarnation));
            }
        }
        work
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The effects of a line as they stand there.
fn recorded_effects(line: &str) -> String {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
    members
        .get("effects")
        .map_or_else(|| "[]".to_owned(), |effects| effects.get().to_owned())
}
