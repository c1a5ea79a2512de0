//! `mcp-fleet tools`: what the servers of a file can do.

use std::collections::BTreeMap;

use futures::{StreamExt, future::join, stream::FuturesOrdered};
use mcp_fleet_core::{RawJson, ServerName, config::ServerConfig};
use mcp_fleet_driver::ManageError;
use serde::Deserialize;

use crate::{
    args::{Global, ToolsArgs},
    exit::{self, Exit, Problem},
    file::{self, Brought},
    host::Host,
    output::{
        self,
        table::{Table, terminal_width},
    },
    signals::Signals,
};

pub(crate) async fn run(
    args: &ToolsArgs,
    global: &Global,
    signals: &mut Signals,
) -> Result<Exit, Problem> {
    let Brought {
        mut config,
        secrets,
    } = file::load(&args.file, &args.server)?;
    let mut servers = Vec::new();
    if args.server.is_empty() {
        servers.extend(config.servers.extract_if(.., |server| server.enabled));
    }
    for name in &args.server {
        if !servers
            .iter()
            .any(|server: &ServerConfig| server.name.as_str() == name)
        {
            servers.push(file::take(&mut config, &args.file, name)?);
        }
    }
    let needed = file::take_needed(&mut config, &servers);
    config.servers.clear();
    let host = Host::new(config, secrets, global)?;
    host.run(signals, list(&host, servers, needed, args.json))
        .await
}

async fn list(
    host: &Host,
    servers: Vec<ServerConfig>,
    needed: Vec<ServerConfig>,
    json: bool,
) -> Result<Exit, Problem> {
    let starts: FuturesOrdered<_> = servers
        .into_iter()
        .map(|server| start_and_list(host, server))
        .collect();
    let mut lists: Vec<(ServerName, Vec<RawJson>)> = Vec::new();
    let mut exit = Exit::Success;
    let (outcomes, ()) = join(starts.collect::<Vec<_>>(), host.deploy_needed(needed)).await;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(tools) => lists.push((name, tools)),
            Err(error) => {
                let problem = exit::of_manage(&error);
                problem.report();
                exit = Exit::Unavailable;
            }
        }
    }
    if json {
        let lists: BTreeMap<&str, &[RawJson]> = lists
            .iter()
            .map(|(name, tools)| (name.as_str(), tools.as_slice()))
            .collect();
        let text = serde_json::to_string(&lists).map_err(Problem::usage)?;
        output::print_raw(&format!("{text}\n"))?;
        return Ok(exit);
    }
    let mut table = Table::new(&["SERVER", "TOOL", "DESCRIPTION"]);
    for (server, tools) in &lists {
        for tool in tools {
            let entry: Entry = tool.read().unwrap_or_default();
            table.row([server.to_string(), entry.name.clone(), entry.summary()]);
        }
    }
    output::print(&table.render(terminal_width()))?;
    Ok(exit)
}

async fn start_and_list(
    host: &Host,
    server: ServerConfig,
) -> (ServerName, Result<Vec<RawJson>, ManageError>) {
    let name = server.name.clone();
    let outcome = match host.deploy(server).await {
        Ok(()) => host.tools(name.as_str()).await,
        Err(error) => Err(error),
    };
    (name, outcome)
}

/// A tool, as far as people read it.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    name: String,
    title: Option<String>,
    description: Option<String>,
}

impl Entry {
    /// The first line of the description, or else the title.
    fn summary(&self) -> String {
        let lines = self.description.as_deref().unwrap_or_default().lines();
        let first = lines.map(str::trim).find(|line| !line.is_empty());
        first
            .or(self.title.as_deref())
            .unwrap_or_default()
            .to_owned()
    }
}

/// The name of a tool as its server gave it.
pub(crate) fn name(tool: &RawJson) -> Option<String> {
    tool.read().ok().map(|entry: Entry| entry.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(json: &str) -> String {
        RawJson::parse(json)
            .unwrap()
            .read::<Entry>()
            .unwrap()
            .summary()
    }

    #[test]
    fn a_tool_is_summed_up_in_one_line() {
        assert_eq!(
            summary(r#"{"name":"a","description":"\n  First.\nSecond."}"#),
            "First."
        );
        assert_eq!(
            summary(r#"{"name":"a","title":"T","description":" \n"}"#),
            "T"
        );
        assert_eq!(summary(r#"{"name":"a","inputSchema":{}}"#), "");
    }
}
