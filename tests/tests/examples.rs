//! The examples are as short as they look.

use std::{fs, path::Path};

use mcp_fleet_tests::Result;

#[test]
fn each_example_that_calls_a_tool_has_25_lines_at_most() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters");
    for example in ["tokio/examples/tokio_call.rs", "smol/examples/smol_call.rs"] {
        let lines = fs::read_to_string(root.join(example))?.lines().count();
        assert!(lines <= 25, "{example} has {lines} lines");
    }
    Ok(())
}
