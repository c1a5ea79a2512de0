//! Reloads under load: two hundred callers do not notice that a server is replaced again and again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    pin::pin,
    process::Command,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::{Either, join, join_all, select};
use mcp_fleet_core::{
    ReloadReport, ServerName,
    config::{FleetConfig, Kind, ServerConfig, Stdio},
};
use mcp_fleet_driver::{AsyncRuntime, McpManagerV2, RuntimeOptions};
use mcp_fleet_smol::Smol;
use mcp_fleet_tests::{Marker, PATIENCE, Scratch, fake_server};
use mcp_fleet_tokio::Tokio;
use serde_json::{Value, json};

const SERVERS: [&str; 5] = ["replaced", "edited", "one", "two", "three"];
const CALLERS: usize = 200;
const REPLACEMENTS: u32 = 50;
/// How long the fleet is measured before anything changes.
const SPAN: Duration = Duration::from_secs(1);
/// How long every fourth call takes, so that calls are in flight whenever a server changes.
const NAP_MS: u64 = 20;
/// Set in the process that does the work.
const WORKER: &str = "MCP_FLEET_TEST_RELOAD";

#[test]
fn fifty_replacements_lose_no_call_on_tokio() {
    alone("fifty_replacements_lose_no_call_on_tokio", || {
        on_tokio(async |runtime| replace(&World::new("tokio", runtime).await).await);
    });
}

#[test]
fn fifty_replacements_lose_no_call_on_smol() {
    alone("fifty_replacements_lose_no_call_on_smol", || {
        smol::block_on(async { replace(&World::new("smol", Smol).await).await });
    });
}

#[test]
fn a_replacement_that_fails_loses_no_call_on_tokio() {
    alone("a_replacement_that_fails_loses_no_call_on_tokio", || {
        on_tokio(async |runtime| fail(&World::new("tokio", runtime).await).await);
    });
}

#[test]
fn a_replacement_that_fails_loses_no_call_on_smol() {
    alone("a_replacement_that_fails_loses_no_call_on_smol", || {
        smol::block_on(async { fail(&World::new("smol", Smol).await).await });
    });
}

/// Runs this test once more, alone in a new process with two threads for smol.
fn alone(test: &str, work: impl FnOnce()) {
    static TURN: Mutex<()> = Mutex::new(());
    if env::var_os(WORKER).is_some() {
        return work();
    }
    // What the others do is none of the figures.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(WORKER, "1")
        .env("SMOL_THREADS", "2")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{test} failed in its own process:\n{told}\n{errors}"
    );
    let measured = told.lines().find(|line| line.contains("p99"));
    println!("{}", measured.expect("the figures"));
}

fn on_tokio(work: impl AsyncFnOnce(Tokio)) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { work(Tokio::current().unwrap()).await });
}

/// One server is replaced time after time, and in the middle of it another one is edited.
async fn replace<R: AsyncRuntime>(world: &World<R>) {
    let before = world.pids().await;
    let replaced = world
        .under_load(async {
            let mut replaced = BTreeSet::from([before["replaced"]]);
            for version in 1..=REPLACEMENTS {
                world.version.set(version);
                let mut retuned = Vec::new();
                if version == REPLACEMENTS / 2 {
                    world.timeout.set(Duration::from_secs(30));
                    retuned.push("edited");
                }
                let report = world.reload(world.config()).await;
                assert_eq!(names(&report.replaced), ["replaced"]);
                assert_eq!(names(&report.retuned), retuned);
                assert_eq!(report.unchanged.len(), 4 - retuned.len());
                assert!(report.added.is_empty() && report.removed.is_empty());
                assert!(report.failed.is_empty(), "{:?}", report.failed);
                replaced.insert(world.pids().await["replaced"]);
            }
            replaced
        })
        .await;
    assert_eq!(replaced.len(), REPLACEMENTS as usize + 1);
    let after = world.pids().await;
    for (server, pid) in &before {
        assert_eq!(after[server] == *pid, server != "replaced", "{server}");
    }
    // A process that was replaced drains first, and what is left of it ends soon after.
    world.left(&after).await;
    world.finish().await;
    world.called_once();
}

/// What is to replace a server does not work, and so it does not.
async fn fail<R: AsyncRuntime>(world: &World<R>) {
    let before = world.pids().await;
    let patient = Duration::from_secs(60);
    let failures: [(&[&str], Duration, &str); 3] = [
        (
            &["--exit-at-start", "9", "--stderr-at-start", "no such soul"],
            patient,
            "ended before it was ready (exit status 9); stderr ends with: no such soul",
        ),
        (
            &["--discover", "silence", "--initialize", "silence"],
            Duration::from_millis(500),
            "was not ready within 500ms",
        ),
        (
            &["--era", "legacy", "--initialize", "-32603"],
            patient,
            "handshake failed",
        ),
    ];
    world
        .under_load(async {
            for (flags, start_timeout, why) in failures {
                let mut config = world.config();
                let Kind::Stdio(stdio) = &mut config.servers[0].kind else {
                    panic!("a server of another kind");
                };
                stdio.args = flags.iter().map(|flag| (*flag).to_owned()).collect();
                let limits = &mut config.servers[0].limits;
                limits.start_timeout = start_timeout;
                limits.probe_timeout = limits.probe_timeout.min(start_timeout / 2);
                let report = world.reload(config).await;
                let [(server, error)] = report.failed.as_slice() else {
                    panic!("{report:?}");
                };
                assert_eq!(server.as_str(), "replaced");
                assert!(error.to_string().contains(why), "{error}");
                assert!(report.replaced.is_empty() && report.retuned.is_empty());
                assert_eq!(report.unchanged.len(), 4);
                assert_eq!(world.pids().await, before);
            }
            // As it was all the while.
            let report = world.reload(world.config()).await;
            assert_eq!(report.unchanged.len(), SERVERS.len(), "{report:?}");
        })
        .await;
    world.left(&before).await;
    world.finish().await;
    world.called_once();
}

fn names(names: &[ServerName]) -> Vec<&str> {
    names.iter().map(ServerName::as_str).collect()
}

/// Five servers, and how their configuration changes.
struct World<R: AsyncRuntime> {
    name: &'static str,
    runtime: R,
    manager: McpManagerV2<R>,
    marker: Marker,
    scratch: Scratch,
    /// Of the server that is replaced.
    version: Cell<u32>,
    /// Of the server that is edited.
    timeout: Cell<Duration>,
    /// Calls that were answered, by caller and number.
    answered: RefCell<BTreeSet<(u64, u64)>>,
}

impl<R: AsyncRuntime> World<R> {
    async fn new(name: &'static str, runtime: R) -> Self {
        let options = RuntimeOptions::default();
        let world = Self {
            name,
            manager: McpManagerV2::on(runtime.clone(), FleetConfig::default(), options),
            runtime,
            marker: Marker::new(),
            scratch: Scratch::new("reload").unwrap(),
            version: Cell::new(0),
            timeout: Cell::new(Duration::from_secs(60)),
            answered: RefCell::default(),
        };
        let report = world.reload(world.config()).await;
        assert_eq!(report.added.len(), SERVERS.len(), "{report:?}");
        world
    }

    fn config(&self) -> FleetConfig {
        let servers = SERVERS.iter().map(|name| {
            let (variable, value) = self.marker.variable();
            let mut stdio = Stdio {
                command: fake_server().unwrap().to_string_lossy().into_owned(),
                args: vec![
                    "--record".to_owned(),
                    self.record(name).to_string_lossy().into_owned(),
                ],
                env: BTreeMap::from([(variable.to_owned(), value.to_owned())]),
                ..Stdio::default()
            };
            if *name == "replaced" {
                let version = self.version.get().to_string();
                stdio.env.insert("VERSION".to_owned(), version);
            }
            let mut config = ServerConfig::new(ServerName::new(name).unwrap(), Kind::Stdio(stdio));
            if *name == "edited" {
                config.limits.timeout = self.timeout.get();
            }
            config
        });
        FleetConfig {
            servers: servers.collect(),
            ..FleetConfig::default()
        }
    }

    fn record(&self, server: &str) -> PathBuf {
        self.scratch.path().join(format!("{server}.jsonl"))
    }

    async fn reload(&self, config: FleetConfig) -> ReloadReport {
        self.patiently("reload", self.manager.reload(config))
            .await
            .unwrap()
    }

    async fn pids(&self) -> BTreeMap<String, u32> {
        let servers = self.manager.list_servers().await.unwrap();
        let pid = |pid: Option<u32>| pid.expect("a process");
        servers
            .into_iter()
            .map(|server| (server.name.to_string(), pid(server.pid)))
            .collect()
    }

    /// Does something while all callers call all servers, one call after the other, and prints
    /// what the callers noticed: nothing.
    async fn under_load<T>(&self, work: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let changing = Cell::new(false);
        let latencies = [RefCell::default(), RefCell::default()];
        let callers = (0..CALLERS as u64).map(|caller| {
            self.call(caller, &over, |took| {
                let phase: &RefCell<Vec<Duration>> = &latencies[usize::from(changing.get())];
                phase.borrow_mut().push(took);
            })
        });
        let working = async {
            self.runtime.sleep_until(Instant::now() + SPAN).await;
            changing.set(true);
            let begun = Instant::now();
            let done = work.await;
            over.set(true);
            (done, begun.elapsed())
        };
        let ((done, took), _) = join(working, join_all(callers)).await;
        let [before, during] = latencies.map(|phase| {
            let mut latencies = phase.into_inner();
            latencies.sort_unstable();
            latencies
        });
        println!(
            "{}: p99 {:?} before ({} calls), {:?} while servers changed ({} calls in {took:?}), \
             p50 {:?} and {:?}, the longest {:?} and {:?}",
            self.name,
            quantile(&before, 99),
            before.len(),
            quantile(&during, 99),
            during.len(),
            quantile(&before, 50),
            quantile(&during, 50),
            quantile(&before, 100),
            quantile(&during, 100),
        );
        done
    }

    /// Calls until it is over; each call answers with its own arguments, and none fails.
    async fn call(&self, caller: u64, over: &Cell<bool>, took: impl Fn(Duration)) {
        let mut number = 0;
        while !over.get() {
            let server = SERVERS[((caller + number) % SERVERS.len() as u64) as usize];
            let (tool, arguments) = if number % 4 == 3 {
                let nap = json!({"ms": NAP_MS, "caller": caller, "number": number});
                ("sleep", nap)
            } else {
                ("echo", json!({"caller": caller, "number": number}))
            };
            let begun = Instant::now();
            let call = self.manager.execute_tool(server, tool, arguments.clone());
            let result = self.patiently("call", call).await;
            let result = result.unwrap_or_else(|error| {
                panic!("call {number} of caller {caller}, {tool} of {server}: {error}")
            });
            if tool == "echo" {
                took(begun.elapsed());
                let echoed: Value = result.structured().unwrap().read().unwrap();
                assert_eq!(echoed, arguments, "the answer of another caller");
            }
            self.answered.borrow_mut().insert((caller, number));
            number += 1;
        }
    }

    /// Waits until no process is left but these.
    async fn left(&self, pids: &BTreeMap<String, u32>) {
        let expected: BTreeSet<u32> = pids.values().copied().collect();
        self.patiently("end of old processes", async {
            loop {
                let processes = self.marker.processes().unwrap();
                let left = processes.iter().map(|process| process.pid);
                if left.collect::<BTreeSet<u32>>() == expected {
                    return;
                }
                let soon = Instant::now() + Duration::from_millis(10);
                self.runtime.sleep_until(soon).await;
            }
        })
        .await;
    }

    async fn finish(&self) {
        self.patiently("shutdown", self.manager.shutdown())
            .await
            .unwrap();
        self.marker.gone(PATIENCE).unwrap();
    }

    /// Whether the servers, by what they recorded, were called for each answer once, and for
    /// nothing else.
    fn called_once(&self) {
        let mut called = BTreeSet::new();
        for server in SERVERS {
            for line in fs::read_to_string(self.record(server)).unwrap().lines() {
                let frame: Value = serde_json::from_str(line).unwrap();
                if frame["method"] != "tools/call" {
                    continue;
                }
                let arguments = &frame["params"]["arguments"];
                let call = (
                    arguments["caller"].as_u64().unwrap(),
                    arguments["number"].as_u64().unwrap(),
                );
                assert!(called.insert(call), "{call:?} was made twice");
            }
        }
        let answered = self.answered.borrow();
        assert!(answered.len() > CALLERS * 10, "{} calls", answered.len());
        assert_eq!(called, *answered);
    }

    async fn patiently<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        match select(pin!(future), pin!(self.runtime.sleep_until(deadline))).await {
            Either::Left((value, _)) => value,
            Either::Right(_) => panic!("no end of {what} within {PATIENCE:?}"),
        }
    }
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let place = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(place).copied().unwrap_or_default()
}
