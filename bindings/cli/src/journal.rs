//! The files that the journal goes to.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use mcp_fleet_core::journal::Redaction;
use mcp_fleet_driver::Journal;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    args::{Global, Redact},
    exit::Problem,
};

/// Commands of servers are in it, and more where nothing is left out.
const MODE: u32 = 0o600;
/// How much of an existing file is read to see whether it is a journal. Its first line holds a
/// whole configuration.
const HEADER_MAX: u64 = 16 << 20;

/// The members of a journal's first line, whichever version wrote it.
#[derive(Deserialize)]
#[serde(untagged)]
enum First {
    Header {
        #[serde(rename = "version")]
        _version: String,
        #[serde(rename = "config")]
        _config: serde_json::Map<String, serde_json::Value>,
        #[serde(rename = "seed")]
        _seed: IgnoredAny,
    },
    Mark {
        #[serde(rename = "mark")]
        _mark: serde_json::Map<String, serde_json::Value>,
    },
}

/// Begins the journal that the options ask for, in a new or empty file, or in the place of an older
/// journal.
///
/// # Errors
/// Where a file cannot be written, or holds something else, which stays as it is.
pub(crate) fn create(global: &Global, secrets: Vec<String>) -> Result<Option<Journal>, Problem> {
    let Some(path) = global.journal.as_deref() else {
        return Ok(None);
    };
    let redaction = match global.journal_redact {
        Redact::Nothing => Redaction::Nothing,
        Redact::Secrets => Redaction::Secrets,
        Redact::Payloads => Redaction::Payloads,
    };
    let journal = open(path)?
        .bytes_max(global.journal_max)
        .redaction(redaction)
        .secrets(secrets);
    Ok(Some(journal))
}

/// The newer part of what follows the beginning of a journal.
pub(crate) fn tail_of(path: &Path) -> PathBuf {
    with_suffix(path, ".tail")
}

/// The part before the newest.
pub(crate) fn older_tail_of(path: &Path) -> PathBuf {
    with_suffix(path, ".tail.1")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn open(path: &Path) -> Result<Journal, Problem> {
    // A pipe or a terminal has nothing to lose, and to read it would wait.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let file = OpenOptions::new().write(true).open(path);
        return file
            .map(Journal::new)
            .map_err(|error| unwritable(path, &error));
    }
    let (tail, older) = (tail_of(path), older_tail_of(path));
    // All are judged before the first is touched.
    let file = claim(path)?;
    for part in [&tail, &older] {
        if part.exists() {
            claim(part)?;
        }
    }
    for part in [&tail, &older] {
        if part.exists() {
            fs::remove_file(part).map_err(|error| unwritable(part, &error))?;
        }
    }
    let file = empty(file).map_err(|error| unwritable(path, &error))?;
    let next = move || {
        if tail.exists() {
            fs::rename(&tail, &older)?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&tail)
    };
    Ok(Journal::new(file).tail(next))
}

/// Opens a file that is new, empty or a part of a journal.
fn claim(path: &Path) -> Result<File, Problem> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options
        .mode(MODE)
        .open(path)
        .map_err(|error| unwritable(path, &error))?;
    if !is_replaceable(&file).map_err(|error| unwritable(path, &error))? {
        let message = format!("{} exists and is no journal", path.display());
        return Err(Problem::usage(message).hint("name another file, or remove this one first"));
    }
    Ok(file)
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Problem::usage(format!(
        "cannot write the journal {}: {error}",
        path.display()
    ))
}

fn is_replaceable(file: &File) -> io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(file)
        .take(HEADER_MAX)
        .read_until(b'\n', &mut line)?;
    Ok(line.is_empty() || serde_json::from_slice::<First>(&line).is_ok())
}

fn empty(mut file: File) -> io::Result<File> {
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.set_len(0)?;
    file.rewind()?;
    Ok(file)
}
