//! Servers that crash at once, all of them.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures::future::join_all;
use mcp_fleet_core::ServerState;
use mcp_fleet_driver::AsyncRuntime;

use crate::{
    figures::processor_time,
    host::{Host, quantile},
};

const CRASHERS: usize = 50;

pub(crate) async fn f4_fifty_crashers_keep_to_their_budgets<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let server = host.fake("calm", &[]);
    host.deploy(server).await;
    let spawns = host.scratch.path().join("spawns");
    let script = r#"echo "$1" >>"$0"; kill -s SEGV $$"#;
    let crashers: Vec<_> = (0..CRASHERS)
        .map(|number| {
            let name = format!("crasher-{number}");
            let args = ["-c", script, spawns.to_str().unwrap(), &name];
            let mut config = host.server(&name, "sh", &args);
            // As in life, but in a fifth of the time.
            config.limits.backoff = Duration::from_millis(100);
            config
        })
        .collect();
    let restarts = crashers[0].limits.restarts;
    let names: Vec<_> = crashers.iter().map(|config| config.name.clone()).collect();
    let (begun, used) = (Instant::now(), processor_time());
    let deployments = crashers
        .into_iter()
        .map(|config| host.manager.deploy_server(config));
    for outcome in host.patiently("deployments", join_all(deployments)).await {
        assert!(outcome.is_err());
    }
    // The calm server is called all the time, until the last of the others is given up.
    let mut spans = Vec::new();
    loop {
        for _ in 0..20 {
            let call = Instant::now();
            host.manager.execute_tool("calm", "echo", ()).await.unwrap();
            spans.push(call.elapsed());
            let soon = host.runtime.now() + Duration::from_millis(2);
            host.runtime.sleep_until(soon).await;
        }
        let servers = host.manager.list_servers().await.unwrap();
        let given_up = servers
            .iter()
            .filter(|info| info.state == ServerState::Failed);
        if given_up.count() == CRASHERS {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{servers:#?}");
    }
    let (wall, used) = (begun.elapsed(), processor_time() - used);
    let spawns = fs::read_to_string(spawns).unwrap();
    println!(
        "{CRASHERS} crashers given up after {wall:?}: {} spawns, {used:?} of processor time; p99 \
         of a calm server {:?}",
        spawns.lines().count(),
        quantile(&mut spans, 99),
    );
    for name in &names {
        let count = spawns.lines().filter(|line| line == &name.as_str()).count();
        // A server that dies of the question for its era is opened once more, with the handshake.
        assert!((1..=2 * (restarts + 1)).contains(&count), "{name}: {count}");
        let starts = host.info(name.as_str()).await.stats.starts;
        assert_eq!(starts, count as u64, "{name}");
    }
    assert!(used < wall, "{used:?} of {wall:?}");
    host.finish().await;
}
