//! The fleet of one run: made from the options, always stopped in the end.

use std::sync::Arc;

use futures::future::join_all;
use mcp_fleet_core::{
    CallOptions, CatalogKind, RawJson, Request, ServerInfo,
    config::{FleetConfig, ServerConfig},
};
use mcp_fleet_driver::{InProcessServer, ManageError, PendingCall, RuntimeOptions};
use mcp_fleet_tokio::{McpManagerV2, Tokio};
use tokio::select;

use crate::{
    args::Global,
    exit::{self, Exit, Problem},
    journal, output,
    signals::Signals,
};

/// A running fleet.
#[derive(Debug)]
pub(crate) struct Host {
    manager: McpManagerV2,
}

impl Host {
    /// A fleet with the limits of `config`, on the runtime of the calling task. No server is
    /// deployed. `secrets` are kept out of the journal.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    pub(crate) fn new(
        config: FleetConfig,
        secrets: Vec<String>,
        global: &Global,
    ) -> Result<Self, Problem> {
        let journal = journal::create(global, secrets)?;
        let options = RuntimeOptions {
            journal,
            ..RuntimeOptions::default()
        };
        Ok(Self {
            manager: McpManagerV2::on(Tokio::default(), config, options),
        })
    }

    /// Does `work`, then stops all servers, whatever came of it. The first signal ends the work,
    /// the second does not wait for the servers: the end of this process ends theirs.
    ///
    /// # Errors
    /// What `work` failed with, where no signal ended it.
    pub(crate) async fn run(
        &self,
        signals: &mut Signals,
        work: impl Future<Output = Result<Exit, Problem>>,
    ) -> Result<Exit, Problem> {
        let mut interrupted = None;
        let outcome = select! {
            outcome = work => outcome,
            exit = signals.next() => {
                announce();
                interrupted = Some(exit);
                Ok(exit)
            }
        };
        let stopped = self.manager.shutdown();
        tokio::pin!(stopped);
        loop {
            select! {
                stopped = &mut stopped => {
                    if let Err(error) = stopped {
                        tracing::warn!("the fleet did not stop in order: {error}");
                    }
                    return interrupted.map_or(outcome, Ok);
                }
                exit = signals.next() => {
                    if interrupted.is_some() {
                        return Ok(exit);
                    }
                    announce();
                    interrupted = Some(exit);
                }
            }
        }
    }

    pub(crate) async fn deploy(&self, server: ServerConfig) -> Result<(), ManageError> {
        self.manager.deploy_server(server).await
    }

    /// Deploys those that others come after, and says which of them did not start.
    pub(crate) async fn deploy_needed(&self, servers: impl IntoIterator<Item = ServerConfig>) {
        let starts = servers.into_iter().map(|server| self.deploy(server));
        for outcome in join_all(starts).await {
            if let Err(error) = outcome {
                exit::of_manage(&error).report();
            }
        }
    }

    pub(crate) async fn deploy_in_process(
        &self,
        name: &str,
        server: Arc<dyn InProcessServer>,
    ) -> Result<(), ManageError> {
        self.manager.runtime().deploy_in_process(name, server).await
    }

    /// Calls a tool; the call gives its result as it stood on the wire.
    pub(crate) fn start_call(
        &self,
        server: &str,
        tool: &str,
        arguments: Option<RawJson>,
        options: CallOptions,
    ) -> PendingCall {
        let request = Request::Tool {
            name: tool.to_owned(),
            arguments,
        };
        self.manager.start_call(server, request, options)
    }

    pub(crate) async fn tools(&self, server: &str) -> Result<Vec<RawJson>, ManageError> {
        self.manager.list_tools(server).await
    }

    /// Waits until every list that a server offers was read.
    pub(crate) async fn settle(&self, server: &str) {
        for kind in [
            CatalogKind::Tools,
            CatalogKind::Resources,
            CatalogKind::Prompts,
        ] {
            if let Err(error) = self.manager.list_catalog(server, kind).await {
                tracing::debug!(server, "{error}");
            }
        }
    }

    pub(crate) async fn servers(&self) -> Result<Vec<ServerInfo>, ManageError> {
        self.manager.list_servers().await
    }
}

fn announce() {
    output::note("stopping servers; a second signal kills them");
}
