//! A fleet of real servers, and what it takes to torment them.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    pin::pin,
    time::{Duration, Instant},
};

use futures::future::{Either, select};
use mcp_fleet_core::{
    CallOptions, CatalogKind, Event, Failure, RawJson, Request, ServerInfo, ServerName,
    ServerState,
    config::{FleetConfig, Kind, Retry, ServerConfig, ServerLimits, Stdio},
};
use mcp_fleet_driver::{AsyncRuntime, Events, McpManagerV2, PendingCall, RuntimeOptions, Update};
use mcp_fleet_tests::{Launch, Marker, Scratch, fake_server, signal};
use serde_json::Value;

/// No step takes this long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Host<R: AsyncRuntime> {
    pub(crate) manager: McpManagerV2<R>,
    pub(crate) runtime: R,
    pub(crate) scratch: Scratch,
    marker: Marker,
    events: Events,
}

impl<R: AsyncRuntime> Host<R> {
    pub(crate) fn new(runtime: R) -> Self {
        let options = RuntimeOptions {
            seed: Some(7),
            ..RuntimeOptions::default()
        };
        let manager = McpManagerV2::on(runtime.clone(), FleetConfig::default(), options);
        Self {
            events: manager.events(),
            manager,
            runtime,
            scratch: Scratch::new("chaos").unwrap(),
            marker: Marker::new(),
        }
    }

    /// A server that is started again by itself at once, and whose calls are not.
    pub(crate) fn server(&self, name: &str, command: &str, args: &[&str]) -> ServerConfig {
        let launch = self.marker.mark(Launch::new(command).args(args));
        let entry = launch.entry();
        let stdio = Stdio {
            command: command.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: serde_json::from_value(entry["env"].clone()).unwrap(),
            cwd: None,
        };
        let mut config = ServerConfig::new(ServerName::new(name).unwrap(), Kind::Stdio(stdio));
        config.retry = Retry::Never;
        config.limits.backoff = Duration::from_millis(50);
        config
    }

    /// A fake server whose input goes on record.
    pub(crate) fn fake(&self, name: &str, flags: &[&str]) -> ServerConfig {
        let record = self.record_of(name);
        let mut args = vec!["--record", record.to_str().unwrap()];
        args.extend(flags);
        self.server(name, fake_server().unwrap().to_str().unwrap(), &args)
    }

    pub(crate) fn limited(
        &self,
        name: &str,
        flags: &[&str],
        limit: impl FnOnce(&mut ServerLimits),
    ) -> ServerConfig {
        let mut config = self.fake(name, flags);
        limit(&mut config.limits);
        config
    }

    /// Deploys a server and waits until nothing is under way, and no event of it is left to come.
    pub(crate) async fn deploy(&mut self, config: ServerConfig) {
        let name = config.name.as_str().to_owned();
        let deployment = self.manager.deploy_server(config);
        self.patiently("deployment", deployment).await.unwrap();
        self.until_state(&name, ServerState::Ready).await;
        self.settled(&name).await;
    }

    /// Waits until all lists of a server are read or given up.
    pub(crate) async fn settled(&self, name: &str) {
        for kind in [
            CatalogKind::Tools,
            CatalogKind::Resources,
            CatalogKind::Templates,
            CatalogKind::Prompts,
        ] {
            // A list that cannot be read is settled too.
            drop(
                self.patiently("list", self.manager.list_catalog(name, kind))
                    .await,
            );
        }
    }

    pub(crate) async fn info(&self, name: &str) -> ServerInfo {
        let servers = self.manager.list_servers().await.unwrap();
        let mut servers = servers.into_iter();
        servers.find(|info| info.name.as_str() == name).unwrap()
    }

    pub(crate) async fn pid(&self, name: &str) -> u32 {
        self.info(name).await.pid.unwrap()
    }

    pub(crate) fn start(&self, server: &str, tool: &str, arguments: &Value) -> PendingCall {
        self.start_with(server, tool, arguments, None)
    }

    pub(crate) fn start_with(
        &self,
        server: &str,
        tool: &str,
        arguments: &Value,
        timeout: Option<Duration>,
    ) -> PendingCall {
        let request = Request::Tool {
            name: tool.to_owned(),
            arguments: Some(RawJson::of(arguments).unwrap()),
        };
        let options = CallOptions {
            timeout,
            ..CallOptions::default()
        };
        self.manager.start_call(server, request, options)
    }

    /// Waits for an event that was not waited for before.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let deadline = self.runtime.now() + PATIENCE;
        loop {
            let next = pin!(self.events.next());
            let update = match select(next, pin!(self.runtime.sleep_until(deadline))).await {
                Either::Left((update, _)) => update,
                Either::Right(_) => panic!("no {what} within {PATIENCE:?}"),
            };
            match update {
                Some(Update::Event(event)) => {
                    if let Some(found) = wanted(&event) {
                        return found;
                    }
                }
                Some(Update::Missed(_)) => {}
                None => panic!("the fleet ended before {what}"),
            }
        }
    }

    /// Waits until a server enters a state. The answer is why, where that is a failure.
    pub(crate) async fn until_state(&mut self, name: &str, wanted: ServerState) -> Option<Failure> {
        self.until(wanted.as_str(), |event| match event {
            Event::ServerChanged {
                server,
                state,
                failure,
                ..
            } => (server.as_str() == name && *state == wanted).then(|| failure.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn patiently<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let deadline = self.runtime.now() + PATIENCE;
        match select(pin!(future), pin!(self.runtime.sleep_until(deadline))).await {
            Either::Left((value, _)) => value,
            Either::Right(_) => panic!("no end of {what} within {PATIENCE:?}"),
        }
    }

    /// Waits until something holds that no event tells of.
    pub(crate) async fn sooner_or_later(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let waiting = async {
            while !holds() {
                let soon = self.runtime.now() + Duration::from_millis(2);
                self.runtime.sleep_until(soon).await;
            }
        };
        self.patiently(what, waiting).await;
    }

    /// How often a server was called with each `n` among the arguments, in all its lives.
    pub(crate) fn executed(&self, name: &str) -> BTreeMap<u64, usize> {
        let record = fs::read_to_string(self.record_of(name)).unwrap_or_default();
        let frames = record
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut executed = BTreeMap::new();
        for frame in frames {
            if let Some(number) = frame["params"]["arguments"]["n"].as_u64() {
                *executed.entry(number).or_default() += 1;
            }
        }
        executed
    }

    /// Processes that descend from the servers, those that left their group included.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let processes = self.marker.processes().unwrap();
        processes.into_iter().map(|process| process.pid).collect()
    }

    /// Shuts down. Nothing may be left of any server.
    pub(crate) async fn finish(self) {
        self.patiently("shutdown", self.manager.shutdown())
            .await
            .unwrap();
        assert_eq!(self.marker.processes().unwrap(), [], "left behind");
    }

    pub(crate) fn record_of(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.jsonl"))
    }
}

pub(crate) fn send(pid: u32, name: &str) {
    signal(pid, name).unwrap();
}

/// The state letter of a process: `R`, `S`, `T`, `Z` and so on; `None` once it is no more.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// The given part of the sorted spans.
pub(crate) fn quantile(spans: &mut [Duration], percent: usize) -> Duration {
    spans.sort_unstable();
    spans[spans.len().saturating_sub(1) * percent / 100]
}

/// The time that `work` takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let value = work.await;
    (value, begun.elapsed())
}
