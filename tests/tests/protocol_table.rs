//! The table of the protocol is whole, and names tests that exist.

use std::{collections::BTreeMap, fs, path::Path};

use mcp_fleet_tests::Result;

const NUMBERS: std::ops::RangeInclusive<u32> = 1..=60;

#[test]
fn every_number_has_its_tests_or_a_reason() -> Result<()> {
    let mut shown = BTreeMap::new();
    for row in table()? {
        let tests = tests_of(&row.shown_by);
        let reason = row.shown_by.strip_prefix("Not tested: ");
        match reason {
            Some(reason) => assert!(tests.is_empty() && reason.len() > 10, "P{}", row.number),
            None => assert!(!tests.is_empty(), "P{} has neither", row.number),
        }
        let before = shown.insert(row.number, row.shown_by);
        assert_eq!(before, None, "P{} stands twice", row.number);
    }
    let missing: Vec<u32> = NUMBERS
        .filter(|number| !shown.contains_key(number))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(shown.len(), NUMBERS.count(), "more numbers than there are");
    Ok(())
}

#[test]
fn every_named_test_exists() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = BTreeMap::new();
    for row in table()? {
        for (path, function) in tests_of(&row.shown_by) {
            let source = match sources.get(&path) {
                Some(source) => source,
                None => {
                    let source = fs::read_to_string(root.join(&path))
                        .map_err(|error| format!("P{}: {path}: {error}", row.number))?;
                    sources.entry(path.clone()).or_insert(source)
                }
            };
            let defined = source.lines().any(|line| defines(line, &function));
            assert!(defined, "P{}: no function {function} in {path}", row.number);
        }
    }
    assert!(
        sources.len() > 10,
        "the table names few files: {:?}",
        sources.keys()
    );
    Ok(())
}

struct Row {
    number: u32,
    shown_by: String,
}

fn table() -> Result<Vec<Row>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("PROTOCOL.md");
    let mut rows = Vec::new();
    for line in fs::read_to_string(path)?.lines() {
        let Some(row) = line.strip_prefix("| P") else {
            continue;
        };
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [number, _, specification, shown_by] = cells.as_slice() else {
            return Err(format!("not four cells: {line}").into());
        };
        assert!(
            specification.contains("](https://modelcontextprotocol.io/specification/"),
            "P{number} cites no page"
        );
        rows.push(Row {
            number: number.parse()?,
            shown_by: (*shown_by).to_owned(),
        });
    }
    Ok(rows)
}

/// File and function of every test in a cell.
fn tests_of(cell: &str) -> Vec<(String, String)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|name| name.split_once("::"))
        .map(|(path, function)| (path.to_owned(), function.to_owned()))
        .collect()
}

/// Whether a line begins a function of that very name.
fn defines(line: &str, function: &str) -> bool {
    line.split_once("fn ")
        .and_then(|(_, rest)| rest.strip_prefix(function))
        .is_some_and(|rest| rest.starts_with(['(', '<']))
}
