//! Servers that run only while they are needed, as real processes.

use std::time::Duration;

use mcp_fleet_core::{
    Event, Request, ServerInfo, ServerState,
    config::{FleetConfig, Scope, Start},
};
use mcp_fleet_driver::{AsyncRuntime, Client, Events, McpManagerV2, RuntimeOptions, Update};
use serde_json::json;

use crate::{
    bench::{Bench, is_alive},
    servers::shell_server,
};

fn manager<R: AsyncRuntime>(runtime: &R) -> McpManagerV2<R> {
    McpManagerV2::on(
        runtime.clone(),
        FleetConfig::default(),
        RuntimeOptions::default(),
    )
}

async fn info<R: AsyncRuntime>(manager: &McpManagerV2<R>) -> ServerInfo {
    manager.list_servers().await.unwrap().remove(0)
}

async fn until(events: &mut Events, wanted: ServerState) {
    while let Some(update) = events.next().await {
        if let Update::Event(Event::ServerChanged { state, .. }) = update
            && state == wanted
        {
            return;
        }
    }
    panic!("the fleet ended before a server was {wanted}");
}

async fn call(client: &Client) {
    let request = Request::Tool {
        name: "echo".to_owned(),
        arguments: None,
    };
    client.execute("shell", request).await.unwrap();
}

pub async fn a_lazy_server_runs_from_its_first_call_until_it_is_idle<R: AsyncRuntime>(runtime: R) {
    let bench = Bench::new(runtime.clone());
    let manager = manager(&runtime);
    let mut events = manager.events();
    let mut config = shell_server("shell");
    config.start = Start::Lazy;
    config.limits.idle_stop = Duration::from_millis(500);
    manager.deploy_server(config).await.unwrap();
    let before = info(&manager).await;
    assert_eq!((before.state, before.pid), (ServerState::Asleep, None));
    for incarnation in 1..=2 {
        let result = manager.execute_tool("shell", "echo", json!({})).await;
        assert!(!result.unwrap().is_error());
        let awake = info(&manager).await;
        assert_eq!(awake.incarnation, incarnation);
        assert_eq!(manager.list_tools("shell").await.unwrap().len(), 1);
        until(&mut events, ServerState::Ready).await;
        until(&mut events, ServerState::Asleep).await;
        if let Some(pid) = awake.pid {
            bench.until_dead(pid).await;
        }
        assert_eq!(manager.list_tools("shell").await.unwrap().len(), 1);
        let asleep = info(&manager).await;
        assert_eq!((asleep.state, asleep.pid), (ServerState::Asleep, None));
    }
    manager.shutdown().await.unwrap();
}

pub async fn each_client_has_a_process_of_its_own_until_it_is_gone<R: AsyncRuntime>(runtime: R) {
    let bench = Bench::new(runtime.clone());
    let manager = manager(&runtime);
    let mut config = shell_server("shell");
    config.scope = Scope::PerClient;
    config.limits.idle_stop = Duration::ZERO;
    manager.deploy_server(config).await.unwrap();
    let clients = [manager.runtime().client(), manager.runtime().client()];
    for client in &clients {
        call(client).await;
    }
    let replicas = info(&manager).await.replicas;
    let pid = |client: &Client| {
        let own = |replica: &&mcp_fleet_core::ReplicaInfo| replica.client == Some(client.id());
        replicas.iter().find(own).unwrap().pid.unwrap()
    };
    let pids = clients.each_ref().map(pid);
    assert_ne!(pids[0], pids[1]);
    assert!(pids.into_iter().all(is_alive));
    let [gone, stays] = clients;
    drop(gone);
    bench.until_dead(pids[0]).await;
    call(&stays).await;
    assert!(is_alive(pids[1]));
    manager.shutdown().await.unwrap();
}
