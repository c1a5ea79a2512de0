//! Hosts that have too little, or too much to pass on.

use std::{
    fs::{self, File},
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    time::Duration,
};

use mcp_fleet_core::{Event, Failure, ServerState, config::Kind};
use mcp_fleet_driver::AsyncRuntime;
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use serde_json::{Value, json};

use crate::host::{Host, send};

/// A server that must be started again while not one descriptor is left.
pub(crate) async fn f2_a_host_without_descriptors_serves_on_and_recovers<R: AsyncRuntime>(
    runtime: R,
) {
    let mut host = Host::new(runtime);
    let config = host.limited("victim", &[], |limits| {
        limits.restarts = 1000;
        limits.backoff = Duration::from_millis(20);
        limits.backoff_max = Duration::from_millis(40);
    });
    host.deploy(config).await;
    let server = host.fake("other", &[]);
    host.deploy(server).await;
    let pid = host.pid("victim").await;
    let before = getrlimit(Resource::Nofile);
    let scarce = Rlimit {
        current: Some(200),
        ..before
    };
    setrlimit(Resource::Nofile, scarce).unwrap();
    let mut hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // The shell that sends the signal needs some.
    hoard.truncate(hoard.len() - 8);
    send(pid, "KILL");
    hoard.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    let mut failures = 0;
    while failures < 5 {
        host.until("failed start", |event| match event {
            Event::ServerChanged {
                state: ServerState::Backoff,
                failure: Some(Failure::CannotStart { message, transient }),
                ..
            } => {
                assert!(transient, "{message}");
                assert!(message.contains("out of resources"), "{message}");
                Some(())
            }
            _ => None,
        })
        .await;
        failures += 1;
        host.manager
            .execute_tool("other", "echo", ())
            .await
            .unwrap();
        hoard.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
    }
    // The call waits for the server.
    let call = host.start("victim", "echo", &json!({"n": 1}));
    drop(hoard);
    host.patiently("call", call).await.unwrap();
    setrlimit(Resource::Nofile, before).unwrap();
    host.finish().await;
}

/// Sockets of the host that no library has marked to be closed.
pub(crate) async fn f70_a_child_sees_three_descriptors<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let sockets: Vec<_> = (0..250).map(|_| UnixStream::pair().unwrap()).collect();
    for (one, other) in &sockets {
        for socket in [one, other] {
            fcntl_setfd(socket.as_fd(), FdFlags::empty()).unwrap();
        }
    }
    let program = mcp_fleet_tests::fake_server().unwrap();
    let server = host.server("server", program.to_str().unwrap(), &[]);
    host.deploy(server).await;
    let pid = host.pid("server").await;
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut open: Vec<_> = open.map(|entry| entry.unwrap().file_name()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    drop(sockets);
    host.finish().await;
}

/// Neither `PATH` nor `HOME` is set in this process.
pub(crate) async fn f71_a_host_without_an_environment_starts_servers<R: AsyncRuntime>(runtime: R) {
    for name in ["PATH", "HOME"] {
        assert_eq!(std::env::var_os(name), None);
    }
    let mut host = Host::new(runtime);
    let server = host.fake("path", &[]);
    host.deploy(server).await;
    // A name without a path is looked for where the system has its programs.
    let program = mcp_fleet_tests::fake_server().unwrap();
    let script = format!("exec {}", program.display());
    let server = host.server("name", "sh", &["-c", &script]);
    host.deploy(server).await;
    for name in ["path", "name"] {
        let told = host.start(name, "process", &json!({}));
        let told: Value = host.patiently("call", told).await.unwrap().read().unwrap();
        let environment = &told["structuredContent"]["environment"];
        assert_eq!(environment["HOME"], Value::Null, "{environment}");
        assert_eq!(environment["MCP_FLEET_SERVER"], name);
    }
    // Where it starts otherwise is the host's own directory.
    let mut elsewhere = host.fake("elsewhere", &[]);
    if let Kind::Stdio(stdio) = &mut elsewhere.kind {
        stdio.cwd = Some("/".to_owned());
    }
    host.deploy(elsewhere).await;
    let told = host.start("elsewhere", "process", &json!({}));
    let told: Value = host.patiently("call", told).await.unwrap().read().unwrap();
    let directory = told["structuredContent"]["directory"].as_str().unwrap();
    assert_eq!(PathBuf::from(directory), PathBuf::from("/"));
    host.finish().await;
}
