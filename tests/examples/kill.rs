//! What `kill -9` of a server under 256 callers costs: how long until its next good answer, and
//! what the callers of other servers notice, on both runtimes.
//!
//! ```text
//! cargo build --release -p fake-server
//! cargo run --release -p mcp-fleet-tests --example kill
//! ```
#![allow(
    clippy::print_stdout,
    reason = "a program that prints what it measured"
)]

use std::{
    cell::{Cell, RefCell},
    env,
    os::unix::process::CommandExt as _,
    process::Command,
    time::{Duration, Instant},
};

use futures::future::{join, join_all};
use mcp_fleet_core::{
    CallError, Exit, Sent, ServerName,
    config::{FleetConfig, Kind, Retry, ServerConfig, Stdio},
};
use mcp_fleet_driver::{AsyncRuntime, ExecuteError, McpManagerV2, RuntimeOptions};
use mcp_fleet_smol::Smol;
use mcp_fleet_tests::{Result, fake_server, signal};
use mcp_fleet_tokio::Tokio;

const SMOL_THREADS: &str = "SMOL_THREADS";
/// Callers of the server that is killed, each with one call at a time.
const CALLERS: usize = 256;
/// Other servers, each with one caller.
const OTHERS: [&str; 4] = ["one", "two", "three", "four"];
const KILLS: u32 = 3;
/// Of the measurement before the first kill, and of the load between two kills.
const SPAN: Duration = Duration::from_secs(4);

fn main() -> Result<()> {
    // smol reads the number of its threads once, from the environment it was started with.
    if env::var_os(SMOL_THREADS).is_none() {
        let again = Command::new(env::current_exe()?)
            .env(SMOL_THREADS, "2")
            .exec();
        return Err(again.into());
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    runtime.block_on(async { measure("tokio", Tokio::current()?).await })?;
    drop(runtime);
    smol::block_on(measure("smol", Smol))
}

/// What the callers of the victim share.
#[derive(Default)]
struct Victim {
    stopped: Cell<bool>,
    answered: Cell<u64>,
    last_answer: Cell<Option<Instant>>,
    unsent: Cell<u64>,
    unknown: Cell<u64>,
}

async fn measure<R: AsyncRuntime>(name: &str, runtime: R) -> Result<()> {
    let config = FleetConfig::default();
    let manager = McpManagerV2::on(runtime.clone(), config, RuntimeOptions::default());
    for server in OTHERS {
        manager.deploy_server(configured(server)?).await?;
    }
    let begun = Instant::now();
    let config = configured("victim")?;
    let backoff = config.limits.backoff;
    manager.deploy_server(config).await?;
    let start_time = begun.elapsed();
    println!("{name}: a start takes {start_time:?}, the first pause {backoff:?} at most");

    let victim = Victim::default();
    let before = RefCell::new(Vec::new());
    let during = RefCell::new(Vec::new());
    let killing = Cell::new(false);
    let callers = join_all((0..CALLERS).map(|_| hammer(&manager, &victim)));
    let others = join_all(OTHERS.map(|server| {
        let (manager, victim, killing) = (&manager, &victim, &killing);
        let (before, during) = (&before, &during);
        async move {
            while !victim.stopped.get() {
                let begun = Instant::now();
                manager.execute_tool(server, "echo", ()).await?;
                let spans = if killing.get() { during } else { before };
                spans.borrow_mut().push(begun.elapsed());
            }
            Ok::<_, ExecuteError>(())
        }
    }));
    let killer = async {
        let outcome = kill(name, &manager, &runtime, &victim, &killing).await;
        victim.stopped.set(true);
        outcome
    };
    let ((hammered, others), killed) = join(join(callers, others), killer).await;
    killed?;
    for outcome in hammered.into_iter().chain(others) {
        outcome?;
    }
    manager.shutdown().await?;

    let (before, during) = (before.into_inner(), during.into_inner());
    let (calls_before, calls_during) = (before.len(), during.len());
    let (p50_before, p99_before) = quantiles(before);
    let (p50_during, p99_during) = quantiles(during);
    println!(
        "{name}: other servers: p99 {p99_before:?} before ({calls_before} calls), {p99_during:?} \
         while one was killed {KILLS} times ({calls_during} calls), ratio {:.2}; p50 \
         {p50_before:?} and {p50_during:?}",
        p99_during.as_secs_f64() / p99_before.as_secs_f64(),
    );
    println!(
        "{name}: {} calls answered by the one that was killed; lost: {} that may have run, {} that \
         were never sent",
        victim.answered.get(),
        victim.unknown.get(),
        victim.unsent.get(),
    );
    Ok(())
}

/// Kills the victim time and again amid its load.
async fn kill<R: AsyncRuntime>(
    name: &str,
    manager: &McpManagerV2<R>,
    runtime: &R,
    victim: &Victim,
    killing: &Cell<bool>,
) -> Result<()> {
    for round in 0..KILLS {
        runtime.sleep_until(runtime.now() + SPAN).await;
        let servers = manager.list_servers().await?;
        let mut pids = servers.iter().filter(|info| info.name.as_str() == "victim");
        let pid = pids.find_map(|info| info.pid).ok_or("it does not run")?;
        killing.set(true);
        signal(pid, "KILL")?;
        let killed = Instant::now();
        // Answers of its last moments are on their way still.
        while manager
            .list_servers()
            .await?
            .iter()
            .any(|info| info.pid == Some(pid))
        {
            runtime
                .sleep_until(runtime.now() + Duration::from_millis(1))
                .await;
        }
        let down = Instant::now();
        while victim.last_answer.get().is_none_or(|at| at < down) {
            runtime
                .sleep_until(runtime.now() + Duration::from_millis(1))
                .await;
        }
        let recovery = killed.elapsed();
        println!(
            "{name}: kill {}: the next good answer after {recovery:?} (gone after {:?}; pause of \
             {:?} at most)",
            round + 1,
            down - killed,
            Duration::from_millis(500) * 2_u32.pow(round),
        );
        // What comes of the kill is over when the load is back.
        runtime.sleep_until(runtime.now() + SPAN / 4).await;
        killing.set(false);
    }
    Ok(())
}

/// Calls the victim until the end.
async fn hammer<R: AsyncRuntime>(
    manager: &McpManagerV2<R>,
    victim: &Victim,
) -> std::result::Result<(), ExecuteError> {
    while !victim.stopped.get() {
        match manager.execute_tool("victim", "echo", ()).await {
            Ok(_) => {
                victim.answered.set(victim.answered.get() + 1);
                victim.last_answer.set(Some(Instant::now()));
            }
            Err(ExecuteError::Call(CallError::ServerGone {
                exit: Some(Exit::Signal(9)),
                sent,
                ..
            })) => {
                let count = match sent {
                    Sent::No => &victim.unsent,
                    Sent::Unknown => &victim.unknown,
                };
                count.set(count.get() + 1);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn configured(name: &str) -> Result<ServerConfig> {
    let stdio = Stdio {
        command: fake_server()?.to_string_lossy().into_owned(),
        ..Stdio::default()
    };
    let mut config = ServerConfig::new(ServerName::new(name)?, Kind::Stdio(stdio));
    config.retry = Retry::Never;
    Ok(config)
}

/// The median, and what 99 of 100 do not exceed.
fn quantiles(mut spans: Vec<Duration>) -> (Duration, Duration) {
    spans.sort_unstable();
    let at = |percent: usize| {
        let place = spans.len().saturating_sub(1) * percent / 100;
        spans.get(place).copied().unwrap_or_default()
    };
    (at(50), at(99))
}
