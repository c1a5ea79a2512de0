//! The configuration file, and the servers of it that a command needs.

use std::{cell::RefCell, collections::BTreeSet, io, path::Path};

use mcp_fleet_core::config::{
    self, ConfigErrors, FleetConfig, Kind, Loaded, Restart, ServerConfig,
};

use crate::{exit::Problem, output};

/// Variables that are no secrets.
const PUBLIC: [&str; 9] = [
    "HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "TZ", "USER",
];

/// A configuration, and what variables brought into it: it may be secret wherever it stands.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) config: FleetConfig,
    pub(crate) secrets: Vec<String>,
}

/// Reads and judges a file.
///
/// # Errors
/// Where the file cannot be read at all.
pub(crate) fn judge(path: &Path) -> Result<Result<Loaded, ConfigErrors>, Problem> {
    judge_with(path, &|name| std::env::var(name).ok())
}

fn judge_with(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Result<Loaded, ConfigErrors>, Problem> {
    let text = mcp_fleet_driver::read_text(path).map_err(|error| unreadable(path, &error))?;
    Ok(config::read(&path.display().to_string(), &text, variable))
}

/// Reads a file that is to be used, and says on standard error what looks wrong with it: with all
/// of it where `servers` is empty, or else with those servers and the file itself.
///
/// # Errors
/// Where the file cannot be used.
pub(crate) fn load(path: &Path, servers: &[String]) -> Result<Brought, Problem> {
    let secrets = RefCell::new(BTreeSet::new());
    let variable = |name: &str| {
        let value = std::env::var(name).ok();
        if !PUBLIC.contains(&name) {
            secrets.borrow_mut().extend(value.clone());
        }
        value
    };
    match judge_with(path, &variable)? {
        Ok(Loaded {
            mut config,
            warnings,
        }) => {
            for server in &mut config.servers {
                // A command that answers once says what failed, and does not try again.
                server.restart = Restart::Never;
            }
            for warning in warnings
                .iter()
                .filter(|warning| concerns(&warning.key, servers))
            {
                output::warn(&warning.to_string());
            }
            for server in &config.servers {
                if servers.is_empty() || servers.iter().any(|name| name == server.name.as_str()) {
                    warn_unreachable(path, server);
                }
            }
            let secrets = secrets.take().into_iter().collect();
            Ok(Brought { config, secrets })
        }
        Err(errors) => Err(unusable(path, &errors)),
    }
}

/// Says that a server is of a kind that this version cannot start, and answers whether it said so.
/// A disabled one is not to be started.
pub(crate) fn warn_unreachable(path: &Path, server: &ServerConfig) -> bool {
    let unreachable = server.enabled && matches!(server.kind, Kind::Http(_));
    if unreachable {
        output::warn(&format!(
            "{}: {:?} is a remote server (`url`), and this version cannot reach remote servers\n  \
             hint: use a local bridge, such as a stdio proxy, or wait for a later version",
            path.display(),
            server.name
        ));
    }
    unreachable
}

/// Whether a key such as `mcpServers.files.args[1]` is of one of the servers, or of none.
fn concerns(key: &str, servers: &[String]) -> bool {
    let section = key
        .strip_prefix("mcpServers.")
        .or_else(|| key.strip_prefix("servers."));
    let named = section.and_then(|rest| rest.split('.').next());
    named.is_none_or(|named| servers.is_empty() || servers.iter().any(|server| server == named))
}

/// Says all that is wrong with a file.
pub(crate) fn unusable(path: &Path, errors: &ConfigErrors) -> Problem {
    for warning in &errors.warnings {
        output::warn(&warning.to_string());
    }
    let (last, others) = match errors.errors.split_last() {
        Some((last, others)) => (last.to_string(), others),
        None => (path.display().to_string(), [].as_slice()),
    };
    for error in others {
        Problem::usage(error).report();
    }
    Problem::usage(last)
}

/// Takes one server out of a fleet.
///
/// # Errors
/// Where there is none of that name, or it is disabled.
pub(crate) fn take(
    config: &mut FleetConfig,
    path: &Path,
    name: &str,
) -> Result<ServerConfig, Problem> {
    let names: Vec<String> = config
        .servers
        .iter()
        .map(|server| server.name.to_string())
        .collect();
    let position = config
        .servers
        .iter()
        .position(|server| server.name.as_str() == name);
    let Some(position) = position else {
        let message = format!("no server named {name:?} in {}", path.display());
        let hint = match names.as_slice() {
            [] => "the file has no servers; add one below `mcpServers`".to_owned(),
            names => match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {}", names.join(", ")),
            },
        };
        return Err(Problem::usage(message).hint(hint));
    };
    let server = config.servers.swap_remove(position);
    if !server.enabled {
        let message = format!("{name:?} is disabled in {}", path.display());
        return Err(Problem::usage(message).hint("remove `\"disabled\": true` from the server"));
    }
    Ok(server)
}

/// Takes those out of a fleet that `servers` come after, disabled or not, and those that these come
/// after.
pub(crate) fn take_needed(config: &mut FleetConfig, servers: &[ServerConfig]) -> Vec<ServerConfig> {
    let mut needed: Vec<ServerConfig> = Vec::new();
    let mut names: Vec<_> = servers
        .iter()
        .flat_map(|server| &server.after)
        .cloned()
        .collect();
    while let Some(name) = names.pop() {
        let others = &mut config.servers;
        if let Some(position) = others.iter().position(|server| server.name == name) {
            let server = others.swap_remove(position);
            names.extend(server.after.iter().cloned());
            needed.push(server);
        }
    }
    needed
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let similarity = |other: &&String| strsim::jaro_winkler(&name, &other.to_lowercase());
    names
        .iter()
        .filter(|other| similarity(other) >= 0.8)
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)))
        .map(String::as_str)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::usage(format!("cannot read {}: {error}", path.display()));
    if error.kind() == io::ErrorKind::NotFound {
        problem.hint("give the path of a file with `mcpServers`, such as .mcp.json")
    } else {
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_warnings_of_the_servers_in_use_are_said() {
        let files = ["files".to_owned()];
        for key in [
            "mcpServers.files.timeoutMs",
            "servers.files",
            "fleet.maxServers",
            "",
            "inputs",
        ] {
            assert!(concerns(key, &files), "{key}");
        }
        assert!(!concerns("mcpServers.files2.env", &files));
        assert!(concerns("mcpServers.files2.env", &[]));
    }

    #[test]
    fn what_servers_come_after_is_taken_with_them() {
        let text = r#"{ "mcpServers": {
            "a": { "command": "x", "after": ["b", "c"] }, "b": { "command": "x", "after": ["c"] },
            "c": { "command": "x" }, "d": { "command": "x", "after": ["a"] } } }"#;
        let mut config = config::read("fleet.json", text, &|_| None).unwrap().config;
        let server = take(&mut config, Path::new("fleet.json"), "a").unwrap();
        let mut needed = take_needed(&mut config, &[server]);
        needed.sort_by(|a, b| a.name.cmp(&b.name));
        let names = |servers: &[ServerConfig]| -> Vec<String> {
            servers
                .iter()
                .map(|server| server.name.to_string())
                .collect()
        };
        assert_eq!(names(&needed), ["b", "c"]);
        assert_eq!(names(&config.servers), ["d"]);
    }

    #[test]
    fn near_names_are_near() {
        let names = ["filesystem", "git", "memory"].map(str::to_owned);
        assert_eq!(nearest("filesytem", &names), Some("filesystem"));
        assert_eq!(nearest("memry", &names), Some("memory"));
        assert_eq!(nearest("GIT", &names), Some("git"));
        assert_eq!(nearest("weather", &names), None);
    }
}
