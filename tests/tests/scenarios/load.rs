//! Ten thousand calls at once to one server, on both runtimes.
//!
//! Each runtime is loaded in a process of its own, so that the memory is that of the fleet, of its
//! callers, and of nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use std::{env, fs, process::Command, time::Instant};

use futures::future::join_all;
use mcp_fleet_core::{
    ServerName,
    config::{FleetConfig, Kind, ServerConfig, Stdio},
};
use mcp_fleet_driver::{AsyncRuntime, McpManagerV2, RuntimeOptions};
use mcp_fleet_smol::Smol;
use mcp_fleet_tests::fake_server;
use mcp_fleet_tokio::Tokio;
use serde_json::{Value, json};

const CALLS: usize = 10_000;
/// Bytes of filler in each payload, which comes back twice: as text and as structure.
const FILLER: usize = 256;
/// What the calls may add to the resident memory at its peak: for each its arguments and its result
/// (some 1.5 KiB), its future, and its places in queue, timers and tables; twice that, for the
/// allocator and a busy machine. Were results kept as trees, or a task kept for each call, it would
/// be more.
const GROWTH_MAX_KIB: u64 = (CALLS as u64) * 6;
/// Set in the process that does the work.
const WORKER: &str = "MCP_FLEET_TEST_LOAD";

#[test]
fn every_caller_gets_its_own_answer_on_tokio() {
    measured("every_caller_gets_its_own_answer_on_tokio", || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { load("tokio", Tokio::current().unwrap()).await });
    });
}

#[test]
fn every_caller_gets_its_own_answer_on_smol() {
    measured("every_caller_gets_its_own_answer_on_smol", || {
        smol::block_on(load("smol", Smol));
    });
}

/// Runs this test once more, alone in a new process with two threads for smol.
fn measured(test: &str, work: impl FnOnce()) {
    if env::var_os(WORKER).is_some() {
        return work();
    }
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
    let measured = told.lines().find(|line| line.contains("resident memory"));
    println!("{}", measured.expect("the figures"));
}

async fn load<R: AsyncRuntime>(name: &str, runtime: R) {
    let manager = McpManagerV2::on(runtime, FleetConfig::default(), RuntimeOptions::default());
    let stdio = Stdio {
        command: fake_server().unwrap().to_string_lossy().into_owned(),
        ..Stdio::default()
    };
    let mut config = ServerConfig::new(ServerName::new("server").unwrap(), Kind::Stdio(stdio));
    config.limits.queue = CALLS;
    manager.deploy_server(config).await.unwrap();
    manager.list_tools("server").await.unwrap();

    let before = memory("VmRSS:");
    let begun = Instant::now();
    let calls = (0..CALLS).map(|number| {
        let arguments = payload(number);
        manager.execute_tool("server", "echo", arguments)
    });
    let results = join_all(calls).await;
    let took = begun.elapsed();
    let (after, peak) = (memory("VmRSS:"), memory("VmHWM:"));
    for (number, result) in results.into_iter().enumerate() {
        let structured = result.unwrap().structured().unwrap();
        let echoed: Value = structured.read().unwrap();
        assert_eq!(echoed, payload(number), "the answer of another caller");
    }
    let stats = manager.get_metrics(Some("server")).await.unwrap().total;
    assert_eq!((stats.calls, stats.succeeded), (CALLS as u64, CALLS as u64));
    assert_eq!((stats.queued, stats.in_flight, stats.violations), (0, 0, 0));
    manager.shutdown().await.unwrap();

    println!(
        "{name}: {CALLS} calls in {took:?}; resident memory {before} KiB before, {after} KiB \
         after, {peak} KiB at its peak; p50 {:?}, p99 {:?}",
        stats.latency.p50, stats.latency.p99
    );
    let growth = peak.saturating_sub(before);
    assert!(
        growth <= GROWTH_MAX_KIB,
        "{growth} KiB more than before the calls; {GROWTH_MAX_KIB} KiB are allowed"
    );
}

/// Like no other.
fn payload(number: usize) -> Value {
    let filler = char::from(b'a' + (number % 26) as u8)
        .to_string()
        .repeat(FILLER);
    json!({"number": number, "filler": filler})
}

/// A figure of this process, in KiB.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
