//! What outlives the host.

use std::{
    cell::Cell,
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use futures::future::{join, join_all};
use mcp_fleet_core::config::Kind;
use mcp_fleet_driver::AsyncRuntime;
use mcp_fleet_tests::fake_server;
use serde_json::json;

use crate::host::{Host, state_of};

/// Set in the process that is killed.
const HOST: &str = "MCP_FLEET_CHAOS_HOST";
/// How long a descendant may live on.
const GRACE: Duration = Duration::from_secs(2);
/// Callers of each server.
const CALLERS: usize = 16;

/// Children of every kind, all of them called when the host is killed.
pub(crate) async fn f54_a_host_killed_under_load_leaves_nothing<R: AsyncRuntime>(runtime: R) {
    if env::var_os(HOST).is_some() {
        return under_load(runtime).await;
    }
    let mut host = Command::new(env::current_exe().unwrap())
        .env(HOST, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let tree = lines.find_map(|line| line.unwrap().strip_prefix("tree ").map(str::to_owned));
    let tree = tree.expect("the host came to nothing");
    let (scratch, tree) = tree.split_once(' ').unwrap();
    let tree: Vec<u32> = tree.split(' ').map(|pid| pid.parse().unwrap()).collect();
    // One direct child, two behind a shell, one deaf, a daemon with its server, three of npx.
    assert!(tree.len() >= 9, "{tree:?}");
    host.kill().unwrap();
    let killed = Instant::now();
    host.wait().unwrap();
    // A zombie waits for whoever adopted it, and is dead.
    let alive = |pid: &u32| !matches!(state_of(*pid), None | Some('Z' | 'X'));
    while tree.iter().any(alive) {
        let left: Vec<_> = tree.iter().filter(|pid| alive(pid)).collect();
        assert!(killed.elapsed() < GRACE, "{left:?} of {tree:?}");
        thread::sleep(Duration::from_millis(1));
    }
    // Whoever is killed removes nothing.
    fs::remove_dir_all(scratch).unwrap();
    println!(
        "{} processes are gone {:?} after their host was killed",
        tree.len(),
        killed.elapsed()
    );
}

async fn under_load<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let program = fake_server().unwrap();
    let script = format!("{}; exit $?", program.display());
    let package = host.scratch.directory("node_modules/.bin").unwrap();
    let manifest = r#"{"name": "package", "version": "1.0.0"}"#;
    host.scratch.file("package.json", manifest).unwrap();
    symlink(&program, package.join("fake-server")).unwrap();
    let mut npx = host.server("npx", "npx", &["--no-install", "fake-server"]);
    if let Kind::Stdio(stdio) = &mut npx.kind {
        stdio.cwd = Some(host.scratch.path().to_str().unwrap().to_owned());
    }
    let servers = [
        host.fake("direct", &[]),
        host.server("shell", "sh", &["-c", &script]),
        host.fake("deaf", &["--ignore-sigterm", "--ignore-eof"]),
        host.fake("daemon", &["--grandchild", "daemon"]),
        npx,
    ];
    let names: Vec<_> = servers.iter().map(|config| config.name.clone()).collect();
    for server in servers {
        host.deploy(server).await;
    }
    let answered = Cell::new(0_u64);
    let callers = names.iter().flat_map(|name| {
        let (host, answered) = (&host, &answered);
        (0..CALLERS).map(move |_| async move {
            loop {
                let call = host.manager.execute_tool(name.as_str(), "echo", json!({}));
                call.await.unwrap();
                answered.set(answered.get() + 1);
            }
        })
    });
    let announcement = async {
        host.sooner_or_later("load", || answered.get() > 2000).await;
        let tree: Vec<_> = host.processes().iter().map(u32::to_string).collect();
        println!("tree {} {}", host.scratch.path().display(), tree.join(" "));
    };
    join(join_all(callers), announcement).await;
}
