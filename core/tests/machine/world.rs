//! The outside world of a fleet in a test: a clock that stands still until told, and the ends of
//! the links.

use std::time::Duration;

use bytes::Bytes;
use mcp_fleet_core::{
    CallError, CallId, CallOptions, CommandError, CommandId, Effect, Event, Exit, Fleet, Input,
    LinkId, McpCommand, RawJson, Reply, Request, ServerName, ServerState, Signal, Time,
    config::{FleetConfig, Kind, Restart, ServerConfig, Stdio},
};
use serde_json::{Value, json};

pub struct World {
    pub fleet: Fleet,
    pub now: Time,
    pub effects: Vec<Effect>,
    pub events: Vec<Event>,
    next_id: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(FleetConfig::default())
    }

    pub fn with(config: FleetConfig) -> Self {
        Self {
            fleet: Fleet::new(config, 7),
            now: Time::ZERO,
            effects: Vec::new(),
            events: Vec::new(),
            next_id: 0,
        }
    }

    pub fn feed(&mut self, input: impl Into<Input>) {
        self.fleet.handle_input(self.now, input.into());
        self.drain();
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        for _ in 0..10_000 {
            match self.fleet.poll_timeout() {
                Some(deadline) if deadline.at <= end => {
                    self.now = self.now.max(deadline.at);
                    self.fleet.handle_timeout(self.now);
                    self.drain();
                }
                Some(_) | None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!(
            "deadlines without end at {:?}: {:?}",
            self.now,
            self.fleet.poll_timeout()
        );
    }

    fn drain(&mut self) {
        self.effects
            .extend(std::iter::from_fn(|| self.fleet.poll_effect()));
        self.events
            .extend(std::iter::from_fn(|| self.fleet.poll_event()));
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn command(&mut self, make: impl FnOnce(CommandId) -> McpCommand) -> CommandId {
        let id = CommandId(self.id());
        self.feed(make(id));
        id
    }

    /// The link of the one `Open` among the effects, which it takes.
    pub fn opened(&mut self) -> LinkId {
        let place = self
            .effects
            .iter()
            .position(|effect| matches!(effect, Effect::Open { .. }));
        self.effects.remove(place.expect("an Open effect")).link()
    }

    /// All that was sent on the link, and takes it.
    pub fn sent(&mut self, link: LinkId) -> Vec<Value> {
        let mut frames = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::Send { link: to, bytes } if *to == link => {
                let text = std::str::from_utf8(bytes).unwrap();
                assert!(
                    text.ends_with('\n') && text.matches('\n').count() == 1,
                    "{text:?}"
                );
                frames.push(serde_json::from_str(text).unwrap());
                false
            }
            _ => true,
        });
        frames
    }

    pub fn say(&mut self, link: LinkId, message: Value) {
        self.say_raw(link, format!("{message}\n"));
    }

    pub fn say_raw(&mut self, link: LinkId, text: impl Into<String>) {
        let bytes = Bytes::from(text.into());
        self.feed(Signal::Bytes { link, bytes });
    }

    pub fn wrote(&mut self, link: LinkId, bytes: u64) {
        self.feed(Signal::Wrote { link, bytes });
    }

    pub fn exit(&mut self, link: LinkId, exit: Exit) {
        self.feed(Signal::Exited { link, exit });
        self.feed(Signal::Eof { link });
        self.feed(Signal::Closed { link });
    }

    pub fn deploy_config(&mut self, config: ServerConfig) -> (LinkId, CommandId) {
        let id = self.command(|id| McpCommand::Deploy {
            id,
            config: Box::new(config),
        });
        let link = self.opened();
        self.feed(Signal::Opened {
            link,
            pid: Some(4711),
        });
        (link, id)
    }

    pub fn deploy(&mut self, name: &str) -> (LinkId, CommandId) {
        self.deploy_config(server(name))
    }

    /// A ready modern server with no lists, and nothing left to look at.
    pub fn modern(&mut self, config: ServerConfig) -> LinkId {
        let (link, _) = self.deploy_config(config);
        let probe = self.sent(link).remove(0);
        self.say(link, answer(&probe, discovered(json!({}))));
        self.clear();
        link
    }

    /// A ready legacy server with no lists, and nothing left to look at.
    pub fn legacy(&mut self, config: ServerConfig, revision: &str) -> LinkId {
        let (link, _) = self.deploy_config(config);
        let probe = self.sent(link).remove(0);
        self.say(link, error(&probe, -32601, "what?"));
        let initialize = self.sent(link).remove(0);
        self.say(link, answer(&initialize, initialized(revision, json!({}))));
        self.clear();
        link
    }

    pub fn clear(&mut self) {
        self.effects.clear();
        self.events.clear();
    }

    pub fn call(&mut self, server: &str, tool: &str) -> CallId {
        self.call_with(server, tool, CallOptions::default())
    }

    pub fn call_with(&mut self, server: &str, tool: &str, options: CallOptions) -> CallId {
        let call = CallId(self.id());
        let arguments = RawJson::parse(format!("{{\"n\":{}}}", call.0)).unwrap();
        let request = Request::Tool {
            name: tool.to_owned(),
            arguments: Some(arguments),
        };
        self.feed(McpCommand::Execute {
            call,
            server: server.to_owned(),
            request,
            options,
        });
        call
    }

    /// The one outcome of a call, which it takes; panics where there are two.
    pub fn outcome(&mut self, id: CallId) -> Option<Result<Value, CallError>> {
        let mut found = Vec::new();
        self.events.retain(|event| match event {
            Event::CallEnded { call, outcome } if *call == id => {
                found.push(outcome.clone());
                false
            }
            _ => true,
        });
        assert!(found.len() <= 1, "{found:?}");
        found
            .pop()
            .map(|outcome| outcome.map(|result| result.read().unwrap()))
    }

    pub fn reply(&mut self, id: CommandId) -> Option<Result<Reply, CommandError>> {
        let mut found = Vec::new();
        self.events.retain(|event| match event {
            Event::CommandEnded { id: ended, outcome } if *ended == id => {
                found.push(outcome.clone());
                false
            }
            _ => true,
        });
        assert!(found.len() <= 1, "{found:?}");
        found.pop()
    }

    /// The states a server went through since they were last asked for.
    pub fn states(&mut self, name: &str) -> Vec<ServerState> {
        let mut states = Vec::new();
        self.events.retain(|event| match event {
            Event::ServerChanged { server, state, .. } if server.as_str() == name => {
                states.push(*state);
                false
            }
            _ => true,
        });
        states
    }

    pub fn state(&mut self, name: &str) -> ServerState {
        let id = self.command(|id| McpCommand::ListServers { id });
        let Some(Ok(Reply::Servers(all))) = self.reply(id) else {
            panic!()
        };
        all.into_iter()
            .find(|info| info.name.as_str() == name)
            .unwrap()
            .state
    }
}

/// A server that is neither checked nor started again by itself: what a test does to it stays done.
pub fn server(name: &str) -> ServerConfig {
    let kind = Kind::Stdio(Stdio {
        command: "server".to_owned(),
        ..Stdio::default()
    });
    let mut config = ServerConfig::new(ServerName::new(name).unwrap(), kind);
    config.restart = Restart::Never;
    config.limits.health_interval = Duration::ZERO;
    config
}

pub fn answer(request: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": request["id"], "result": result})
}

pub fn error(request: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}})
}

pub fn discovered(capabilities: Value) -> Value {
    json!({
        "resultType": "complete", "supportedVersions": ["2026-07-28"],
        "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}},
    })
}

pub fn initialized(revision: &str, capabilities: Value) -> Value {
    json!({
        "protocolVersion": revision, "capabilities": capabilities,
        "serverInfo": {"name": "fake", "version": "1"},
    })
}
