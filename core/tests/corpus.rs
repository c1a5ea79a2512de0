//! Replays the corpora of the fuzz targets without a fuzzer.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "this test reads files, and names the one that fails"
)]

use std::{fs, io, path::Path};

use mcp_fleet_core::fuzzing;

#[test]
fn corpus_of_lines_holds() -> io::Result<()> {
    replay("lines", 20, fuzzing::lines)
}

#[test]
fn corpus_of_messages_holds() -> io::Result<()> {
    replay("message", 50, fuzzing::message)
}

#[test]
fn corpus_of_params_holds() -> io::Result<()> {
    replay("params", 20, fuzzing::params)
}

#[test]
fn corpus_of_configurations_holds() -> io::Result<()> {
    replay("config", 25, fuzzing::config)
}

/// Runs `body` on every file of the target's corpus, of which there are at least `files_min`.
fn replay(target: &str, files_min: usize, body: fn(&[u8])) -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut files = Vec::new();
    for entry in fs::read_dir(&corpus)? {
        files.push(entry?.path());
    }
    files.sort();
    for file in &files {
        eprintln!("{}", file.display());
        body(&fs::read(file)?);
    }
    assert!(
        files.len() >= files_min,
        "{} files in {}",
        files.len(),
        corpus.display()
    );
    Ok(())
}
