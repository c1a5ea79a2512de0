//! `mcp-fleet check`: judges a file and starts nothing.

use std::fmt::Write as _;

use mcp_fleet_core::config::{Kind, Loaded, ServerConfig};

use crate::{
    args::CheckArgs,
    exit::{Exit, Problem},
    file,
    output::{self, style, table::Table, table::terminal_width},
};

pub(crate) fn run(args: &CheckArgs) -> Result<Exit, Problem> {
    let path = &args.file;
    let Loaded { config, warnings } = match file::judge(path)? {
        Ok(loaded) => loaded,
        Err(errors) => return Err(file::unusable(path, &errors)),
    };
    for warning in &warnings {
        output::warn(&warning.to_string());
    }
    let unreachable = config
        .servers
        .iter()
        .filter(|server| file::warn_unreachable(path, server))
        .count();
    let mut table = Table::new(&["SERVER", "KIND", "ENABLED", "REACHED BY"]);
    for server in &config.servers {
        let enabled = if server.enabled { "yes" } else { "no" };
        table.row([
            server.name.to_string(),
            server.kind.as_str().to_owned(),
            enabled.to_owned(),
            reached_by(server),
        ]);
    }
    let good = style::GOOD;
    let mut text = String::new();
    if !config.servers.is_empty() {
        text.push_str(&table.render(terminal_width()));
        text.push('\n');
    }
    let number = output::count(config.servers.len(), "server");
    let warned = match warnings.len() + unreachable {
        0 => String::new(),
        number => format!(", {}", output::count(number, "warning")),
    };
    writeln!(
        text,
        "{good}ok{good:#}: {}: {number}{warned}",
        path.display()
    )
    .map_err(Problem::usage)?;
    output::print(&text)?;
    Ok(Exit::Success)
}

/// The program or host alone: arguments and addresses may hold secrets.
fn reached_by(server: &ServerConfig) -> String {
    match &server.kind {
        Kind::Stdio(stdio) => stdio.command.clone(),
        Kind::Http(http) => {
            let rest = http
                .url
                .split_once("://")
                .map_or(http.url.as_str(), |(_, rest)| rest);
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority.rsplit('@').next().unwrap_or_default().to_owned()
        }
        Kind::InProcess | Kind::Attached | _ => server.kind.as_str().to_owned(),
    }
}
