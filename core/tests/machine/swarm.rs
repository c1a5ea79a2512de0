//! Many short random lives of a fleet, each with its own limits, habits and outside world.
//!
//! A seed decides everything. `MCP_FLEET_SWARM_SEED=41 cargo test swarm` lives one life alone and
//! tells its inputs.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a life lived alone is told"
)]

mod book;
mod peer;

use std::{collections::BTreeMap, time::Duration};

use mcp_fleet_core::{
    CallId, CallOptions, CatalogKind, CommandId, Effect, Fleet, Input, LinkId, McpCommand, RawJson,
    Request, RpcError, Signal, Time,
    config::{
        ClientCapabilities, ElicitationCapability, FleetConfig, FleetLimits, Kind, Restart, Root,
        SamplingCapability, ServerConfig, ServerLimits, Stdio,
    },
    journal::{Entry, replay},
};

use self::{book::Book, peer::Peer};
use crate::world::server;

const LIVES: u64 = 2000;
const STEPS: u64 = 200;
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Turns of the clock that one moment may take. More would be a machine that never sleeps.
const TURNS_MAX: usize = 64;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}

struct Life {
    dice: Dice,
    fleet: Fleet,
    now: Time,
    peers: BTreeMap<LinkId, Peer>,
    book: Book,
    next_id: u64,
    /// How often an application command, and not the outside world, has the next word.
    busy: u64,
    /// How generous the time limits are.
    patience: u64,
    told: Option<Vec<String>>,
    loud: bool,
}

impl Life {
    fn new(seed: u64, config: FleetConfig) -> Self {
        Self {
            dice: Dice(seed ^ 0x5eed),
            fleet: Fleet::new(config, seed),
            now: Time::ZERO,
            peers: BTreeMap::new(),
            book: Book::default(),
            next_id: 0,
            busy: 2 + seed % 6,
            patience: [1, 20, 1000][usize::try_from(seed % 3).unwrap()],
            told: None,
            loud: false,
        }
    }

    /// Tells the machine one thing, or that time has passed, and does its bidding.
    fn turn(&mut self, input: Option<Input>) {
        if self.loud {
            println!("{:?} {input:?}", self.now);
        }
        if let Some(Input::Signal(signal)) = &input {
            self.book.on_signal(signal);
        }
        let mut entry = Entry {
            at: self.now,
            input,
            effects: Vec::new(),
        };
        let (effects, events) = replay(&mut self.fleet, &entry);
        for effect in &effects {
            if self.loud {
                println!("    {effect:?}");
            }
            self.book.on_effect(effect);
            self.obey(effect);
        }
        for event in &events {
            if self.loud {
                println!("    {event:?}");
            }
            self.book.on_event(event);
        }
        if let Some(told) = &mut self.told {
            entry.effects = effects;
            told.push(serde_json::to_string(&entry).unwrap());
            told.push(serde_json::to_string(&events).unwrap());
        }
    }

    fn obey(&mut self, effect: &Effect) {
        let link = effect.link();
        if let Effect::Open { .. } = effect {
            self.peers.insert(link, Peer::new(&mut self.dice));
        } else if let Some(peer) = self.peers.get_mut(&link) {
            peer.obey(effect);
        }
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            roll if roll < self.busy => self.ask(),
            14 => self.tick(),
            15 => self.lie(),
            _ => self.happen(),
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn command(&mut self, make: impl FnOnce(CommandId) -> McpCommand) {
        let id = CommandId(self.id());
        self.book.on_command(id);
        self.turn(Some(make(id).into()));
    }

    /// The application asks for something.
    fn ask(&mut self) {
        let server = self.dice.pick(&NAMES).to_owned();
        match self.dice.below(40) {
            0..=1 => self.deploy(&server),
            4 if self.dice.one_in(3) => self.command(|id| McpCommand::Undeploy { id, server }),
            5 => self.command(|id| McpCommand::Restart { id, server }),
            6..=7 => {
                let config = self.config(&server);
                self.command(|id| McpCommand::UpdateConfig { id, config });
            }
            8..=10 => {
                let server = (!self.dice.one_in(4)).then_some(server);
                self.command(|id| McpCommand::HealthCheck { id, server });
            }
            11..=13 => {
                let kind = self.dice.pick(&CatalogKind::VALUES);
                self.command(|id| McpCommand::ListCatalog { id, server, kind });
            }
            14 => self.command(|id| McpCommand::ListServers { id }),
            2 => self.command(|id| McpCommand::GetMetrics {
                id,
                server: Some(server),
            }),
            15..=18 => {
                let call = CallId((self.next_id + 1).saturating_sub(self.dice.below(12)));
                let reason = self.dice.one_in(2).then(|| "no \"more\"\n".to_owned());
                self.turn(Some(McpCommand::Cancel { call, reason }.into()));
            }
            19..=22 => self.answer(),
            23 if self.dice.one_in(60) => {
                let grace = self.dice.one_in(2).then_some(Duration::from_millis(20));
                self.command(|id| McpCommand::Shutdown { id, grace });
            }
            _ => self.call(server),
        }
    }

    fn deploy(&mut self, name: &str) {
        let config = self.config(name);
        self.command(|id| McpCommand::Deploy { id, config });
    }

    fn config(&mut self, name: &str) -> Box<ServerConfig> {
        let mut config = server(name);
        config.limits = self.limits();
        config.enabled = !self.dice.one_in(8);
        config.restart = self
            .dice
            .pick(&[Restart::Always, Restart::OnFailure, Restart::Never]);
        config.kind = match self.dice.below(3) {
            0 => Kind::InProcess,
            _ => Kind::Stdio(Stdio::default()),
        };
        self.book.allow(&config);
        Box::new(config)
    }

    fn limits(&mut self) -> ServerLimits {
        let dice = &mut self.dice;
        let patience = self.patience;
        let mut span = |least: u64| {
            let millis = dice.pick(&[0, 1, 10, 50, 300]);
            Duration::from_millis((least + millis) * patience)
        };
        let health = span(0);
        ServerLimits {
            timeout: span(0),
            timeout_max: span(20),
            start_timeout: span(50),
            probe_timeout: span(0),
            request_timeout: span(0),
            drain_timeout: span(0),
            close_input_wait: span(0),
            terminate_wait: span(0),
            exit_wait: span(0),
            backoff: span(1),
            backoff_max: span(1),
            restart_window: span(1),
            stable: span(0),
            revive: span(100),
            refresh_interval: span(0),
            round_pause: span(0),
            health_interval: health,
            health_failures: dice.pick(&[1, 2, 3]),
            restarts: dice.pick(&[0, 1, 2, 5]),
            in_flight: dice.pick(&[1, 2, 5]),
            queue: dice.pick(&[0, 1, 4]),
            waiting: dice.pick(&[0, 1, 3]),
            line_bytes: dice.pick(&[400, 4000, 4000, 4000]),
            write_bytes: dice.pick(&[1, 300, 5000, 5000, 5000]),
            noise_lines: dice.pick(&[0, 3, 100, 100, 100]),
            log_bytes: dice.pick(&[0, 20, 2000]),
            pages: dice.pick(&[1, 3]),
            entries: dice.pick(&[1, 4]),
            inputs: dice.pick(&[0, 1, 3, 3]),
            rounds: dice.pick(&[0, 1, 3]),
        }
    }

    fn call(&mut self, server: String) {
        let call = CallId(self.id());
        let arguments = RawJson::parse(format!("{{\n\"n\": {} }}", call.0)).unwrap();
        let request = match self.dice.below(4) {
            0 => Request::Method {
                method: self
                    .dice
                    .pick(&["prompts/get", "x/y", "", "initialize"])
                    .into(),
                params: Some(arguments),
            },
            _ => Request::Tool {
                name: "t\n".to_owned(),
                arguments: Some(arguments),
            },
        };
        let timeout = self
            .dice
            .pick(&[None, None, Some(0), Some(30), Some(200), Some(u64::MAX)]);
        let options = CallOptions {
            timeout: timeout.map(Duration::from_millis),
            progress: self.dice.one_in(2),
        };
        self.book.on_call(call);
        self.turn(Some(
            McpCommand::Execute {
                call,
                server,
                request,
                options,
            }
            .into(),
        ));
    }

    fn answer(&mut self) {
        let open = self.book.open_inputs();
        if open.is_empty() && !self.dice.one_in(20) {
            return;
        }
        let input = match open.len() {
            0 => mcp_fleet_core::InputId(self.dice.below(50)),
            length => open[self.dice.index(length)],
        };
        let refusal = || RpcError {
            code: -1,
            message: "no".to_owned(),
            data: None,
        };
        let answer = if self.dice.one_in(5) {
            Err(refusal())
        } else {
            Ok(RawJson::parse("{\"action\":\"accept\"}").unwrap())
        };
        self.book.on_answer(input);
        self.command(|id| McpCommand::Answer { id, input, answer });
    }

    /// Time passes: to the next deadline, or by a leap, or backwards.
    fn tick(&mut self) {
        let next = self.fleet.poll_timeout().map(|deadline| deadline.at);
        self.now = match (self.dice.below(24), next) {
            (0, _) => Time::from_nanos(self.now.as_nanos().saturating_sub(1_000_000)),
            (1, _) => self.now.after(Duration::from_secs(3600)),
            (2..=16, _) | (_, None) => self.now.after(Duration::from_millis(self.dice.below(5))),
            // A deadline at the end of time never comes.
            (_, Some(Time::MAX)) => self.now,
            (_, Some(at)) => self.now.max(at),
        };
        self.sleep();
    }

    fn sleep(&mut self) {
        for _ in 0..TURNS_MAX {
            self.turn(None);
            if self
                .fleet
                .poll_timeout()
                .is_none_or(|deadline| deadline.at > self.now)
            {
                return;
            }
        }
        let stuck = self.fleet.poll_timeout();
        panic!("at {:?} still due: {stuck:?}", self.now);
    }

    /// Something happens on a link.
    fn happen(&mut self) {
        if self.peers.is_empty() {
            return;
        }
        let place = self.dice.index(self.peers.len());
        let (link, peer) = self.peers.iter_mut().nth(place).unwrap();
        let link = *link;
        let signal = peer.act(link, &mut self.dice, &mut self.book);
        let over = peer.is_over();
        if let Some(signal) = signal {
            self.turn(Some(signal.into()));
        }
        if over {
            self.peers.remove(&link);
        }
    }

    /// A word about a link that is no more, or never was.
    fn lie(&mut self) {
        let mut link = LinkId {
            server: mcp_fleet_core::ServerId(u32::try_from(self.dice.below(4)).unwrap()),
            incarnation: u32::try_from(self.dice.below(4)).unwrap(),
        };
        while self.peers.contains_key(&link) {
            link.incarnation += 1000;
        }
        let signal = match self.dice.below(4) {
            0 => Signal::Closed { link },
            1 => Signal::Opened { link, pid: None },
            2 => Signal::Eof { link },
            _ => Signal::Bytes {
                link,
                bytes: "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n".into(),
            },
        };
        let before = self.fleet.stats().stale_signals;
        self.turn(Some(signal.into()));
        assert_eq!(self.fleet.stats().stale_signals, before + 1);
    }

    /// The application leaves; every link comes to its end.
    fn finish(&mut self) {
        self.command(|id| McpCommand::Shutdown {
            id,
            grace: Some(Duration::ZERO),
        });
        for _ in 0..400 {
            if self.peers.is_empty() {
                break;
            }
            for peer in self.peers.values_mut() {
                peer.hurry();
            }
            self.tick();
            self.happen();
        }
        assert!(self.peers.is_empty(), "links without end");
        assert!(self.fleet.is_shut_down());
        assert_eq!(self.fleet.poll_timeout(), None);
        self.book.finish(&self.fleet.stats());
    }
}

fn fleet_config(dice: &mut Dice) -> FleetConfig {
    let mut config = FleetConfig {
        limits: FleetLimits {
            servers: dice.pick(&[1, 2, 3, 3, 3]),
            calls: dice.pick(&[1, 5, 100, 100]),
            starting: dice.pick(&[1, 2, 100]),
        },
        ..FleetConfig::default()
    };
    if !dice.one_in(3) {
        config.client.capabilities = ClientCapabilities {
            roots: dice.one_in(2).then(|| {
                vec![Root {
                    uri: "file:///srv".into(),
                    name: None,
                }]
            }),
            sampling: Some(SamplingCapability::default()),
            elicitation: Some(ElicitationCapability::default()),
        };
    }
    config
}

fn live(seed: u64, record: bool, loud: bool) -> (FleetConfig, Vec<String>) {
    let config = fleet_config(&mut Dice(seed));
    let mut life = Life::new(seed, config.clone());
    life.told = record.then(Vec::new);
    life.loud = loud;
    life.book.forbid(&config.limits);
    for name in NAMES {
        life.deploy(name);
    }
    for step in 0..STEPS {
        life.step();
        if step % 10 == 0 {
            life.book.check(&life.fleet.stats());
        }
    }
    life.finish();
    (config, life.told.unwrap_or_default())
}

/// Names the seed when its life ends in a panic.
struct Epitaph(u64);

impl Drop for Epitaph {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {0}: run it alone with MCP_FLEET_SWARM_SEED={0}",
                self.0
            );
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "whoever runs the test names one seed"
)]
#[test]
fn random_lives_keep_every_promise() {
    if let Ok(seed) = std::env::var("MCP_FLEET_SWARM_SEED") {
        live(seed.parse().unwrap(), false, true);
        return;
    }
    for seed in 0..LIVES {
        let _epitaph = Epitaph(seed);
        live(seed, false, false);
    }
}

#[test]
fn a_random_life_is_the_same_when_lived_or_told_again() {
    for seed in 0..LIVES / 40 {
        let _epitaph = Epitaph(seed);
        let (config, told) = live(seed, true, false);
        assert!(told == live(seed, true, false).1, "two lives of one seed");
        let mut again = Fleet::new(config, seed);
        for lines in told.chunks(2) {
            let entry: Entry = serde_json::from_str(&lines[0]).unwrap();
            let (effects, events) = replay(&mut again, &entry);
            let entry = Entry { effects, ..entry };
            assert_eq!(serde_json::to_string(&entry).unwrap(), lines[0]);
            assert_eq!(serde_json::to_string(&events).unwrap(), lines[1]);
        }
    }
}
