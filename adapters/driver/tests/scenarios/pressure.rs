//! What one server does to the others: floods, long frames, panics.

use std::{
    io,
    pin::Pin,
    process::Command,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{AsyncWrite, TryStreamExt, future::join_all, stream};
use mcp_fleet_core::{
    CallError, CallOptions, RawJson, Request, ServerName, Signal,
    config::{FleetConfig, Kind, Restart, ServerConfig},
};
use mcp_fleet_driver::{
    AsyncRuntime, ExecuteError, LINK_CHUNKS_MAX, McpManagerV2, McpRuntime, Process, RuntimeOptions,
    SIGNALS_MAX, Update,
};
use serde_json::json;

use crate::{
    bench::{Bench, Log, Sink, shell},
    servers::{Attached, SCRIPT, name, shell_server},
};

fn manager<R: AsyncRuntime>(runtime: &R) -> McpManagerV2<R> {
    McpManagerV2::on(
        runtime.clone(),
        FleetConfig::default(),
        RuntimeOptions::default(),
    )
}

pub async fn a_flood_of_one_link_keeps_to_its_share<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    bench.open_shell("yes >&2 & exec yes");
    let mut log = Log::default();
    // It goes on while it is read.
    for round in 0..3 * SIGNALS_MAX {
        log.0.push(bench.next().await);
        assert!(bench.signals.len() <= LINK_CHUNKS_MAX, "round {round}");
    }
    let (sink, _written) = async_channel::unbounded();
    let answers = stream::iter([Ok(Bytes::from_static(b"calm\n"))]).into_async_read();
    let server = ServerName::new("bench").unwrap();
    bench
        .links
        .registry_mut()
        .attach(server, answers, Sink(sink));
    let calm = bench.open(Kind::Attached);
    // What it says all finds room, however much the flood has to say.
    let told = async {
        while bench.signals.len() < LINK_CHUNKS_MAX + 3 {
            let soon = bench.runtime.now() + Duration::from_millis(2);
            bench.runtime.sleep_until(soon).await;
        }
    };
    bench.patiently("room for the calm link", told).await;
    let mut before = 0;
    bench
        .until(&mut log, |signal| {
            before += usize::from(signal.link() != calm);
            matches!(signal, Signal::Eof { link } if *link == calm).then_some(())
        })
        .await;
    assert!(before <= LINK_CHUNKS_MAX, "{before}");
}

/// A server that says notifications as fast as it can.
fn flood() -> ServerConfig {
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#;
    let once = format!(
        "printf '{{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{{\"tools\":[]}}}}\\n' \"$id\"; exec yes '{note}' ;;"
    );
    let list = "*'\"method\":\"tools/list\"'*)";
    let script = SCRIPT.replace(list, &format!("{list} {once}\n  *unreachable*)"));
    ServerConfig::new(name("flood"), Kind::Stdio(shell(&script)))
}

/// F33
pub async fn a_flood_leaves_the_calls_of_others_alone<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    for beside in ["alone", "beside a flood"] {
        let mut spans = Vec::new();
        for number in 0..300 {
            let begun = Instant::now();
            let result = manager.execute_tool("near", "echo", json!({"n": number}));
            assert_eq!(result.await.unwrap().text(), format!("{{\"n\":{number}}}"));
            spans.push(begun.elapsed());
        }
        spans.sort();
        println!("{beside}: p50 {:?}, p99 {:?}", spans[150], spans[297]);
        if beside == "alone" {
            manager.deploy_server(flood()).await.unwrap();
            assert!(manager.list_tools("flood").await.unwrap().is_empty());
        }
    }
    let shut = manager.runtime().shutdown(Some(Duration::ZERO));
    shut.await.unwrap();
}

/// Waits until a queue of that many calls stands before the server.
async fn queued(fleet: &McpRuntime, server: &str, count: usize) {
    // What was started before is taken before.
    let stats = fleet.metrics(Some(server)).await.unwrap();
    assert_eq!(stats.total.queued, count);
}

/// A server that takes one call at a time, behind an inbox that holds all of them. `hang` holds
/// its place until it is cancelled.
async fn narrow<R: AsyncRuntime>(runtime: &R) -> (McpManagerV2<R>, Attached) {
    let options = RuntimeOptions {
        inbox: 5000,
        ..RuntimeOptions::default()
    };
    let manager = McpManagerV2::on(runtime.clone(), FleetConfig::default(), options);
    let server = Attached::deploy(runtime, manager.runtime(), "near").await;
    let mut config = ServerConfig::new(name("near"), Kind::Attached);
    config.restart = Restart::Never;
    config.limits.in_flight = 1;
    manager.update_config(config).await.unwrap();
    (manager, server)
}

fn request(tool: &str, number: u64) -> Request {
    Request::Tool {
        name: tool.to_owned(),
        arguments: RawJson::of(&json!({"number": number})).ok(),
    }
}

/// The numbers of the calls that reached the server so far, in its own order.
fn record(server: &Attached) -> Vec<u64> {
    let seen = std::iter::from_fn(|| server.seen.try_recv().ok());
    seen.filter(|message| message["method"] == "tools/call")
        .map(|message| message["params"]["arguments"]["number"].as_u64().unwrap())
        .collect()
}

pub async fn a_client_that_floods_leaves_the_others_their_turns<R: AsyncRuntime>(runtime: R) {
    let (manager, server) = narrow(&runtime).await;
    let (flooding, modest) = (manager.client(), manager.client());
    let options = CallOptions::default;
    let mut first = manager.start_call("near", request("hang", 0), options());
    let flood: Vec<_> = (1..=1000)
        .map(|number| flooding.start_call("near", request("echo", number), options()))
        .collect();
    let single: Vec<_> = (2001..=2010)
        .map(|number| modest.start_call("near", request("echo", number), options()))
        .collect();
    queued(manager.runtime(), "near", 1010).await;
    first.cancel(None);
    first.await.unwrap_err();
    for call in flood.into_iter().chain(single) {
        call.await.unwrap();
    }
    let turns: Vec<u64> = (1..=10).flat_map(|turn| [turn, 2000 + turn]).collect();
    let want: Vec<u64> = [0].into_iter().chain(turns).chain(11..=1000).collect();
    assert_eq!(record(&server), want);
    manager.shutdown().await.unwrap();
}

pub async fn a_client_that_is_gone_leaves_its_places<R: AsyncRuntime>(runtime: R) {
    let (manager, server) = narrow(&runtime).await;
    let options = CallOptions::default;
    let (gone, stays) = (manager.client(), manager.client());
    let twin = gone.clone();
    let mut calls = vec![gone.start_call("near", request("hang", 1), options())];
    calls.extend(
        (2..=1000).map(|number| twin.start_call("near", request("echo", number), options())),
    );
    queued(manager.runtime(), "near", 999).await;
    drop(gone);
    queued(manager.runtime(), "near", 999).await;
    let other = stays.start_call("near", request("echo", 5000), options());
    // These stand in the inbox when the client leaves.
    calls.extend(
        (1001..=1020).map(|number| twin.start_call("near", request("echo", number), options())),
    );
    drop(twin);
    other.await.unwrap();
    for call in calls {
        let outcome = call.await.unwrap_err();
        let cancelled = matches!(outcome, ExecuteError::Call(CallError::Cancelled { .. }));
        assert!(cancelled, "{outcome:?}");
    }
    let stats = manager.get_metrics(None).await.unwrap().total;
    assert_eq!((stats.queued, stats.in_flight), (0, 0));
    let record = record(&server);
    assert!(
        record.starts_with(&[1]) && record.contains(&5000),
        "{record:?}"
    );
    assert!(
        record.iter().all(|number| !(2..=1000).contains(number)),
        "{record:?}"
    );
    stays.execute("near", request("echo", 1)).await.unwrap();
    manager.shutdown().await.unwrap();
}

pub async fn events_that_nobody_reads_hold_up_nothing<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    let mut unread = manager.events();
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    manager.deploy_server(flood()).await.unwrap();
    manager.list_tools("flood").await.unwrap();
    let mut read = manager.events();
    let mut told = 0_u64;
    while told < 20_000 {
        told += match read.next().await.unwrap() {
            Update::Event(_) => 1,
            Update::Missed(missed) => missed,
        };
    }
    manager.execute_tool("near", "echo", ()).await.unwrap();
    let mut kept = 0;
    let missed = loop {
        match unread.next().await.unwrap() {
            Update::Event(_) => kept += 1,
            Update::Missed(missed) => break missed,
        }
    };
    assert!(kept <= 1024, "{kept} events were kept");
    assert!(missed + kept >= told, "{missed} and {kept} are not {told}");
    let shut = manager.runtime().shutdown(Some(Duration::ZERO));
    shut.await.unwrap();
}

pub async fn frames_of_megabytes_go_both_ways<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    // The answer has it twice, as text and as structured content.
    let text = "x".repeat(5 << 20);
    let calls = (0..3).map(|_| manager.execute_tool("near", "echo", json!({"text": text})));
    for result in join_all(calls).await {
        let given: serde_json::Value = result.unwrap().structured().unwrap().read().unwrap();
        assert!(given["text"] == text.as_str());
    }
    manager.shutdown().await.unwrap();
}

/// Panics over a call of `trap`.
struct Trap(Sink);

impl AsyncWrite for Trap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("\"trap\""), "it is a trap");
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}

/// F55
pub async fn a_panic_of_a_stream_fails_its_server_alone<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    let fleet = manager.runtime();
    let near = Attached::deploy(&runtime, fleet, "near").await;
    let bad = Attached::deploy_behind(&runtime, fleet, "bad", Trap).await;
    match manager.execute_tool("bad", "trap", ()).await.unwrap_err() {
        ExecuteError::Call(CallError::ServerGone { stderr_tail, .. }) => {
            assert!(stderr_tail.contains("it is a trap"), "{stderr_tail}");
        }
        other => panic!("{other:?}"),
    }
    manager.execute_tool("near", "echo", ()).await.unwrap();
    manager.undeploy_server("bad").await.unwrap();
    manager.shutdown().await.unwrap();
    drop((near, bad));
}

/// A runtime that cannot start `true`.
#[derive(Clone)]
struct Fussy<R>(R);

impl<R: AsyncRuntime> AsyncRuntime for Fussy<R> {
    type Stdin = R::Stdin;
    type Stdout = R::Stdout;
    type Stderr = R::Stderr;
    type Child = R::Child;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(future);
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.0.sleep_until(deadline)
    }

    fn launch(&self, command: Command) -> io::Result<Process<Self>> {
        assert_ne!(command.get_program(), "true", "no reactor is running");
        let Process {
            pid,
            stdin,
            stdout,
            stderr,
            child,
        } = self.0.launch(command)?;
        Ok(Process {
            pid,
            stdin,
            stdout,
            stderr,
            child,
        })
    }
}

/// F55
pub async fn a_panic_of_a_launch_fails_its_server_alone<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&Fussy(runtime));
    manager.deploy_server(shell_server("shell")).await.unwrap();
    let mut stdio = shell("");
    stdio.command = "true".to_owned();
    let bad = ServerConfig::new(name("bad"), Kind::Stdio(stdio));
    let error = manager.deploy_server(bad).await.unwrap_err().to_string();
    assert!(error.contains("no reactor is running"), "{error}");
    // The thread of all children lives on: this one was not killed, and others can be started.
    manager.execute_tool("shell", "echo", ()).await.unwrap();
    manager.deploy_server(shell_server("other")).await.unwrap();
    manager.shutdown().await.unwrap();
}
