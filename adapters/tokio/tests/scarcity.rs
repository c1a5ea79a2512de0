//! Scarce descriptors, on tokio: a program of its own, so that no other test
//! opens any meanwhile.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "two programs share the scenarios"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and names what it waits for"
)]

#[path = "../../driver/tests/scenarios/bench.rs"]
mod bench;
#[path = "../../driver/tests/scenarios/scarcity.rs"]
mod scarcity;
#[path = "../../driver/tests/scenarios/servers.rs"]
mod servers;

use mcp_fleet_tokio::Tokio;

fn run<F: Future<Output = ()>>(scenario: impl FnOnce(Tokio) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { scenario(Tokio::current().unwrap()).await });
}

#[test]
fn a_launch_without_descriptors_fails_alone() {
    run(scarcity::a_launch_without_descriptors_fails_alone);
}
