//! Lives that bytes decide: those that the fuzzer collected, without a fuzzer.

use std::{collections::BTreeSet, fs, path::Path};

use mcp_fleet_sim::{Fault, Outcome, Witness, live_tape};

/// Files that the corpus has at the least.
const FILES_MIN: usize = 40;

#[test]
fn corpus_of_fleets_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/fleet");
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= FILES_MIN, "{} files", files.len());
    let mut struck = BTreeSet::new();
    for file in &files {
        let outcome = live_tape(&fs::read(file).unwrap(), Witness::default());
        assert_eq!(outcome.violation, None, "{}", file.display());
        let strikes = |fault: &Fault| outcome.strikes[*fault as usize] > 0;
        struck.extend(Fault::ALL.into_iter().filter(strikes));
    }
    // What the bytes mean changes with the simulator, but never to nothing.
    assert!(struck.len() * 2 > Fault::ALL.len(), "only {struck:?}");
}

fn lived(bytes: &[u8]) -> Outcome {
    let witness = Witness {
        journal: true,
        ..Witness::default()
    };
    live_tape(bytes, witness)
}

#[test]
fn a_life_is_what_its_bytes_say() {
    let bytes: Vec<u8> = (0..1200_u32).map(|n| (n * n / 7 + n) as u8).collect();
    let (once, again) = (lived(&bytes), lived(&bytes));
    assert!(once.journal == again.journal && once.strikes == again.strikes);
    let half = lived(&bytes[..bytes.len() / 2]);
    assert!(half.journal != once.journal);
    assert!(
        half.journal.unwrap().0 == once.journal.unwrap().0,
        "the beginning is the same"
    );
    assert!(once.strikes.iter().sum::<u64>() > 0);
}

#[test]
fn without_bytes_nothing_goes_wrong() {
    let outcome = lived(&[]);
    assert_eq!((outcome.violation, outcome.acts), (None, 0));
    assert_eq!(outcome.strikes, [0; Fault::ALL.len()]);
    assert!(outcome.turns > 0, "servers start, and are shut down");
}
