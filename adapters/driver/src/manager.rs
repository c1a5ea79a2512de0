//! The manager: a fleet with its configuration.

use std::{path::Path, sync::Arc};

use futures::{
    future::join_all,
    io::{AsyncRead, AsyncWrite},
};
use mcp_fleet_core::{
    CallOptions, CatalogKind, CommandError, FleetStats, Health, InputId, RawJson, ReloadReport,
    Request, RpcError, ServerInfo, ServerName,
    config::{FleetConfig, Problem, ServerConfig},
};
use serde::Serialize;

use crate::{
    call::PendingCall,
    client::Client,
    discovery::{discovered_config, read_config},
    error::{ExecuteError, ManageError, StartError},
    events::Events,
    handle::{McpRuntime, RuntimeOptions},
    in_process::InProcessServer,
    result::ToolResult,
    runtime::AsyncRuntime,
};

/// Deploys, supervises and calls a fleet of MCP servers.
///
/// All methods take `&self` and may be called from many tasks at once; a clone manages the same
/// fleet. When the last clone is dropped without [`McpManagerV2::shutdown`], the fleet shuts itself
/// down on what is left of its runtime.
///
/// The adapter crates name it for one runtime each.
#[derive(Clone, Debug)]
pub struct McpManagerV2<R: AsyncRuntime> {
    async_runtime: R,
    runtime: McpRuntime,
    start: Arc<Start>,
}

/// What [`McpManagerV2::initialize`] does.
#[derive(Debug)]
struct Start {
    servers: Result<Vec<ServerConfig>, StartError>,
    warnings: Vec<Problem>,
}

impl<R: AsyncRuntime + Default> McpManagerV2<R> {
    /// A fleet of the servers of `config`, none of them deployed yet.
    pub fn new(config: FleetConfig) -> Self {
        Self::on(R::default(), config, RuntimeOptions::default())
    }

    /// A fleet of the servers of a configuration file, none of them deployed yet.
    ///
    /// # Errors
    /// Where the file cannot be read, or everything that is wrong with it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, StartError> {
        let loaded = read_config(path.as_ref())?;
        let options = RuntimeOptions::default();
        Ok(Self::with_warnings(
            R::default(),
            loaded.config,
            loaded.warnings,
            options,
        ))
    }
}

impl<R: AsyncRuntime + Default> Default for McpManagerV2<R> {
    /// A fleet of the servers of the configuration file that [`crate::discover`] finds, none of
    /// them deployed yet; an empty fleet where it finds none. What is wrong with the file is the
    /// error of [`McpManagerV2::initialize`].
    fn default() -> Self {
        match discovered_config() {
            Ok((config, warnings)) => {
                Self::with_warnings(R::default(), config, warnings, RuntimeOptions::default())
            }
            Err(error) => {
                let mut manager = Self::new(FleetConfig::default());
                manager.start = Arc::new(Start {
                    servers: Err(error),
                    warnings: Vec::new(),
                });
                manager
            }
        }
    }
}

impl<R: AsyncRuntime> McpManagerV2<R> {
    /// A fleet of the servers of `config`, none of them deployed yet, on a runtime of the caller's
    /// choice.
    pub fn on(async_runtime: R, config: FleetConfig, options: RuntimeOptions) -> Self {
        Self::with_warnings(async_runtime, config, Vec::new(), options)
    }

    fn with_warnings(
        async_runtime: R,
        config: FleetConfig,
        warnings: Vec<Problem>,
        options: RuntimeOptions,
    ) -> Self {
        let servers = Ok(config.servers.clone());
        let runtime = McpRuntime::start(async_runtime.clone(), config, options);
        Self {
            async_runtime,
            runtime,
            start: Arc::new(Start { servers, warnings }),
        }
    }

    /// The handle on the running fleet.
    pub const fn runtime(&self) -> &McpRuntime {
        &self.runtime
    }

    /// The async runtime the fleet runs on.
    pub const fn async_runtime(&self) -> &R {
        &self.async_runtime
    }

    /// What looks wrong in the configuration file all the same.
    pub fn warnings(&self) -> &[Problem] {
        &self.start.warnings
    }

    /// Deploys all enabled servers of the configuration at once, and waits until each is ready or
    /// has failed. One that fails does not fail the others. Servers that are deployed already stay
    /// as they are. A disabled one that an enabled one comes after is deployed too, and stays stopped,
    /// so that it is known what keeps the other from starting.
    ///
    /// The report has the outcome of each server, in the order of the configuration.
    ///
    /// # Errors
    /// Where the configuration is wrong or the fleet is gone; nothing is deployed then.
    pub async fn initialize(
        &self,
    ) -> Result<Vec<(ServerName, Result<(), ManageError>)>, StartError> {
        let servers = self.start.servers.as_ref().map_err(Clone::clone)?;
        let enabled = || servers.iter().filter(|server| server.enabled);
        let named = |server: &&ServerConfig| {
            server.enabled || enabled().any(|other| other.after.contains(&server.name))
        };
        let report = join_all(servers.iter().filter(named).map(async |server| {
            let outcome = match self.runtime.deploy(server.clone()).await {
                Err(ManageError::Command(CommandError::AlreadyDeployed { .. })) => Ok(()),
                outcome => outcome,
            };
            (server.name.clone(), outcome)
        }))
        .await;
        if report
            .iter()
            .any(|(_, outcome)| *outcome == Err(ManageError::RuntimeGone))
        {
            return Err(StartError::RuntimeGone);
        }
        Ok(report)
    }

    /// See [`McpRuntime::deploy`].
    ///
    /// # Errors
    /// See there.
    pub async fn deploy_server(&self, config: ServerConfig) -> Result<(), ManageError> {
        self.runtime.deploy(config).await
    }

    /// See [`McpRuntime::deploy_in_process`].
    ///
    /// # Errors
    /// See there.
    pub async fn deploy_in_process(
        &self,
        name: &str,
        server: impl InProcessServer,
    ) -> Result<(), ManageError> {
        self.runtime.deploy_in_process(name, Arc::new(server)).await
    }

    /// See [`McpRuntime::attach`].
    ///
    /// # Errors
    /// See there.
    pub async fn attach(
        &self,
        name: &str,
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), ManageError> {
        self.runtime.attach(name, reader, writer).await
    }

    /// See [`McpRuntime::undeploy`].
    ///
    /// # Errors
    /// See there.
    pub async fn undeploy_server(&self, server: &str) -> Result<(), ManageError> {
        self.runtime.undeploy(server).await
    }

    /// See [`McpRuntime::restart`].
    ///
    /// # Errors
    /// See there.
    pub async fn restart_server(&self, server: &str) -> Result<(), ManageError> {
        self.runtime.restart(server).await
    }

    /// See [`McpRuntime::update`].
    ///
    /// # Errors
    /// See there.
    pub async fn update_config(&self, config: ServerConfig) -> Result<(), ManageError> {
        self.runtime.update(config).await
    }

    /// See [`McpRuntime::reload`].
    ///
    /// # Errors
    /// See there.
    pub async fn reload(&self, config: FleetConfig) -> Result<ReloadReport, ManageError> {
        self.runtime.reload(config).await
    }

    /// Calls a tool. `arguments` is whatever serialises to a JSON object, or to `null` for none.
    ///
    /// Dropping the future cancels the call. Progress is not asked for, and so does not lengthen the
    /// server's `timeoutMs`: [`McpManagerV2::start_call`] does that.
    ///
    /// # Errors
    /// Why there is no result. A tool that says itself that it failed has one:
    /// [`ToolResult::is_error`].
    pub fn execute_tool<T: Serialize>(
        &self,
        server: &str,
        tool: &str,
        arguments: T,
    ) -> impl Future<Output = Result<ToolResult, ExecuteError>> + Send + use<R, T> {
        let (runtime, server, name) = (self.runtime.clone(), server.to_owned(), tool.to_owned());
        let arguments = object_of(&arguments);
        async move {
            let request = Request::Tool {
                name,
                arguments: arguments?,
            };
            let call = runtime.start_call(server, request, CallOptions::default());
            Ok(call.await?.into())
        }
    }

    /// Calls any method of the protocol. `params` is whatever serialises to a JSON object, or to
    /// `null` for none; what the session needs in `_meta` is added.
    ///
    /// # Errors
    /// Why there is no result.
    pub fn call<T: Serialize>(
        &self,
        server: &str,
        method: &str,
        params: T,
    ) -> impl Future<Output = Result<RawJson, ExecuteError>> + Send + use<R, T> {
        let (runtime, server, method) =
            (self.runtime.clone(), server.to_owned(), method.to_owned());
        let params = object_of(&params);
        async move {
            let request = Request::Method {
                method,
                params: params?,
            };
            runtime
                .start_call(server, request, CallOptions::default())
                .await
        }
    }

    /// See [`McpRuntime::client`].
    pub fn client(&self) -> Client {
        self.runtime.client()
    }

    /// Starts a call and returns at once: for progress, deadlines of its own, and cancelling.
    pub fn start_call(&self, server: &str, request: Request, options: CallOptions) -> PendingCall {
        self.runtime.start_call(server, request, options)
    }

    /// The tools of a server, each as it stood on the wire.
    ///
    /// # Errors
    /// See [`McpRuntime::list_catalog`].
    pub async fn list_tools(&self, server: &str) -> Result<Vec<RawJson>, ManageError> {
        self.runtime.list_catalog(server, CatalogKind::Tools).await
    }

    /// See [`McpRuntime::list_catalog`].
    ///
    /// # Errors
    /// See there.
    pub async fn list_catalog(
        &self,
        server: &str,
        kind: CatalogKind,
    ) -> Result<Vec<RawJson>, ManageError> {
        self.runtime.list_catalog(server, kind).await
    }

    /// See [`McpRuntime::list_servers`].
    ///
    /// # Errors
    /// See there.
    pub async fn list_servers(&self) -> Result<Vec<ServerInfo>, ManageError> {
        self.runtime.list_servers().await
    }

    /// See [`McpRuntime::health_check`].
    ///
    /// # Errors
    /// See there.
    pub async fn health_check(&self, server: Option<&str>) -> Result<Vec<Health>, ManageError> {
        self.runtime.health_check(server).await
    }

    /// See [`McpRuntime::metrics`].
    ///
    /// # Errors
    /// See there.
    pub async fn get_metrics(&self, server: Option<&str>) -> Result<FleetStats, ManageError> {
        self.runtime.metrics(server).await
    }

    /// See [`McpRuntime::answer_input`].
    ///
    /// # Errors
    /// See there.
    pub async fn answer_input(
        &self,
        input: InputId,
        answer: Result<RawJson, RpcError>,
    ) -> Result<(), ManageError> {
        self.runtime.answer_input(input, answer).await
    }

    /// See [`McpRuntime::events`].
    pub fn events(&self) -> Events {
        self.runtime.events()
    }

    /// Drains all servers by their own drain timeouts, stops them, and waits until every process
    /// is gone. See [`McpRuntime::shutdown`].
    ///
    /// # Errors
    /// See there.
    pub async fn shutdown(&self) -> Result<(), ManageError> {
        self.runtime.shutdown(None).await
    }
}

/// `value` as JSON text, `None` for `null`. Whether it is an object is the machine's to say.
fn object_of(value: &impl Serialize) -> Result<Option<RawJson>, ExecuteError> {
    let json = RawJson::of(value).map_err(|error| ExecuteError::Arguments {
        message: error.to_string(),
    })?;
    Ok((json.as_str() != "null").then_some(json))
}
