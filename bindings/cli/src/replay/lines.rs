//! The lines of a journal's file.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use mcp_fleet_core::journal::{Entry, Header, Line, Mark};

use crate::exit::Problem;

/// No line of a journal is longer: an entry holds what one read or one call brought.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// A file of which the first line is read.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    /// The number of the line that was read last.
    number: u64,
    /// The file ends within a line.
    pub(super) is_cut: bool,
}

/// How a part of a journal begins.
#[derive(Debug)]
pub(super) enum Beginning {
    /// With the fleet.
    Header(Box<Header>),
    /// With the turn of this number.
    Continues(u64),
}

/// A line after the first.
#[derive(Debug)]
pub(super) enum Next {
    Entry(Box<Entry>),
    Mark(Mark),
}

impl Lines {
    /// Opens a file and reads how it begins.
    ///
    /// # Errors
    /// Where it cannot be read or is no journal.
    pub(super) fn open(path: &Path) -> Result<(Self, Beginning), Problem> {
        let file = File::open(path).map_err(|error| {
            let problem = Problem::usage(format!("cannot read {}: {error}", path.display()));
            problem.hint("give the path of a file that `--journal` wrote")
        })?;
        let mut lines = Self {
            path: path.to_owned(),
            file: BufReader::new(file),
            number: 0,
            is_cut: false,
        };
        let none = "record one with `mcp-fleet --journal FILE`";
        let Some(text) = lines.text()? else {
            let what = if lines.is_cut {
                "is cut off in its first line"
            } else {
                "is empty"
            };
            let message = format!("{} {what}", path.display());
            return Err(Problem::usage(message).hint(none));
        };
        let beginning = match Line::parse(&text) {
            Ok(Line::Header(header)) => Beginning::Header(header),
            Ok(Line::Mark(Mark::Continues { turn })) => Beginning::Continues(turn),
            Ok(Line::Mark(Mark::Full { .. } | Mark::Gap { .. }) | Line::Entry(_)) => {
                let message = "the file does not begin with a header: its beginning is missing";
                return Err(lines.wrong(message).hint("give the whole file"));
            }
            Err(error) => return Err(lines.unreadable_header(&text, &error)),
        };
        Ok((lines, beginning))
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Where the file cannot be read, or a line is none of a journal.
    pub(super) fn next(&mut self) -> Result<Option<Next>, Problem> {
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        match Line::parse(&text) {
            Ok(Line::Entry(entry)) => Ok(Some(Next::Entry(entry))),
            Ok(Line::Mark(mark)) => Ok(Some(Next::Mark(mark))),
            Ok(Line::Header(_)) => Err(self
                .wrong("a second header: the file holds more than one journal")
                .hint("split the file before this line")),
            Err(error) => Err(self.wrong(format!("this is no entry of a journal: {error}")).hint(
                "was the file changed, or written by another version? `--until` the step before \
                 shows what is readable",
            )),
        }
    }

    /// A whole line as text.
    fn text(&mut self) -> Result<Option<String>, Problem> {
        let mut line = Vec::new();
        let read = (&mut self.file)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line);
        self.number += 1;
        match read {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(self.wrong(error)),
        }
        if line.pop() != Some(b'\n') {
            self.is_cut = true;
            return Ok(None);
        }
        match String::from_utf8(line) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self
                .wrong("this is no text")
                .hint("give the path of a file that `--journal` wrote")),
        }
    }

    fn wrong(&self, message: impl std::fmt::Display) -> Problem {
        Problem::usage(format!(
            "{}:{}: {message}",
            self.path.display(),
            self.number
        ))
    }

    fn unreadable_header(&self, text: &str, error: &serde_json::Error) -> Problem {
        let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
        let version = value
            .as_ref()
            .and_then(|value| value.get("version"))
            .and_then(serde_json::Value::as_str);
        let own = env!("CARGO_PKG_VERSION");
        match version {
            Some(version) if version != own => self
                .wrong(format!(
                    "this header of version {version} cannot be read: {error}"
                ))
                .hint(format!("replay it with mcp-fleet {version}; this is {own}")),
            Some(_) | None => self
                .wrong(format!("this is no header of a journal: {error}"))
                .hint("give the path of a file that `--journal` wrote"),
        }
    }
}
