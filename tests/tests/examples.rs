//! The examples are as short as they look.

use std::{fs, path::Path, process::Command};

use mcp_fleet_tests::{Result, example};

#[test]
fn the_tour_counts_to_three() -> Result<()> {
    let output = Command::new(example("tour")?).output()?;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout)?;
    assert!(
        said.contains("counter is ready\n1 of Some(3.0)\n2 of Some(3.0)\n3 of Some(3.0)\n"),
        "{said}"
    );
    assert!(said.contains("three"), "{said}");
    Ok(())
}

#[test]
fn each_example_that_calls_a_tool_has_25_lines_at_most() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters");
    for example in ["tokio/examples/tokio_call.rs", "smol/examples/smol_call.rs"] {
        let lines = fs::read_to_string(root.join(example))?.lines().count();
        assert!(lines <= 25, "{example} has {lines} lines");
    }
    Ok(())
}
