//! `mcp-fleet servers`: which servers of a file start, and what they are.

use futures::{StreamExt, stream::FuturesUnordered};
use mcp_fleet_core::{BreakerState, ServerInfo, ServerState, config::ServerConfig};
use mcp_fleet_driver::ManageError;

use crate::{
    args::{Global, ListArgs},
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
    args: &ListArgs,
    global: &Global,
    signals: &mut Signals,
) -> Result<Exit, Problem> {
    let Brought {
        mut config,
        secrets,
    } = file::load(&args.file, &[])?;
    let servers = std::mem::take(&mut config.servers);
    let host = Host::new(config, secrets, global)?;
    host.run(signals, list(&host, servers, args.json)).await
}

async fn list(host: &Host, servers: Vec<ServerConfig>, json: bool) -> Result<Exit, Problem> {
    let mut starts: FuturesUnordered<_> = servers
        .into_iter()
        .map(|server| start(host, server))
        .collect();
    let mut exit = Exit::Success;
    while let Some(outcome) = starts.next().await {
        if let Err(error) = outcome {
            let problem = exit::of_manage(&error);
            problem.report();
            exit = Exit::Unavailable;
        }
    }
    let servers = host
        .servers()
        .await
        .map_err(|error| exit::of_manage(&error))?;
    if json {
        let text = serde_json::to_string_pretty(&servers).map_err(Problem::usage)?;
        output::print_raw(&format!("{text}\n"))?;
        return Ok(exit);
    }
    let mut table = Table::new(&[
        "SERVER",
        "KIND",
        "STATE",
        "PROTOCOL",
        ">TOOLS",
        ">RESOURCES",
        ">PROMPTS",
        "PROGRAM",
    ]);
    for server in &servers {
        table.row(row(server));
    }
    output::print(&table.render(terminal_width()))?;
    Ok(exit)
}

async fn start(host: &Host, server: ServerConfig) -> Result<(), ManageError> {
    let name = server.name.clone();
    host.deploy(server).await?;
    host.settle(name.as_str()).await;
    Ok(())
}

fn row(server: &ServerInfo) -> [String; 8] {
    let number = |entries: Option<usize>| entries.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let program = server.implementation.as_ref().map_or_else(
        || "-".to_owned(),
        |program| format!("{} {}", program.name, program.version),
    );
    [
        server.name.to_string(),
        server.kind.clone(),
        state(server),
        server
            .revision
            .map_or_else(|| "-".to_owned(), |revision| revision.to_string()),
        number(server.tools),
        number(server.resources),
        number(server.prompts),
        program,
    ]
}

/// Where a server is in its life, and what keeps it from serving all it could.
fn state(server: &ServerInfo) -> String {
    let state = server.state;
    let mut flaws = Vec::new();
    flaws.extend(server.unwell.clone());
    if server.breaker != BreakerState::Closed {
        flaws.push(format!("its breaker is {}", server.breaker));
    }
    if state == ServerState::Ready {
        flaws.extend(server.degraded.clone());
    }
    match (state, flaws.as_slice()) {
        (state, []) => match &server.waiting {
            Some(what) => format!("{state} for {what}"),
            None => state.to_string(),
        },
        (ServerState::Ready, flaws) => format!("ready, but {}", flaws.join("; ")),
        (state, flaws) => format!("{state}: {}", flaws.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use mcp_fleet_core::{ServerName, ServerStats};

    use super::*;

    #[test]
    fn the_state_says_what_keeps_a_server_from_calls() {
        let mut server = ServerInfo {
            name: ServerName::new("a").unwrap(),
            kind: "stdio".to_owned(),
            state: ServerState::Ready,
            failure: None,
            unwell: None,
            breaker: BreakerState::Closed,
            waiting: None,
            replicas: Vec::new(),
            incarnation: 1,
            pid: None,
            revision: None,
            implementation: None,
            instructions: None,
            tools: None,
            resources: None,
            templates: None,
            prompts: None,
            degraded: None,
            stats: ServerStats::default(),
        };
        assert_eq!(state(&server), "ready");
        server.breaker = BreakerState::Open;
        server.degraded = Some("tools/list: no".to_owned());
        assert_eq!(
            state(&server),
            "ready, but its breaker is open; tools/list: no"
        );
        server.breaker = BreakerState::Closed;
        server.state = ServerState::Unready;
        server.unwell = Some("well failed".to_owned());
        assert_eq!(state(&server), "unready: well failed");
    }
}
