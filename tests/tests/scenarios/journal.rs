//! A busy fleet's journal, told to the machine again.

use std::time::Duration;

use futures::future::join_all;
use libtest_mimic::{Failed, Trial};
use mcp_fleet_core::CallOptions;
use mcp_fleet_driver::AsyncRuntime;
use mcp_fleet_smol::Smol;
use mcp_fleet_tokio::Tokio;
use serde_json::json;

use crate::{
    stages::{one_thread, two_workers},
    world::World,
};

/// A busy fleet leaves no two journals alike, so there is nothing to compare but each with itself.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("journal::a_busy_fleet_replays_on_tokio", || {
            two_workers().block_on(async { busy(Tokio::current()?).await })
        }),
        Trial::test("journal::a_busy_fleet_replays_on_one_thread", || {
            one_thread().block_on(async { busy(Tokio::current()?).await })
        }),
        Trial::test("journal::a_busy_fleet_replays_on_smol", || {
            smol::block_on(busy(Smol))
        }),
    ]
}

/// Many calls of all kinds at once, while servers crash, restart and change.
async fn busy<R: AsyncRuntime>(runtime: R) -> Result<(), Failed> {
    let mut world = World::new(runtime);
    let flags = ["--split-bytes", "7", "--noise-lines", "1", "--late-answers"];
    for (name, era) in [
        ("modern", "modern"),
        ("legacy", "legacy"),
        ("frail", "dual"),
    ] {
        let flags: Vec<&str> = flags.into_iter().chain(["--era", era]).collect();
        let config = world.limited(name, &flags, |limits| {
            limits.in_flight = 8;
            limits.queue = 24;
            limits.refresh_interval = Duration::from_millis(5);
        });
        world.deploy(config).await;
    }
    let manager = world.manager.clone();
    for round in 0..6_u64 {
        let mut calls = Vec::new();
        for number in 0..40_u64 {
            let server = ["modern", "legacy", "frail"][(number % 3) as usize];
            let (tool, arguments) = match number % 8 {
                0 => ("sleep", json!({"ms": number})),
                1 => ("progress", json!({"steps": 5, "pauseMs": 1})),
                2 => ("change", json!({"times": 3})),
                3 => ("fail", json!({"message": "\u{e9}\u{1f44b}\\\""})),
                4 => ("odd", json!({"kind": "invalid-utf8"})),
                5 => ("hang", json!({"late": true})),
                _ => ("echo", json!({"round": round, "number": number})),
            };
            let options = CallOptions {
                timeout: Some(Duration::from_millis(50 + number)),
                progress: true,
                ..CallOptions::default()
            };
            let mut call = world.start_with(server, tool, arguments, options);
            match number % 11 {
                9 => drop(call),
                10 => {
                    call.cancel(Some("enough".to_owned()));
                    calls.push(call);
                }
                _ => calls.push(call),
            }
        }
        if round == 3 {
            calls.push(world.start("frail", "crash", json!({})));
        }
        let all = world.patiently("all calls", join_all(calls)).await;
        assert!(all.iter().any(Result::is_ok), "{all:?}");
        // Whatever they answer: the journal is what counts.
        drop(manager.health_check(None).await);
        if round == 4 {
            manager.restart_server("frail").await?;
            manager.restart_server("legacy").await?;
        }
    }
    let turns = world.finish_busy().await;
    assert!(turns > 500, "{turns} turns are not busy");
    Ok(())
}
