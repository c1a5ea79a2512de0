//! Servers that talk too much.

use std::time::{Duration, Instant};

use mcp_fleet_core::{Failure, ServerState, config::Restart};
use mcp_fleet_driver::{AsyncRuntime, McpManagerV2};
use serde_json::json;

use crate::{
    figures::memory,
    host::{Host, quantile},
};

const MIB: u64 = 1 << 20;

/// What a flood may add to the resident memory at its peak: buffers of all stages, and what the
/// allocator keeps of them.
const FLOOD_KIB_MAX: u64 = 24 << 10;

/// Latencies of a tool of a calm server, for as long as `going` says.
async fn latencies<R: AsyncRuntime>(
    manager: &McpManagerV2<R>,
    going: impl Fn(usize) -> bool,
) -> Vec<Duration> {
    let mut spans = Vec::new();
    while going(spans.len()) {
        let begun = Instant::now();
        manager
            .execute_tool("calm", "echo", json!({"n": 1}))
            .await
            .unwrap();
        spans.push(begun.elapsed());
    }
    spans
}

/// Also F32: there is no line break in it.
pub(crate) async fn f31_a_flood_on_standard_error_costs_nothing<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let server = host.fake("calm", &[]);
    host.deploy(server).await;
    let mut alone = latencies(&host.manager, |count| count < 500).await;
    let before = memory("VmRSS:");
    let bytes = 300 * MIB;
    let begun = Instant::now();
    let flood = host.fake("loud", &["--stderr-flood", &bytes.to_string()]);
    host.deploy(flood).await;
    // Its own answers find their way meanwhile, and so do those of another server.
    let mut beside = Vec::new();
    let counts = format!("/proc/{}/io", host.pid("loud").await);
    let written = || {
        let counts = std::fs::read_to_string(&counts).unwrap();
        let count = counts.lines().find_map(|line| line.strip_prefix("wchar: "));
        count.unwrap().parse::<u64>().unwrap()
    };
    while written() < bytes {
        beside.extend(latencies(&host.manager, |count| count < 20).await);
        host.manager.execute_tool("loud", "echo", ()).await.unwrap();
    }
    let growth = memory("VmHWM:").saturating_sub(before);
    println!(
        "300 MiB on standard error in {:?}: {growth} KiB more at the peak; p99 of another server \
         {:?} alone, {:?} beside it ({} calls)",
        begun.elapsed(),
        quantile(&mut alone, 99),
        quantile(&mut beside, 99),
        beside.len(),
    );
    assert!(growth < FLOOD_KIB_MAX, "{growth} KiB");
    host.finish().await;
}

pub(crate) async fn f24_a_line_of_a_gibibyte_costs_its_limit<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let mut config = host.fake("endless", &[]);
    config.restart = Restart::Never;
    let limit = config.limits.line_bytes as u64;
    host.deploy(config).await;
    let server = host.fake("calm", &[]);
    host.deploy(server).await;
    let before = memory("VmRSS:");
    let begun = Instant::now();
    let line = json!({"bytes": 1024 * MIB, "end": false});
    let call = host.start("endless", "line", &line);
    assert!(host.patiently("call", call).await.is_err());
    let failure = host.until_state("endless", ServerState::Failed).await;
    let Some(Failure::Protocol { message }) = failure else {
        panic!("{failure:?}");
    };
    assert!(message.contains(&limit.to_string()), "{message}");
    let growth = memory("VmHWM:").saturating_sub(before);
    println!(
        "a line of 1 GiB is cut within {:?}: {growth} KiB more at the peak; it {message}",
        begun.elapsed()
    );
    // The line up to its limit, twice where its buffer grows, and what is on its way.
    assert!(growth < 2 * limit / 1024 + FLOOD_KIB_MAX, "{growth} KiB");
    host.manager.execute_tool("calm", "echo", ()).await.unwrap();
    host.finish().await;
}

pub(crate) async fn f33_a_flood_of_notifications_leaves_others_alone<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let server = host.fake("calm", &[]);
    host.deploy(server).await;
    let server = host.fake("loud", &["--era", "legacy"]);
    host.deploy(server).await;
    let mut alone = latencies(&host.manager, |count| count < 500).await;
    let before = memory("VmRSS:");
    let count = 100_000;
    let begun = Instant::now();
    let arguments = json!({"count": count, "bytes": 100});
    let flood = host.start("loud", "flood", &arguments);
    let flooding = std::cell::Cell::new(true);
    let (outcome, mut beside) = futures::future::join(
        async {
            let outcome = host.patiently("flood", flood).await;
            flooding.set(false);
            outcome
        },
        latencies(&host.manager, |_| flooding.get()),
    )
    .await;
    assert!(outcome.is_ok(), "{outcome:?}");
    let growth = memory("VmHWM:").saturating_sub(before);
    println!(
        "{count} notifications in {:?}: {growth} KiB more at the peak; p99 of another server {:?} \
         alone, {:?} beside them ({} calls)",
        begun.elapsed(),
        quantile(&mut alone, 99),
        quantile(&mut beside, 99),
        beside.len(),
    );
    assert!(!beside.is_empty());
    assert!(growth < FLOOD_KIB_MAX, "{growth} KiB");
    host.finish().await;
}
