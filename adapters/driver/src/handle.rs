//! The handle on a running fleet.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_channel::Sender;
use futures::{
    channel::oneshot,
    io::{AsyncRead, AsyncWrite},
};
use mcp_fleet_core::{
    CallId, CallOptions, CatalogKind, ClientId, CommandId, FleetStats, Health, InputId, McpCommand,
    RawJson, ReloadReport, Reply, Request, RpcError, ServerInfo, ServerName,
    config::{FleetConfig, Kind, Restart, ServerConfig},
};

use crate::{
    actor::RuntimeActor,
    call::PendingCall,
    client::Client,
    error::{ExecuteError, ManageError},
    events::Events,
    in_process::InProcessServer,
    journal::Journal,
    message::{Brought, Control, Message},
    registry::Streams,
    runtime::AsyncRuntime,
};

/// A handle on a running fleet: cheap to clone, usable from any thread and any executor.
///
/// Commands wait for a place in a bounded inbox and then for their one outcome. When the last
/// handle is dropped without [`McpRuntime::shutdown`], the fleet shuts itself down.
#[derive(Clone)]
pub struct McpRuntime {
    inbox: Sender<Message>,
    control: Sender<Control>,
    ids: Arc<AtomicU64>,
}

/// How a fleet is run.
#[derive(Debug)]
pub struct RuntimeOptions {
    /// Commands and calls that wait in the inbox before their callers do.
    pub inbox: usize,
    /// The source of the machine's randomness; one of the system's where absent.
    pub seed: Option<u64>,
    /// Where the journal goes; none is written where absent.
    pub journal: Option<Journal>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            inbox: 100,
            seed: None,
            journal: None,
        }
    }
}

impl McpRuntime {
    /// A fleet with the limits and profile of `config`, not running yet: whoever has the actor runs
    /// it on `runtime`. The servers of `config` are not deployed.
    pub fn new<R: AsyncRuntime>(
        runtime: R,
        config: FleetConfig,
        options: RuntimeOptions,
    ) -> (Self, RuntimeActor<R>) {
        let RuntimeOptions {
            inbox,
            seed,
            journal,
        } = options;
        let (inbox, messages) = async_channel::bounded(inbox.max(1));
        let (control, controls) = async_channel::unbounded();
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(()));
        let actor = RuntimeActor::new(runtime, config, seed, journal, messages, controls);
        (
            Self {
                inbox,
                control,
                ids: Arc::new(AtomicU64::new(1)),
            },
            actor,
        )
    }

    /// A fleet that runs as a task of `runtime`. See [`McpRuntime::new`].
    pub fn start<R: AsyncRuntime>(
        runtime: R,
        config: FleetConfig,
        options: RuntimeOptions,
    ) -> Self {
        let (handle, actor) = Self::new(runtime.clone(), config, options);
        runtime.spawn(actor.run());
        handle
    }

    /// Gives a command that `build` makes for the id it gets, and waits for its outcome. Once it has
    /// its place in the inbox, it is carried out also when its future is dropped.
    ///
    /// # Errors
    /// What the machine answered, or that it is gone.
    pub async fn command(
        &self,
        build: impl FnOnce(CommandId) -> McpCommand,
    ) -> Result<Reply, ManageError> {
        let id = CommandId(self.next_id());
        self.give(id, build(id), None).await
    }

    /// Starts a call and returns at once.
    pub fn start_call(
        &self,
        server: impl Into<String>,
        request: Request,
        options: CallOptions,
    ) -> PendingCall {
        let call = CallId(self.next_id());
        let control = self.control.clone();
        PendingCall::start(&self.inbox, control, call, server.into(), request, options)
    }

    /// A new client, whose calls take turns with those of the others.
    pub fn client(&self) -> Client {
        Client::new(self.clone(), ClientId(self.next_id()), self.control.clone())
    }

    /// Makes a call and waits for its result as it stood on the wire.
    ///
    /// # Errors
    /// Why there is no result.
    pub async fn execute(
        &self,
        server: impl Into<String>,
        request: Request,
    ) -> Result<RawJson, ExecuteError> {
        self.start_call(server, request, CallOptions::default())
            .await
    }

    /// Adds a server, starts it, and waits until it is ready.
    ///
    /// # Errors
    /// A name that is taken, a fleet that is full, or why the server did not become ready; then it
    /// stays deployed and can be restarted.
    pub async fn deploy(&self, config: ServerConfig) -> Result<(), ManageError> {
        self.command(|id| McpCommand::Deploy {
            id,
            config: Box::new(config),
        })
        .await
        .map(drop)
    }

    /// Deploys a server of this very process.
    ///
    /// # Errors
    /// As [`McpRuntime::deploy`].
    pub async fn deploy_in_process(
        &self,
        name: &str,
        server: Arc<dyn InProcessServer>,
    ) -> Result<(), ManageError> {
        self.deploy_brought(name, Kind::InProcess, Brought::Server(server))
            .await
    }

    /// Deploys a server that is at the other end of two byte streams. It cannot be restarted.
    ///
    /// # Errors
    /// As [`McpRuntime::deploy`].
    pub async fn attach(
        &self,
        name: &str,
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), ManageError> {
        let streams = Streams {
            reader: Box::new(reader),
            writer: Box::new(writer),
        };
        self.deploy_brought(name, Kind::Attached, Brought::Streams(streams))
            .await
    }

    /// Drains a server, stops it, and forgets it.
    ///
    /// # Errors
    /// Where there is no such server.
    pub async fn undeploy(&self, server: impl Into<String>) -> Result<(), ManageError> {
        let server = server.into();
        self.command(|id| McpCommand::Undeploy { id, server })
            .await
            .map(drop)
    }

    /// Drains a server, stops it, starts it again, and waits until it is ready.
    ///
    /// # Errors
    /// Where there is no such server, or why it did not become ready.
    pub async fn restart(&self, server: impl Into<String>) -> Result<(), ManageError> {
        let server = server.into();
        self.command(|id| McpCommand::Restart { id, server })
            .await
            .map(drop)
    }

    /// Replaces the configuration of the server that `config` names.
    ///
    /// # Errors
    /// Where there is no such server, or why it did not become ready again.
    pub async fn update(&self, config: ServerConfig) -> Result<(), ManageError> {
        self.command(|id| McpCommand::UpdateConfig {
            id,
            config: Box::new(config),
        })
        .await
        .map(drop)
    }

    /// Brings the fleet to another configuration, and waits until all of it is settled: servers
    /// that are new are deployed, those of the configuration before that are not in this one are
    /// undeployed, those that changed are updated, all others keep process and session. Servers
    /// that were deployed by hand stay. The report says what became of each server.
    ///
    /// # Errors
    /// Where the configuration contradicts itself, or the fleet is shutting down; nothing is changed
    /// then. What fails for single servers is in the report.
    pub async fn reload(&self, config: FleetConfig) -> Result<ReloadReport, ManageError> {
        let config = Box::new(config);
        let reply = self.command(|id| McpCommand::Reload { id, config }).await?;
        let Reply::Reloaded(report) = reply else {
            return Err(ManageError::OtherReply);
        };
        Ok(*report)
    }

    /// Asks a server, or all, whether they answer.
    ///
    /// # Errors
    /// Where there is no such server.
    pub async fn health_check(&self, server: Option<&str>) -> Result<Vec<Health>, ManageError> {
        let server = server.map(str::to_owned);
        let reply = self
            .command(|id| McpCommand::HealthCheck { id, server })
            .await?;
        let Reply::Health(health) = reply else {
            return Err(ManageError::OtherReply);
        };
        Ok(health)
    }

    /// Describes all servers, in order of their names.
    ///
    /// # Errors
    /// Where the fleet is gone.
    pub async fn list_servers(&self) -> Result<Vec<ServerInfo>, ManageError> {
        let reply = self.command(|id| McpCommand::ListServers { id }).await?;
        let Reply::Servers(servers) = reply else {
            return Err(ManageError::OtherReply);
        };
        Ok(servers)
    }

    /// A list of a server, each entry as it stood on the wire.
    ///
    /// # Errors
    /// Where there is no such server, or the list could not be read from it.
    pub async fn list_catalog(
        &self,
        server: impl Into<String>,
        kind: CatalogKind,
    ) -> Result<Vec<RawJson>, ManageError> {
        let server = server.into();
        let reply = self
            .command(|id| McpCommand::ListCatalog { id, server, kind })
            .await?;
        let Reply::Catalog(entries) = reply else {
            return Err(ManageError::OtherReply);
        };
        Ok(entries)
    }

    /// Counts and latencies of a server, or of all.
    ///
    /// # Errors
    /// Where there is no such server.
    pub async fn metrics(&self, server: Option<&str>) -> Result<FleetStats, ManageError> {
        let server = server.map(str::to_owned);
        let reply = self
            .command(|id| McpCommand::GetMetrics { id, server })
            .await?;
        let Reply::Metrics(stats) = reply else {
            return Err(ManageError::OtherReply);
        };
        Ok(*stats)
    }

    /// Answers a question of a server ([`mcp_fleet_core::Event::InputRequested`]).
    ///
    /// # Errors
    /// Where the question is not open.
    pub async fn answer_input(
        &self,
        input: InputId,
        answer: Result<RawJson, RpcError>,
    ) -> Result<(), ManageError> {
        self.command(|id| McpCommand::Answer { id, input, answer })
            .await
            .map(drop)
    }

    /// What happens in the fleet from here on, in what is commanded after this as well.
    pub fn events(&self) -> Events {
        let (events, subscriber) = Events::new();
        // A fleet that is gone has no more events: the stream ends at once.
        self.control.try_send(Control::Subscribe(subscriber)).ok();
        events
    }

    /// Refuses new work, drains all servers, stops them, and waits until every process is gone.
    /// Calls in flight may go on for `grace`, or for each server's own drain timeout where absent.
    ///
    /// A fleet that has shut down already stays so, without an error.
    ///
    /// # Errors
    /// What the machine answered.
    pub async fn shutdown(&self, grace: Option<Duration>) -> Result<(), ManageError> {
        match self.command(|id| McpCommand::Shutdown { id, grace }).await {
            Ok(_) | Err(ManageError::RuntimeGone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn deploy_brought(
        &self,
        name: &str,
        kind: Kind,
        brought: Brought,
    ) -> Result<(), ManageError> {
        let mut config = ServerConfig::new(ServerName::new(name)?, kind);
        if config.kind == Kind::Attached {
            // The streams are used up by the first incarnation.
            config.restart = Restart::Never;
        }
        let config = Box::new(config);
        let id = CommandId(self.next_id());
        self.give(id, McpCommand::Deploy { id, config }, Some(brought))
            .await
            .map(drop)
    }

    async fn give(
        &self,
        id: CommandId,
        command: McpCommand,
        brought: Option<Brought>,
    ) -> Result<Reply, ManageError> {
        let (waiter, outcome) = oneshot::channel();
        let message = Message::Command {
            id,
            command,
            waiter,
            brought,
        };
        self.inbox
            .send(message)
            .await
            .map_err(|_| ManageError::RuntimeGone)?;
        let outcome = outcome
            .await
            .map_err(|oneshot::Canceled| ManageError::RuntimeGone)?;
        Ok(outcome?)
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for McpRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpRuntime")
            .field("waiting", &self.inbox.len())
            .finish_non_exhaustive()
    }
}
