//! One fleet under test, and the log of what became of it.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    path::PathBuf,
    pin::pin,
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{Either, select},
};
use mcp_fleet_core::{
    CallOptions, CatalogKind, Event, InputId, RawJson, Request, RpcError, ServerName, ServerState,
    config::{ClientCapabilities, FleetConfig, Kind, Restart, ServerConfig, ServerLimits, Stdio},
};
use mcp_fleet_driver::{
    AsyncRuntime, Events, ExecuteError, Journal, ManageError, McpManagerV2, PendingCall,
    RuntimeOptions, Update,
};
use mcp_fleet_tests::{Scratch, fake_server};
use serde_json::Value;

use crate::{
    recording::Recording,
    words::{self, Abridge as _},
};

/// No step of a scenario takes this long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fleet, and everything that happened to it in the order in which it did.
pub(crate) struct World<R: AsyncRuntime> {
    pub(crate) manager: McpManagerV2<R>,
    pub(crate) runtime: R,
    events: Events,
    happened: Vec<Event>,
    steps: Vec<String>,
    recording: Recording,
    scratch: Scratch,
}

impl<R: AsyncRuntime> World<R> {
    pub(crate) fn new(runtime: R) -> Self {
        Self::with(runtime, FleetConfig::default())
    }

    fn with(runtime: R, config: FleetConfig) -> Self {
        let recording = Recording::default();
        let options = RuntimeOptions {
            seed: Some(7),
            journal: Some(Journal::new(recording.clone()).patience(PATIENCE)),
            ..RuntimeOptions::default()
        };
        let manager = McpManagerV2::on(runtime.clone(), config, options);
        Self {
            events: manager.events(),
            manager,
            runtime,
            happened: Vec::new(),
            steps: Vec::new(),
            recording,
            scratch: Scratch::new("scenario").unwrap(),
        }
    }

    /// Begins anew as a fleet that declares these capabilities to its servers.
    pub(crate) fn declare(&mut self, capabilities: ClientCapabilities) {
        assert!(self.steps.is_empty(), "declared too late");
        let mut config = FleetConfig::default();
        config.client.capabilities = capabilities;
        *self = Self::with(self.runtime.clone(), config);
    }

    /// A fake server with these flags, whose input goes on record.
    pub(crate) fn fake(&self, name: &str, flags: &[&str]) -> ServerConfig {
        let mut args: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        args.push("--record".to_owned());
        args.push(self.record(name).to_string_lossy().into_owned());
        let stdio = Stdio {
            command: fake_server().unwrap().to_string_lossy().into_owned(),
            args,
            ..Stdio::default()
        };
        let mut config = ServerConfig::new(ServerName::new(name).unwrap(), Kind::Stdio(stdio));
        // What a scenario does to a server stays done, unless it is about restarts.
        config.restart = Restart::Never;
        config
    }

    /// The same with other limits.
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

    pub(crate) fn record(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.jsonl"))
    }

    /// Deploys a fake server with these flags.
    pub(crate) async fn up(&mut self, name: &str, flags: &[&str]) {
        self.deploy(self.fake(name, flags)).await;
    }

    /// Deploys a server, and waits until its lists are read, so that nothing is under way.
    pub(crate) async fn deploy(&mut self, config: ServerConfig) {
        let name = config.name.as_str().to_owned();
        let outcome = self
            .patiently("deployment", self.manager.deploy_server(config))
            .await;
        let ready = outcome.is_ok();
        self.log(format!("deploy {name}: {}", words::command(&outcome)));
        if ready {
            self.settled(&name).await;
        }
    }

    /// Waits until all lists of a server are read or given up.
    pub(crate) async fn settled(&self, name: &str) {
        for kind in LISTS {
            let list = self.manager.list_catalog(name, kind);
            // A list that cannot be read is settled too.
            drop(self.patiently("list", list).await);
        }
    }

    /// Calls a tool and logs what came of it.
    pub(crate) async fn tool(&mut self, server: &str, tool: &str, arguments: Value) {
        let call = self.start(server, tool, arguments);
        self.ended(&format!("{tool} of {server}"), call).await;
    }

    /// Calls a method and logs what came of it.
    pub(crate) async fn call(&mut self, server: &str, method: &str, params: Value) {
        let outcome = self.manager.call(server, method, params);
        let outcome = self.patiently(method, outcome).await;
        self.log(format!("{method} of {server}: {}", words::call(&outcome)));
    }

    /// Starts a call of a tool.
    pub(crate) fn start(&self, server: &str, tool: &str, arguments: Value) -> PendingCall {
        self.start_with(server, tool, arguments, CallOptions::default())
    }

    pub(crate) fn start_with(
        &self,
        server: &str,
        tool: &str,
        arguments: Value,
        options: CallOptions,
    ) -> PendingCall {
        let request = Request::Tool {
            name: tool.to_owned(),
            arguments: Some(RawJson::of(&arguments).unwrap()),
        };
        self.manager.start_call(server, request, options)
    }

    /// Waits for the outcome of a call and logs it.
    pub(crate) async fn ended(&mut self, what: &str, call: PendingCall) {
        let outcome: Result<RawJson, ExecuteError> = self.patiently(what, call).await;
        self.log(format!("{what}: {}", words::call(&outcome)));
    }

    /// Waits for the end of a command and logs it.
    pub(crate) async fn done<T: Debug>(
        &mut self,
        what: &str,
        command: impl Future<Output = Result<T, ManageError>>,
    ) {
        let outcome = self.patiently(what, command).await;
        self.log(format!("{what}: {}", words::command(&outcome)));
    }

    /// Waits for an event that was not waited for before.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let deadline = self.runtime.now() + PATIENCE;
        loop {
            let Some(update) = self.update(deadline).await else {
                panic!("no {what} within {PATIENCE:?}:\n{}", self.story());
            };
            let event = match update {
                Some(Update::Event(event)) => event,
                Some(Update::Missed(count)) => panic!("{count} events were missed"),
                None => panic!("the fleet ended before {what}"),
            };
            let found = wanted(&event);
            self.happened.push(event);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// The next update, or nothing at all until `deadline`.
    async fn update(&mut self, deadline: Instant) -> Option<Option<Update>> {
        let next = pin!(self.events.next());
        match select(next, pin!(self.runtime.sleep_until(deadline))).await {
            Either::Left((update, _)) => Some(update),
            Either::Right(_) => None,
        }
    }

    /// Waits until a server enters a state.
    pub(crate) async fn until_state(&mut self, name: &str, wanted: ServerState) {
        self.until(wanted.as_str(), |event| match event {
            Event::ServerChanged { server, state, .. } => {
                (server.as_str() == name && *state == wanted).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Waits until a server asks.
    pub(crate) async fn question(&mut self) -> InputId {
        self.until("question", |event| match event {
            Event::InputRequested { input, .. } => Some(*input),
            _ => None,
        })
        .await
    }

    pub(crate) async fn answer(&mut self, input: InputId, answer: Result<Value, RpcError>) {
        let answer = answer.map(|value| RawJson::of(&value).unwrap());
        let manager = self.manager.clone();
        self.done("answer", manager.answer_input(input, answer))
            .await;
    }

    /// Waits until a server has received a frame like this.
    pub(crate) async fn received(&self, server: &str, wanted: impl Fn(&Value) -> bool) {
        let path = self.record(server);
        self.sooner_or_later("frame on record", || {
            let record = fs::read_to_string(&path).unwrap_or_default();
            record
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .any(|frame| wanted(&frame))
        })
        .await;
    }

    /// Waits until a server has received a request for a tool.
    pub(crate) async fn received_tool(&self, server: &str, tool: &str) {
        self.received(server, |frame| frame["params"]["name"] == tool)
            .await;
    }

    /// Waits until something holds that no event tells of.
    pub(crate) async fn sooner_or_later(&self, what: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                let soon = self.runtime.now() + Duration::from_millis(2);
                self.runtime.sleep_until(soon).await;
            }
        };
        self.patiently(what, waiting).await;
    }

    /// Waits until the counts of a server are such, and logs them.
    pub(crate) async fn counted(
        &mut self,
        server: &str,
        wanted: impl Fn(&mcp_fleet_core::ServerStats) -> bool,
    ) {
        let deadline = self.runtime.now() + PATIENCE;
        loop {
            let stats = self.manager.get_metrics(Some(server)).await.unwrap().total;
            if wanted(&stats) {
                self.log(format!("counts of {server}: {}", words::counts(&stats)));
                return;
            }
            assert!(
                self.runtime.now() < deadline,
                "counts of {server}: {stats:?}"
            );
            let soon = self.runtime.now() + Duration::from_millis(2);
            self.runtime.sleep_until(soon).await;
        }
    }

    /// Logs the counts of a server as they are.
    pub(crate) async fn counts(&mut self, server: &str) {
        self.counted(server, |_| true).await;
    }

    /// Logs what is known of all servers.
    pub(crate) async fn servers(&mut self) {
        for info in self.manager.list_servers().await.unwrap() {
            self.log(words::info(&info));
        }
    }

    pub(crate) fn log(&mut self, line: impl Into<String>) {
        self.steps.push(line.into());
    }

    pub(crate) async fn patiently<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let deadline = self.runtime.now() + PATIENCE;
        match select(pin!(future), pin!(self.runtime.sleep_until(deadline))).await {
            Either::Left((value, _)) => value,
            Either::Right(_) => panic!("no end of {what} within {PATIENCE:?}:\n{}", self.story()),
        }
    }

    /// Shuts down, replays the journal, and tells the whole story.
    pub(crate) async fn finish(mut self) -> String {
        let outcome = self.patiently("shutdown", self.manager.shutdown()).await;
        self.log(format!("shutdown: {}", words::command(&outcome)));
        let deadline = self.runtime.now() + PATIENCE;
        while let Some(update) = self.update(deadline).await.expect("the last event") {
            match update {
                Update::Event(event) => self.happened.push(event),
                Update::Missed(count) => panic!("{count} events were missed"),
            }
        }
        self.recording.replay();
        self.story()
    }

    /// Shuts down and replays the journal. The answer is how many turns it has.
    pub(crate) async fn finish_busy(self) -> usize {
        self.patiently("shutdown", self.manager.shutdown())
            .await
            .unwrap();
        self.recording.replay()
    }

    fn story(&self) -> String {
        let mut story = String::from("# Steps\n");
        for step in &self.steps {
            story.push_str(step);
            story.push('\n');
        }
        for (server, lines) in words::events(&self.happened) {
            story.push_str(&format!("\n# What happened to {server}\n{lines}"));
        }
        for (server, lines) in self.recording.work() {
            story.push_str(&format!("\n# What was done about {server}\n{lines}"));
        }
        for (server, lines) in self.records() {
            story.push_str(&format!("\n# What {server} received\n{lines}"));
        }
        story
            .replace(&*self.scratch.path().to_string_lossy(), "<scratch>")
            .replace(&std::env::var("PATH").unwrap_or_default(), "<path>")
            .replace(&*fake_server().unwrap().to_string_lossy(), "<fake-server>")
            .replace(
                concat!(r#""version":""#, env!("CARGO_PKG_VERSION"), '"'),
                r#""version":"<version>""#,
            )
    }

    fn records(&self) -> BTreeMap<String, String> {
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(self.scratch.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "jsonl") {
                let record = fs::read_to_string(&path).unwrap();
                words::check_ids(&record);
                let lines = record
                    .lines()
                    .map(|line| words::frame(line).abridged() + "\n")
                    .collect();
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                records.insert(name, lines);
            }
        }
        records
    }
}

const LISTS: [CatalogKind; 4] = [
    CatalogKind::Tools,
    CatalogKind::Resources,
    CatalogKind::Templates,
    CatalogKind::Prompts,
];

/// Polls a future once, so that what it does at its start is done.
pub(crate) fn begin<T>(future: &mut (impl Future<Output = T> + Unpin)) {
    assert!(future.now_or_never().is_none(), "it ended at once");
}
