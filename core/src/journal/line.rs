//! The lines of a journal.

use serde::{Deserialize, Serialize, de::Error as _};

use super::{Entry, Header};

/// One line of a journal.
#[derive(Clone, PartialEq, Debug)]
pub enum Line {
    /// The first line of what can be replayed.
    Header(Box<Header>),
    /// One turn.
    Entry(Box<Entry>),
    /// Turns are missing.
    Mark(Mark),
}

/// Where and why a journal has not every turn.
///
/// What follows cannot be replayed, because the machine has no memory of what is missing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The last line of a journal that reached its limit.
    Full {
        /// The limit of this part of the journal.
        bytes: u64,
        /// Whether the newest turns go on elsewhere.
        tail: bool,
    },
    /// So many turns were not recorded here, because whoever writes the journal was too far behind,
    /// or they would have held a secret.
    Gap {
        /// How many turns are missing.
        turns: u64,
    },
    /// The first line of a part that does not begin with the fleet.
    Continues {
        /// The number of the turn on the next line; the first turn of a fleet is 1.
        turn: u64,
    },
}

#[derive(Deserialize)]
struct Marked {
    mark: Mark,
}

impl Line {
    /// Reads one line.
    ///
    /// # Errors
    /// Where it is none of a journal, or one of a version that had other values.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        // Whole lines are read once, and marks are short.
        if text.starts_with("{\"at\":") {
            return serde_json::from_str(text).map(Self::Entry);
        }
        if !text.trim_start().starts_with('{') {
            return Err(serde_json::Error::custom("it is no JSON object"));
        }
        if let Ok(Marked { mark }) = serde_json::from_str(text) {
            return Ok(Self::Mark(mark));
        }
        match serde_json::from_str(text) {
            Ok(header) => Ok(Self::Header(header)),
            Err(error) => serde_json::from_str(text)
                .map(Self::Entry)
                .map_err(|_| error),
        }
    }
}

impl Mark {
    /// The mark as a line, without its line break.
    pub fn line(&self) -> String {
        #[derive(Serialize)]
        struct Marked<'a> {
            mark: &'a Mark,
        }
        // Numbers and flags can always be written.
        serde_json::to_string(&Marked { mark: self }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::FleetConfig, time::Time};

    #[test]
    fn lines_are_told_apart() {
        let header = Header::new(FleetConfig::default(), 1);
        let entry = Entry {
            at: Time::from_millis(3),
            input: None,
            effects: Vec::new(),
        };
        for (text, line) in [
            (
                serde_json::to_string(&header).unwrap(),
                Line::Header(Box::new(header)),
            ),
            (
                serde_json::to_string(&entry).unwrap(),
                Line::Entry(Box::new(entry.clone())),
            ),
            (
                "{ \"at\": 3000000 }".to_owned(),
                Line::Entry(Box::new(entry)),
            ),
            (
                Mark::Gap { turns: 2 }.line(),
                Line::Mark(Mark::Gap { turns: 2 }),
            ),
        ] {
            assert_eq!(Line::parse(&text).unwrap(), line, "{text}");
        }
        for wrong in ["", "{}", "{\"at\":", "[1]", "{\"mark\":{\"other\":1}}"] {
            assert!(Line::parse(wrong).is_err(), "{wrong}");
        }
    }
}
