//! What the server saw, for the test to read.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use serde_json::{Value, json};

/// A file of JSON values, one a line; nothing where none was asked for.
pub(crate) struct Record(Option<File>);

impl Record {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let append = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(path.map(append).transpose()?))
    }

    /// Adds a received line: as it stands where it is JSON, as a string otherwise.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(line);
        match serde_json::from_str::<Value>(&text) {
            Ok(_) => self.add(text.trim_end()),
            Err(_) => self.note(&text),
        }
    }

    /// Adds a word of the server's own.
    pub(crate) fn note(&mut self, word: &str) -> io::Result<()> {
        self.add(&json!(word).to_string())
    }

    /// One write a line, so that a reader never sees half of one.
    fn add(&mut self, text: &str) -> io::Result<()> {
        match &mut self.0 {
            Some(file) => file.write_all(format!("{text}\n").as_bytes()),
            None => Ok(()),
        }
    }
}
