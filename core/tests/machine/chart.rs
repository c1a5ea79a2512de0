//! Every state and what each input makes of it, as a table and as a chart to be reviewed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use mcp_fleet_core::{
    CallOptions, Effect, Event, Exit, LinkId, McpCommand, ServerId, ServerName, ServerState,
    Signal, Timer,
    config::{
        ElicitationCapability, FleetConfig, Kind, Probe, Replace, Restart, ServerConfig, Start,
        Stdio,
    },
};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, error, server};

/// A world whose one server is where the name says.
type Situation = (&'static str, fn() -> (World, LinkId));

const SITUATIONS: [Situation; 27] = [
    ("stopped", stopped),
    ("asleep", asleep),
    ("starting", starting),
    ("probing", probing),
    ("handshaking after a probe", handshaking),
    ("handshaking without a probe", respawned),
    ("warming", warming),
    ("ready", ready),
    ("unready", unready),
    ("ready and checked", checked),
    ("ready with calls", busy),
    ("ready and deaf", deaf),
    ("draining to stop", || leaving(busy(), disable)),
    ("draining to restart", || leaving(busy(), restart)),
    ("draining to be forgotten", || leaving(busy(), undeploy)),
    ("closing unopened to stop", || leaving(starting(), disable)),
    ("closing to stop", || leaving(ready(), disable)),
    ("closing to restart", || leaving(ready(), restart)),
    ("closing to be forgotten", || leaving(ready(), undeploy)),
    ("closing to respawn", || ended(probing())),
    ("closing to fail", || ended(ready())),
    ("closing after the exit", exited),
    ("waiting for its turn", waiting),
    ("waiting for another", held),
    ("backoff", backing_off),
    ("failed", failed),
    ("failed for a while", spent),
];

const TIMERS: [Timer; 21] = [
    Timer::Start,
    Timer::Probe,
    Timer::Drain,
    Timer::CloseInput,
    Timer::Terminate,
    Timer::ExitWait,
    Timer::KillWait,
    Timer::Backoff,
    Timer::Revive,
    Timer::Dependency,
    Timer::Health,
    Timer::Startup,
    Timer::Readiness,
    Timer::Page,
    Timer::Idle,
    Timer::Listen,
    Timer::Refresh,
    Timer::Call,
    Timer::Request,
    Timer::Round,
    Timer::Input,
];

type Act = fn(&mut World, LinkId);

const INPUTS: [(&str, Act); 16] = [
    ("opened", |world, link| {
        world.feed(Signal::Opened { link, pid: None });
    }),
    ("open failed", |world, link| {
        world.feed(Signal::OpenFailed {
            link,
            message: String::new(),
            transient: false,
        });
    }),
    ("bytes: noise", |world, link| world.say_raw(link, "noise\n")),
    ("bytes: a line too long", |world, link| {
        world.say_raw(link, "x".repeat(5000));
    }),
    ("eof", |world, link| world.feed(Signal::Eof { link })),
    ("wrote", |world, link| world.wrote(link, 1)),
    ("write failed", |world, link| {
        world.feed(Signal::WriteFailed {
            link,
            message: String::new(),
        });
    }),
    ("stderr", |world, link| {
        world.feed(Signal::Stderr {
            link,
            bytes: "x".into(),
            dropped: 0,
        });
    }),
    ("exited", |world, link| {
        world.feed(Signal::Exited {
            link,
            exit: Exit::Code(0),
        });
    }),
    ("closed", |world, link| world.feed(Signal::Closed { link })),
    ("restart", |world, _| restart(world)),
    ("undeploy", |world, _| undeploy(world)),
    ("update: replace", |world, _| {
        update(world, |config| {
            config.kind = Kind::Stdio(Stdio {
                command: "other".to_owned(),
                ..Stdio::default()
            });
        });
    }),
    ("update: replace in turn", |world, _| {
        update(world, |config| {
            config.replace = Replace::InTurn;
            config.kind = Kind::Stdio(Stdio {
                command: "other".to_owned(),
                ..Stdio::default()
            });
        });
    }),
    ("update: disable", |world, _| disable(world)),
    ("shutdown", |world, _| {
        world.command(|id| McpCommand::Shutdown { id, grace: None });
    }),
];

fn restart(world: &mut World) {
    let server = "a".to_owned();
    world.command(|id| McpCommand::Restart { id, server });
}

fn undeploy(world: &mut World) {
    let server = "a".to_owned();
    world.command(|id| McpCommand::Undeploy { id, server });
}

fn disable(world: &mut World) {
    update(world, |config| config.enabled = false);
}

fn update(world: &mut World, change: fn(&mut ServerConfig)) {
    let mut config = config();
    change(&mut config);
    let config = Box::new(config);
    world.command(|id| McpCommand::UpdateConfig { id, config });
}

fn config() -> ServerConfig {
    let mut config = server("a");
    config.limits.line_bytes = 4000;
    // A probe that waits longer than a start, so that both deadlines can be seen.
    config.limits.start_timeout = Duration::from_secs(6);
    config
}

fn stopped() -> (World, LinkId) {
    let (mut world, link) = ready();
    disable(&mut world);
    world.exit(link, Exit::Code(0));
    (world, link)
}

fn starting() -> (World, LinkId) {
    let mut world = World::new();
    let config = Box::new(config());
    world.command(|id| McpCommand::Deploy { id, config });
    let link = world.opened();
    (world, link)
}

fn probing() -> (World, LinkId) {
    let (mut world, link) = starting();
    world.feed(Signal::Opened { link, pid: None });
    (world, link)
}

fn handshaking() -> (World, LinkId) {
    let (mut world, link) = probing();
    let probe = world.sent(link).remove(0);
    world.say(link, error(&probe, -32601, "what?"));
    (world, link)
}

fn respawned() -> (World, LinkId) {
    let (mut world, link) = probing();
    world.exit(link, Exit::Code(1));
    let link = world.opened();
    world.feed(Signal::Opened { link, pid: None });
    (world, link)
}

fn ready() -> (World, LinkId) {
    ready_with(json!({}))
}

fn ready_with(capabilities: Value) -> (World, LinkId) {
    let (mut world, link) = probing();
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(capabilities)));
    (world, link)
}

/// A call in flight, a call in a pause, a list in flight, a list that is due, and no subscription.
fn busy() -> (World, LinkId) {
    let capabilities = json!({"tools": {"listChanged": true}, "prompts": {}});
    let (mut world, link) = ready_with(capabilities);
    let options = CallOptions {
        timeout: Some(Duration::MAX),
        progress: false,
        ..CallOptions::default()
    };
    world.call_with("a", "t", options.clone());
    world.call("a", "t");
    world.call_with("a", "t", options);
    for request in world.sent(link) {
        let result = match (request["method"].as_str().unwrap(), request["id"].as_u64()) {
            ("subscriptions/listen", _) => json!({}),
            ("tools/list", _) => json!({"tools": []}),
            ("tools/call", Some(6)) => {
                json!({"resultType": "input_required", "requestState": "s"})
            }
            _ => continue,
        };
        world.say(link, answer(&request, result));
    }
    world.say(
        link,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}),
    );
    (world, link)
}

fn leaving((mut world, link): (World, LinkId), command: fn(&mut World)) -> (World, LinkId) {
    command(&mut world);
    (world, link)
}

fn ended((mut world, link): (World, LinkId)) -> (World, LinkId) {
    world.feed(Signal::Eof { link });
    (world, link)
}

fn exited() -> (World, LinkId) {
    let (mut world, link) = ready();
    world.feed(Signal::Exited {
        link,
        exit: Exit::Code(1),
    });
    (world, link)
}

fn failed() -> (World, LinkId) {
    let (mut world, link) = ready();
    world.exit(link, Exit::Code(1));
    (world, link)
}

fn waiting() -> (World, LinkId) {
    let mut config = FleetConfig::default();
    config.limits.starting = 1;
    let mut world = World::with(config);
    world.deploy("other");
    let config = Box::new(server("a"));
    world.command(|id| McpCommand::Deploy { id, config });
    let (server, incarnation) = (ServerId(1), 1);
    (
        world,
        LinkId {
            server,
            incarnation,
        },
    )
}

fn asleep() -> (World, LinkId) {
    let mut world = World::new();
    let mut config = config();
    config.start = Start::Lazy;
    let config = Box::new(config);
    world.command(|id| McpCommand::Deploy { id, config });
    let (server, incarnation) = (ServerId(0), 1);
    (
        world,
        LinkId {
            server,
            incarnation,
        },
    )
}

fn held() -> (World, LinkId) {
    let mut world = World::new();
    let mut config = config();
    config.after = vec![ServerName::new("other").unwrap()];
    let config = Box::new(config);
    world.command(|id| McpCommand::Deploy { id, config });
    let (server, incarnation) = (ServerId(0), 1);
    (
        world,
        LinkId {
            server,
            incarnation,
        },
    )
}

fn lasting(restarts: usize) -> (World, LinkId) {
    let mut world = World::new();
    let mut config = server("a");
    config.restart = Restart::Always;
    config.limits.restarts = restarts;
    let link = world.modern(config);
    world.exit(link, Exit::Code(1));
    (world, link)
}

fn checked() -> (World, LinkId) {
    let mut world = World::new();
    let mut config = server("a");
    config.limits.health_interval = Duration::from_secs(1);
    config.limits.replicas_max = 2;
    config.limits.scale_down = Duration::from_millis(1500);
    let link = world.modern(config);
    (world, link)
}

fn warming() -> (World, LinkId) {
    let mut config = config();
    config.probes.startup = Probe::Ping;
    let mut world = World::new();
    let link = world.modern(config);
    (world, link)
}

/// Out of rotation, with a question of its own.
fn unready() -> (World, LinkId) {
    let mut config = config();
    config.probes.readiness = Probe::Tool("well".to_owned());
    config.limits.readiness_failures = 1;
    config.limits.timeout_max = Duration::from_secs(15);
    let mut world = World::with(declared());
    let link = world.legacy(config, "2025-11-25");
    world.pass(Duration::from_secs(10));
    let asked = world.sent(link).pop().unwrap();
    world.say(link, error(&asked, 1, "no"));
    world.say(
        link,
        json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}}),
    );
    (world, link)
}

/// A list is to be read, and the server does not read its input.
fn deaf() -> (World, LinkId) {
    let mut config = config();
    config.limits.write_bytes = 1;
    let mut world = World::new();
    let (link, _) = world.deploy_config(config);
    let probe = world.sent(link).remove(0);
    world.say(link, answer(&probe, discovered(json!({"tools": {}}))));
    (world, link)
}

fn declared() -> FleetConfig {
    let mut config = FleetConfig::default();
    config.client.capabilities.elicitation = Some(ElicitationCapability::default());
    config
}

fn backing_off() -> (World, LinkId) {
    lasting(1)
}

fn spent() -> (World, LinkId) {
    lasting(0)
}

/// The states a server entered, and what the world was asked to do.
fn come_of(world: &mut World) -> (Vec<&'static str>, Vec<String>) {
    let states = world.events.iter().filter_map(|event| match event {
        // A replica that is to take over has a life of its own.
        Event::ServerChanged {
            server,
            replica: 0,
            state,
            ..
        } if server.as_str() == "a" => Some(state.as_str()),
        _ => None,
    });
    let mut states: Vec<_> = states.collect();
    if world.fleet.stats().servers == 0 {
        states.push("gone");
    }
    let effects = std::mem::take(&mut world.effects);
    let effects = effects.iter().map(|effect| match effect {
        Effect::Open { .. } => "open".to_owned(),
        Effect::Send { bytes, .. } => {
            let frame: Value = serde_json::from_slice(bytes).unwrap();
            frame["method"].as_str().unwrap_or("answer").to_owned()
        }
        Effect::CloseInput { .. } => "close input".to_owned(),
        Effect::Terminate { .. } => "terminate".to_owned(),
        Effect::Kill { .. } => "kill".to_owned(),
        Effect::Abandon { .. } => "abandon".to_owned(),
    });
    let effects = effects.collect();
    (states, effects)
}

/// Lets the first deadline of this kind pass; `false` where there is none before the state moves.
fn fire(world: &mut World, timer: Timer, state: ServerState) -> bool {
    for _ in 0..20 {
        let Some(deadline) = world.fleet.poll_timeout() else {
            return false;
        };
        if world.state("a") != state || deadline.at == mcp_fleet_core::Time::MAX {
            return false;
        }
        world.clear();
        world.pass(deadline.at.since(world.now));
        if deadline.timer == timer {
            return true;
        }
    }
    false
}

#[derive(Default)]
struct Chart {
    table: String,
    edges: BTreeMap<(&'static str, &'static str), BTreeSet<String>>,
}

impl Chart {
    fn add(&mut self, from: &'static str, input: &str, world: &mut World) {
        let (states, effects) = come_of(world);
        let next = match states.as_slice() {
            [] => "-".to_owned(),
            states => states.join(", "),
        };
        let line = format!("  {input:23} | {next:30} | {}", effects.join(", "));
        writeln!(self.table, "{}", line.trim_end()).unwrap();
        let mut from = from;
        for to in states {
            if from != to {
                let causes = self.edges.entry((from, to)).or_default();
                causes.insert(input.to_owned());
            }
            from = to;
        }
    }

    fn mermaid(&self) -> String {
        let mut text = "stateDiagram-v2\n  [*] --> starting: deploy\n".to_owned();
        for ((from, to), causes) in &self.edges {
            let to = if *to == "gone" { "[*]" } else { to };
            let causes: Vec<_> = causes
                .iter()
                .map(|cause| cause.replace(": ", " "))
                .collect();
            writeln!(text, "  {from} --> {to}: {}", causes.join(", ")).unwrap();
        }
        text
    }
}

fn chart() -> Chart {
    let mut chart = Chart::default();
    let mut seen = BTreeSet::new();
    for (name, make) in SITUATIONS {
        writeln!(chart.table, "{name}").unwrap();
        let state = make().0.state("a");
        assert!(name.starts_with(state.as_str()), "{name}: {state}");
        seen.insert(state);
        for (input, act) in INPUTS {
            let (mut world, link) = make();
            world.clear();
            act(&mut world, link);
            chart.add(state.as_str(), input, &mut world);
        }
        for timer in TIMERS {
            let (mut world, _) = make();
            if fire(&mut world, timer, state) {
                chart.add(state.as_str(), &format!("timer: {timer:?}"), &mut world);
            }
        }
    }
    assert_eq!(seen.len(), 13, "a state is missing: {seen:?}");
    chart
}

#[test]
fn every_state_takes_every_input_as_charted() {
    let chart = chart();
    for timer in TIMERS {
        assert!(
            chart.table.contains(&format!("timer: {timer:?}")),
            "{timer:?}"
        );
    }
    insta::assert_snapshot!("transitions", chart.table);
    insta::assert_snapshot!("states", chart.mermaid());
}
