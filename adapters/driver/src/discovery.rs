//! Where the configuration of a fleet is found.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use mcp_fleet_core::config::{self, FleetConfig, Loaded, Problem};

use crate::error::StartError;

/// The longest configuration file that is read.
pub const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// The configuration file that a fleet without a named one uses: `$MCP_FLEET_CONFIG`, else the
/// first that exists of `./.mcp.json`, `./mcp.json` and `mcp-fleet/mcp.json` below
/// `$XDG_CONFIG_HOME` (`~/.config` where that is not set). A file that the variable names is
/// returned whether or not it exists.
pub fn discover() -> Option<PathBuf> {
    discover_in(Path::new(""), &variable)
}

/// Reads the text of a configuration file, of [`CONFIG_BYTES_MAX`] at most: a path such as
/// `/dev/zero` must not take all memory.
///
/// # Errors
/// Where it cannot be read, is too long, or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(CONFIG_BYTES_MAX + 1);
    let bytes = file.read_to_string(&mut text)?;
    if bytes as u64 > CONFIG_BYTES_MAX {
        let message = format!("it is longer than {} MiB", CONFIG_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Reads a configuration file, and logs what looks wrong in it.
///
/// # Errors
/// Where it cannot be read, or everything that is wrong with it.
pub fn read_config(path: &Path) -> Result<Loaded, StartError> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| StartError::Unreadable {
        path: name.clone(),
        message: error.to_string(),
    })?;
    let loaded = config::read(&name, &text, &variable).map_err(StartError::Invalid)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded)
}

/// The configuration that [`discover`] finds; an empty fleet where it finds none.
///
/// # Errors
/// As [`read_config`].
pub(crate) fn discovered_config() -> Result<(FleetConfig, Vec<Problem>), StartError> {
    match discover() {
        Some(path) => {
            let Loaded {
                config, warnings, ..
            } = read_config(&path)?;
            Ok((config, warnings))
        }
        None => Ok((FleetConfig::default(), Vec::new())),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn discover_in(here: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(named) = set("MCP_FLEET_CONFIG") {
        return Some(named);
    }
    let user = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let local = [here.join(".mcp.json"), here.join("mcp.json")];
    let all = local
        .into_iter()
        .chain(user.map(|user| user.join("mcp-fleet").join("mcp.json")));
    all.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_wins_and_the_variable_beats_them_all() {
        let top = std::env::temp_dir().join(format!("mcp-fleet-discovery-{}", std::process::id()));
        let (here, home) = (top.join("here"), top.join("home"));
        let user = home.join(".config/mcp-fleet/mcp.json");
        std::fs::create_dir_all(&here).unwrap();
        std::fs::create_dir_all(user.parent().unwrap()).unwrap();
        let variables = |name: &str| match name {
            "HOME" => home.to_str().map(str::to_owned),
            // Empty means unset.
            "XDG_CONFIG_HOME" | "MCP_FLEET_CONFIG" => Some(String::new()),
            _ => None,
        };
        assert_eq!(discover_in(&here, &variables), None);
        for path in [user, here.join("mcp.json"), here.join(".mcp.json")] {
            std::fs::write(&path, "{}").unwrap();
            assert_eq!(discover_in(&here, &variables), Some(path));
        }
        let named = |name: &str| (name == "MCP_FLEET_CONFIG").then(|| "/no/such.json".to_owned());
        assert_eq!(
            discover_in(&here, &named),
            Some(PathBuf::from("/no/such.json"))
        );
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let error = read_config(Path::new("/dev/zero")).unwrap_err();
        let expected = "cannot read /dev/zero: it is longer than 16 MiB";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_config(Path::new("/no/such.json")).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot read /no/such.json: "),
            "{error}"
        );
    }
}
