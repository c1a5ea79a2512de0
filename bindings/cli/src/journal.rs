//! The file that the journal goes to.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use mcp_fleet_driver::Journal;
use serde::{Deserialize, de::IgnoredAny};

use crate::exit::Problem;

/// Secrets are in it.
const MODE: u32 = 0o600;
/// How much of an existing file is read to see whether it is a journal. Its first line holds a
/// whole configuration.
const HEADER_MAX: u64 = 16 << 20;

/// The members of a journal's first line, whichever version wrote it.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "version")]
    _version: String,
    #[serde(rename = "config")]
    _config: serde_json::Map<String, serde_json::Value>,
    #[serde(rename = "seed")]
    _seed: IgnoredAny,
}

/// Begins a journal in a new or empty file, or in the place of an older journal.
///
/// # Errors
/// Where the file cannot be written, or holds something else, which stays as it is.
pub(crate) fn create(path: &Path) -> Result<Journal, Problem> {
    let unwritable = |error: io::Error| {
        let message = format!("cannot write the journal {}: {error}", path.display());
        Problem::usage(message)
    };
    // A pipe or a terminal has nothing to lose, and to read it would wait.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let file = OpenOptions::new().write(true).open(path);
        return file.map(Journal::new).map_err(unwritable);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.mode(MODE).open(path).map_err(unwritable)?;
    if !is_replaceable(&file).map_err(unwritable)? {
        let message = format!("{} exists and is no journal", path.display());
        return Err(Problem::usage(message).hint("name another file, or remove this one first"));
    }
    empty(&mut file).map_err(unwritable)?;
    Ok(Journal::new(file))
}

fn is_replaceable(file: &File) -> io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(file)
        .take(HEADER_MAX)
        .read_until(b'\n', &mut line)?;
    Ok(line.is_empty() || serde_json::from_slice::<Header>(&line).is_ok())
}

fn empty(file: &mut File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.set_len(0)?;
    file.rewind()
}
