//! Whether a slow server slows down another one: the latencies of a fast tool, measured alone and
//! beside a tool that sleeps five seconds under constant load, on both runtimes.
//!
//! ```text
//! cargo build --release -p fake-server
//! cargo run --release -p mcp-fleet-tests --example isolation
//! ```
#![allow(
    clippy::print_stdout,
    reason = "a program that prints what it measured"
)]

use std::{
    cell::Cell,
    env,
    os::unix::process::CommandExt as _,
    pin::pin,
    process::Command,
    time::{Duration, Instant},
};

use futures::future::{Either, join_all, select};
use mcp_fleet_core::{
    ServerName,
    config::{FleetConfig, Kind, ServerConfig, Stdio},
};
use mcp_fleet_driver::{AsyncRuntime, McpManagerV2, RuntimeOptions};
use mcp_fleet_smol::Smol;
use mcp_fleet_tests::{Result, fake_server};
use mcp_fleet_tokio::Tokio;
use serde_json::json;

const SMOL_THREADS: &str = "SMOL_THREADS";
/// Callers of the fast tool, each with one call at a time.
const FAST_CALLERS: usize = 8;
/// Callers of the slow tool: more than the server takes at once, so that its queue is never empty.
const SLOW_CALLERS: usize = 256;
const SLEEP: Duration = Duration::from_secs(5);
/// Of each of the two measurements. Longer than the sleep, so that slow calls end meanwhile.
const SPAN: Duration = Duration::from_secs(6);

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

async fn measure<R: AsyncRuntime>(name: &str, runtime: R) -> Result<()> {
    let config = FleetConfig::default();
    let manager = McpManagerV2::on(runtime.clone(), config, RuntimeOptions::default());
    for server in ["fast", "slow"] {
        let stdio = Stdio {
            command: fake_server()?.to_string_lossy().into_owned(),
            ..Stdio::default()
        };
        let config = ServerConfig::new(ServerName::new(server)?, Kind::Stdio(stdio));
        manager.deploy_server(config).await?;
        manager.list_tools(server).await?;
    }
    let alone = fast(&manager).await?;
    let slept = Cell::new(0_usize);
    let beside = {
        let load = pin!(slow(&manager, &slept));
        match select(pin!(fast(&manager)), load).await {
            Either::Left((latencies, _)) => latencies?,
            Either::Right((never, _)) => never?,
        }
    };
    // The calls that still sleep were dropped, and so cancelled.
    manager.shutdown().await?;

    let (p99_alone, p99_beside) = (quantile(&alone, 99), quantile(&beside, 99));
    println!(
        "{name}: p99 alone {p99_alone:?} ({} calls), beside a sleeper {p99_beside:?} ({} calls, \
         {} calls slept), ratio {:.2}; p50 {:?} and {:?}",
        alone.len(),
        beside.len(),
        slept.get(),
        p99_beside.as_secs_f64() / p99_alone.as_secs_f64(),
        quantile(&alone, 50),
        quantile(&beside, 50),
    );
    Ok(())
}

/// Calls the fast tool for the span. The answer is how long each call took, shortest first.
async fn fast<R: AsyncRuntime>(manager: &McpManagerV2<R>) -> Result<Vec<Duration>> {
    let end = Instant::now() + SPAN;
    let callers = (0..FAST_CALLERS).map(|caller| async move {
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let begun = Instant::now();
            manager
                .execute_tool("fast", "echo", json!({"caller": caller}))
                .await?;
            latencies.push(begun.elapsed());
        }
        Ok::<_, mcp_fleet_driver::ExecuteError>(latencies)
    });
    let mut all = Vec::new();
    for latencies in join_all(callers).await {
        all.append(&mut latencies?);
    }
    all.sort_unstable();
    Ok(all)
}

/// Calls the slow tool for ever, from all its callers at once.
async fn slow<R: AsyncRuntime>(
    manager: &McpManagerV2<R>,
    slept: &Cell<usize>,
) -> Result<Vec<Duration>> {
    let callers = (0..SLOW_CALLERS).map(|_| async {
        loop {
            let arguments = json!({"ms": SLEEP.as_millis()});
            if let Err(error) = manager.execute_tool("slow", "sleep", arguments).await {
                return error;
            }
            slept.set(slept.get() + 1);
        }
    });
    let errors: Vec<_> = join_all(callers).await;
    Err(errors
        .into_iter()
        .next()
        .map_or_else(|| "there are no slow callers".into(), Into::into))
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let place = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(place).copied().unwrap_or_default()
}
