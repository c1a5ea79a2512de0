//! What a seed decides before a life begins: names, limits, pace.

use std::time::Duration;

use mcp_fleet_core::{
    ServerName,
    config::{
        ClientCapabilities, ElicitationCapability, FleetConfig, FleetLimits, Kind, Probe, Probes,
        Replace, Restart, Retry, Root, SamplingCapability, Scope, ServerConfig, ServerLimits,
        Start, Stdio, Strategy,
    },
};

use crate::dice::{Dice, Fate};

/// The circumstances of one life.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) fleet: FleetConfig,
    pub(crate) names: Vec<String>,
    /// How generous time limits are, in microseconds for a unit of them.
    pub(crate) unit: u64,
    /// Longest line of any server in this life. It is not changed while servers run, so that the
    /// model need not know in which piece of a line a change arrived.
    pub(crate) line_bytes: usize,
    /// Longest pause between two acts of the clients, in microseconds.
    pub(crate) pause: u64,
    /// Longest time that anything in the outside world takes, in microseconds.
    pub(crate) latency: u64,
    /// Bytes that a pipe holds.
    pub(crate) pipe_bytes: usize,
    /// Turns of the machine come this late, at most, in microseconds.
    pub(crate) late: u64,
}

impl Setting {
    pub(crate) fn new(fate: &Fate) -> Self {
        let dice = &mut fate.dice(0x5e);
        let names = (0..dice.pick(&[1_u64, 1, 2, 3, 3, 4]))
            .map(|number| format!("s{number}"))
            .collect();
        Self {
            fleet: fleet_config(dice),
            names,
            unit: dice.pick(&[20, 1_000, 1_000, 30_000]),
            line_bytes: dice.pick(&[700, 4000, 4000, 100_000]),
            pause: dice.pick(&[50, 2_000, 2_000, 50_000]),
            latency: dice.pick(&[20, 500, 500, 20_000]),
            pipe_bytes: dice.pick(&[64, 700, 65_536]),
            late: dice.pick(&[1, 1, 1, 2_000]),
        }
    }

    /// A configuration for a server, anew each time.
    pub(crate) fn config(&self, name: &str, dice: &mut Dice) -> ServerConfig {
        let stdio = Stdio {
            command: format!("server-{}", dice.below(2)),
            ..Stdio::default()
        };
        let name = ServerName::new(name).expect("names are plain");
        let mut config = ServerConfig::new(name, Kind::Stdio(stdio));
        config.enabled = !dice.one_in(10);
        config.restart = dice.pick(&[Restart::Always, Restart::OnFailure, Restart::Never]);
        config.replace = dice.pick(&[Replace::Beside, Replace::Beside, Replace::InTurn]);
        config.probes = probes(dice);
        config.limits = self.limits(dice, &config.probes);
        config.retry = dice.pick(&[
            Retry::Never,
            Retry::Unsent,
            Retry::Idempotent,
            Retry::Idempotent,
        ]);
        // Dice of its own, so that these choices move no other.
        let dice = &mut dice.clone().split(0x0d);
        self.place(&mut config, dice);
        self.let_sleep(&mut config, &mut dice.split(0x1a));
        config
    }

    /// Whether a server runs only while it is needed, and whose it is.
    fn let_sleep(&self, config: &mut ServerConfig, dice: &mut Dice) {
        if dice.one_in(3) {
            config.start = Start::Lazy;
        }
        if dice.one_in(5) {
            config.scope = Scope::PerClient;
        }
        let units = dice.pick(&[0, 1, 10, 50, 300]);
        config.limits.idle_stop = Duration::from_micros(units * self.unit);
        config.limits.clients = dice.pick(&[1, 1, 2, 3]);
    }

    /// After whom a server comes: mostly only such as come before it in the list of names.
    fn place(&self, config: &mut ServerConfig, dice: &mut Dice) {
        let own = self
            .names
            .iter()
            .position(|name| *name == config.name.as_str());
        for name in &self.names[..own.unwrap_or(self.names.len())] {
            if dice.one_in(5) {
                config.after.extend(ServerName::new(name));
            }
        }
        if dice.one_in(2) {
            config.group = Some(dice.pick(&["g", "g", "h"]).to_owned());
        }
    }

    /// A configuration whose server may have to wait for ever, or is to be refused.
    pub(crate) fn blocked_config(&self, name: &str, dice: &mut Dice) -> ServerConfig {
        let mut config = self.config(name, dice);
        match dice.below(8) {
            0 => config.group = Some("unknown".to_owned()),
            1..=3 => config.after.extend(ServerName::new("nobody")),
            _ => {
                let other = dice.index(self.names.len());
                config.after.extend(ServerName::new(&self.names[other]));
            }
        }
        config
    }

    fn limits(&self, dice: &mut Dice, probes: &Probes) -> ServerLimits {
        let unit = self.unit;
        let mut span = |least: u64| {
            let units = dice.pick(&[0, 1, 10, 50, 300]);
            Duration::from_micros((least + units) * unit)
        };
        let health_interval = span(0);
        // Often enough that many come within one life.
        let pace = span(0);
        let soon = |least: u64| Duration::from_micros(least * unit) + pace / 10;
        // A server in good health must be able to say so.
        let wait = Duration::from_micros(self.latency * 12 + self.late * 4);
        let checked = !health_interval.is_zero();
        let probed = probes.startup != Probe::None || probes.readiness != Probe::None;
        let health_interval = health_interval + if checked { wait } else { Duration::ZERO };
        let request_wait = if checked || probed {
            wait
        } else {
            Duration::ZERO
        };
        ServerLimits {
            timeout: span(1),
            timeout_max: span(20),
            // A server in good health must be able to start within it.
            start_timeout: span(50) + Duration::from_micros(self.latency * 60 + self.late * 30),
            probe_timeout: span(0),
            request_timeout: span(0) + request_wait,
            health_interval,
            drain_timeout: span(0),
            close_input_wait: span(0),
            terminate_wait: span(0),
            exit_wait: span(0),
            kill_wait: span(0),
            refresh_interval: span(0),
            round_pause: span(0),
            backoff: span(0),
            backoff_max: span(1),
            restart_window: span(1),
            stable: span(0),
            revive: span(1),
            probation: span(0),
            scale_down: span(1),
            replicas: dice.pick(&[1, 1, 1, 2, 3]),
            replicas_max: dice.pick(&[0, 0, 2, 4]),
            scale_queue: dice.pick(&[1, 3, 8]),
            startup_interval: soon(1),
            readiness_interval: soon(1) + wait,
            breaker_window: soon(5),
            breaker_open: soon(1),
            restarts: dice.pick(&[0, 1, 2, 5]),
            health_failures: dice.pick(&[1, 2, 3]),
            in_flight: dice.pick(&[1, 2, 5]),
            queue: dice.pick(&[0, 1, 4, 20]),
            waiting: dice.pick(&[0, 1, 3, 10]),
            line_bytes: self.line_bytes,
            write_bytes: dice.pick(&[1, 300, 5000, 5000]),
            noise_lines: dice.pick(&[0, 3, 100, 100]),
            log_bytes: dice.pick(&[0, 20, 2000]),
            pages: dice.pick(&[1, 3]),
            entries: dice.pick(&[1, 4]),
            inputs: dice.pick(&[0, 1, 3, 3]),
            rounds: dice.pick(&[0, 1, 3]),
            readiness_failures: dice.pick(&[1, 2, 3]),
            breaker_failures: dice.pick(&[0, 0, 1, 2, 4]),
            breaker_percent: dice.pick(&[0, 0, 10, 50, 100]),
            breaker_calls: dice.pick(&[1, 2, 5]),
            queue_per_client: dice.pick(&[0, 0, 1, 3]),
            retry_percent: dice.pick(&[0, 20, 60, 100]),
            ..ServerLimits::default()
        }
    }
}

fn probes(dice: &mut Dice) -> Probes {
    let mut probe = |tool: &str| match dice.below(5) {
        0 => Probe::Ping,
        1 | 2 => Probe::Tool(tool.to_owned()),
        _ => Probe::None,
    };
    Probes {
        startup: probe("up"),
        readiness: probe("well"),
        liveness: match probe("alive") {
            Probe::None if dice.one_in(2) => Probe::Ping,
            other => other,
        },
    }
}

fn fleet_config(dice: &mut Dice) -> FleetConfig {
    let mut config = FleetConfig {
        limits: FleetLimits {
            servers: dice.pick(&[1, 2, 64, 64, 64]),
            calls: dice.pick(&[1, 5, 100, 1000]),
            starting: dice.pick(&[1, 2, 100]),
            calls_per_client: dice.pick(&[0, 0, 3, 20]),
        },
        ..FleetConfig::default()
    };
    let own = &mut dice.clone().split(0x0d);
    for group in ["g", "h"] {
        let strategy = own.pick(&[
            Strategy::OneForOne,
            Strategy::OneForAll,
            Strategy::RestForOne,
        ]);
        config.groups.insert(group.to_owned(), strategy);
    }
    if !dice.one_in(3) {
        let root = Root {
            uri: "file:///srv".into(),
            name: None,
        };
        config.client.capabilities = ClientCapabilities {
            roots: dice.one_in(2).then(|| vec![root]),
            sampling: Some(SamplingCapability::default()),
            elicitation: Some(ElicitationCapability::default()),
        };
    }
    config
}
