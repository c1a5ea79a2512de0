//! Where the programs under test are.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::Result;

/// The command line of the project: `$MCP_FLEET_BIN`, or the one built beside this test.
///
/// # Errors
/// Where there is none, with the command that builds it.
pub fn mcp_fleet() -> Result<PathBuf> {
    find("MCP_FLEET_BIN", "mcp-fleet")
}

/// The fake server: `$FAKE_SERVER_BIN`, or the one built beside this test.
///
/// # Errors
/// Where there is none, with the command that builds it.
pub fn fake_server() -> Result<PathBuf> {
    find("FAKE_SERVER_BIN", "fake-server")
}

/// An example program of the adapters, built beside this test.
///
/// # Errors
/// Where there is none, with the command that builds it.
pub fn example(name: &str) -> Result<PathBuf> {
    let path = profile_directory()?.join("examples").join(name);
    if path.is_file() {
        return Ok(path);
    }
    let path = path.display();
    Err(format!("{path} is missing: run `cargo build --workspace --examples`").into())
}

fn find(variable: &str, name: &str) -> Result<PathBuf> {
    let path = match env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => profile_directory()?.join(name),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "{} is missing: run tests/run, or `cargo build --workspace --bins`, or set {variable}",
        path.display()
    )
    .into())
}

/// The directory of the build that the running test belongs to: `target/debug`, most often.
fn profile_directory() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let directory = test.parent().and_then(Path::parent);
    Ok(directory
        .ok_or("the test lies in no target directory")?
        .to_owned())
}

/// Where `tests/run` put the real servers: `$MCP_FLEET_TEST_SERVERS`, or `servers` in the target
/// directory.
pub(crate) fn servers() -> Result<PathBuf> {
    let path = match env::var_os("MCP_FLEET_TEST_SERVERS") {
        Some(path) => PathBuf::from(path),
        None => {
            let profile = profile_directory()?;
            profile
                .parent()
                .ok_or("the build lies in no target directory")?
                .join("servers")
        }
    };
    if path.is_dir() {
        return Ok(path);
    }
    Err(format!(
        "{} is missing: run `tests/run servers` first",
        path.display()
    )
    .into())
}
