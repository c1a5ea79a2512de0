//! Fleets that end without being asked to, seen from outside of any runtime.

use std::time::{Duration, Instant};

use mcp_fleet_core::config::{FleetConfig, Kind, ServerConfig};
use mcp_fleet_driver::{AsyncRuntime, McpManagerV2, RuntimeOptions};

use crate::{
    bench::{is_alive, shell},
    servers::{SCRIPT, name, shell_server},
};

/// A fleet of one server that ends by itself, and one that has to be killed; and their processes.
pub async fn fleet<R: AsyncRuntime>(runtime: R) -> (McpManagerV2<R>, Vec<u32>) {
    let options = RuntimeOptions::default();
    let manager = McpManagerV2::on(runtime, FleetConfig::default(), options);
    manager.deploy_server(shell_server("meek")).await.unwrap();
    let script = format!("trap '' TERM; {SCRIPT}\nsleep 1000 & wait");
    let mut deaf = ServerConfig::new(name("deaf"), Kind::Stdio(shell(&script)));
    deaf.limits.close_input_wait = Duration::from_millis(50);
    deaf.limits.terminate_wait = Duration::from_millis(50);
    manager.deploy_server(deaf).await.unwrap();
    let servers = manager.list_servers().await.unwrap();
    let pids = servers.iter().filter_map(|server| server.pid).collect();
    (manager, pids)
}

pub fn await_death(processes: &[u32]) {
    let begun = Instant::now();
    while processes.iter().any(|process| is_alive(*process)) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{processes:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
