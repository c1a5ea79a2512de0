//! What callers of a fleet see, on whatever runtime.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{join_all, poll_immediate},
};
use mcp_fleet_core::{
    CallError, CallOptions, CommandError, Event, Exit, Fleet, Request, Sent, ServerState,
    config::{FleetConfig, Kind, Retry, ServerConfig, Stdio},
    journal::{Entry, Header, replay},
};
use mcp_fleet_driver::{
    AsyncRuntime, ExecuteError, Journal, ManageError, McpManagerV2, McpRuntime, PendingCall,
    RuntimeOptions, StartError, Update,
};
use serde_json::json;

use crate::{
    bench::{Bench, is_alive, shell},
    servers::{Attached, SCRIPT, name, shell_server},
};

fn manager<R: AsyncRuntime>(runtime: &R) -> McpManagerV2<R> {
    McpManagerV2::on(
        runtime.clone(),
        FleetConfig::default(),
        RuntimeOptions::default(),
    )
}

fn start(fleet: &McpRuntime, server: &str, tool: &str, progress: bool) -> PendingCall {
    let request = Request::Tool {
        name: tool.to_owned(),
        arguments: None,
    };
    fleet.start_call(
        server,
        request,
        CallOptions {
            progress,
            ..CallOptions::default()
        },
    )
}

pub async fn a_process_is_deployed_called_measured_and_gone<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    manager.deploy_server(shell_server("shell")).await.unwrap();
    let result = manager
        .execute_tool("shell", "echo", json!({"n": 1}))
        .await
        .unwrap();
    assert!(!result.is_error());
    assert!(result.text().parse::<u64>().is_ok(), "{}", result.text());
    assert_eq!(manager.list_tools("shell").await.unwrap().len(), 1);
    assert!(manager.health_check(None).await.unwrap()[0].is_healthy());
    let metrics = manager.get_metrics(None).await.unwrap();
    assert_eq!((metrics.active_servers, metrics.total.succeeded), (1, 1));
    let servers = manager.list_servers().await.unwrap();
    assert_eq!(servers[0].state, ServerState::Ready);
    let pid = servers[0].pid.unwrap();
    assert!(is_alive(pid));
    manager.shutdown().await.unwrap();
    assert!(!is_alive(pid));
    let gone = manager.execute_tool("shell", "echo", json!({})).await;
    assert_eq!(gone.unwrap_err(), ExecuteError::RuntimeGone);
    assert_eq!(
        manager.list_servers().await.unwrap_err(),
        ManageError::RuntimeGone
    );
    manager.shutdown().await.unwrap();
}

pub async fn a_thousand_callers_get_their_own_answers<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    let calls = (0..1000).map(|number| {
        manager.execute_tool(
            "near",
            "echo",
            json!({"number": number, "text": "\u{2028}\n\"ü"}),
        )
    });
    for (number, result) in join_all(calls).await.into_iter().enumerate() {
        let given: serde_json::Value = result.unwrap().structured().unwrap().read().unwrap();
        assert_eq!(given, json!({"number": number, "text": "\u{2028}\n\"ü"}));
    }
    assert_eq!(
        manager
            .get_metrics(Some("near"))
            .await
            .unwrap()
            .total
            .succeeded,
        1000
    );
    manager.shutdown().await.unwrap();
}

pub async fn a_hanging_call_holds_up_nobody_else<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    manager.deploy_server(shell_server("one")).await.unwrap();
    manager.deploy_server(shell_server("two")).await.unwrap();
    let mut hanging = start(manager.runtime(), "one", "hang", false);
    for server in ["one", "two"] {
        manager.execute_tool(server, "echo", ()).await.unwrap();
    }
    assert!(poll_immediate(&mut hanging).await.is_none());
    drop(hanging);
    manager.shutdown().await.unwrap();
}

pub async fn a_dropped_future_cancels_its_call<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    let server = Attached::deploy(&runtime, manager.runtime(), "near").await;
    let mut hanging = Box::pin(manager.execute_tool("near", "hang", ()));
    assert!(poll_immediate(&mut hanging).await.is_none());
    let request = server.next("tools/call").await;
    drop(hanging);
    let cancelled = server.next("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
    let total = manager.get_metrics(None).await.unwrap().total;
    assert_eq!((total.errors.cancelled, total.in_flight), (1, 0));
    manager.shutdown().await.unwrap();
}

pub async fn a_call_cancelled_at_once_still_has_one_outcome<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    for _ in 0..200 {
        let mut call = start(manager.runtime(), "near", "hang", false);
        call.cancel(Some("no longer wanted".to_owned()));
        let ended = call.await.unwrap_err();
        assert!(
            matches!(ended, ExecuteError::Call(CallError::Cancelled { .. })),
            "{ended:?}"
        );
    }
    assert_eq!(manager.get_metrics(None).await.unwrap().total.in_flight, 0);
    manager.shutdown().await.unwrap();
}

pub async fn a_call_that_finds_the_inbox_full_waits_or_is_never_sent<R: AsyncRuntime>(runtime: R) {
    let options = RuntimeOptions {
        inbox: 1,
        ..RuntimeOptions::default()
    };
    let (fleet, actor) = McpRuntime::new(runtime.clone(), FleetConfig::default(), options);
    // Nobody takes anything out of the inbox yet.
    let mut first = start(&fleet, "nobody", "echo", false);
    let second = start(&fleet, "nobody", "echo", false);
    let mut third = start(&fleet, "nobody", "echo", false);
    third.cancel(None);
    let cancelled = CallError::Cancelled { sent: Sent::No };
    assert_eq!(third.await.unwrap_err(), ExecuteError::Call(cancelled));
    assert!(poll_immediate(&mut first).await.is_none());
    drop(start(&fleet, "nobody", "echo", false));
    runtime.spawn(actor.run());
    for call in [first, second] {
        let error = call.await.unwrap_err();
        assert!(
            matches!(error, ExecuteError::Call(CallError::NotFound { .. })),
            "{error:?}"
        );
    }
    assert_eq!(fleet.metrics(None).await.unwrap().total.errors.cancelled, 0);
    fleet.shutdown(None).await.unwrap();
}

pub async fn progress_comes_before_the_result<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    let mut call = start(manager.runtime(), "near", "report", true);
    let mut progress = call.progress();
    let report = progress.next().await.unwrap();
    assert_eq!(
        (report.progress, report.total, report.message),
        (1.0, Some(2.0), None)
    );
    call.await.unwrap();
    assert_eq!(progress.next().await, None);
    manager.shutdown().await.unwrap();
}

pub async fn a_crash_ends_the_calls_in_flight<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    manager.deploy_server(shell_server("shell")).await.unwrap();
    let hanging = start(manager.runtime(), "shell", "hang", false);
    let crashing = start(manager.runtime(), "shell", "crash", false);
    for call in [hanging, crashing] {
        match call.await.unwrap_err() {
            ExecuteError::Call(CallError::ServerGone {
                exit,
                stderr_tail,
                sent,
                ..
            }) => {
                assert_eq!((exit, sent), (Some(Exit::Code(3)), Sent::Unknown));
                assert_eq!(stderr_tail.trim(), "out of luck");
            }
            other => panic!("{other:?}"),
        }
    }
    manager.shutdown().await.unwrap();
}

pub async fn a_call_that_bears_it_is_made_again_after_a_crash<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    let mark = std::env::temp_dir().join(format!("mcp-fleet-again-{}", std::process::id()));
    // The first call ends the server; another finds the mark of the first.
    let look = format!(
        r#"*'"name":"look"'*) if rmdir '{0}' 2>/dev/null; then
      say '"result":{{"content":[{{"type":"text","text":"seen"}}]}}'; else mkdir '{0}'; exit 3; fi ;;"#,
        mark.display()
    );
    let crash = r#"*'"name":"crash"'*)"#;
    let tools = r#"{"name":"look","annotations":{"readOnlyHint":true}},{"name":"echo","#;
    let script = SCRIPT
        .replace(crash, &format!("{look}\n    {crash}"))
        .replace(r#"{"name":"echo","#, tools);
    let mut config = ServerConfig::new(name("shell"), Kind::Stdio(shell(&script)));
    config.retry = Retry::Idempotent;
    config.limits.retry_percent = 100;
    config.limits.backoff = Duration::from_millis(1);
    manager.deploy_server(config).await.unwrap();
    assert_eq!(manager.list_tools("shell").await.unwrap().len(), 2);
    let seen = manager.execute_tool("shell", "look", ()).await.unwrap();
    assert_eq!(seen.text(), "seen");
    let lost = manager.execute_tool("shell", "crash", ()).await;
    let gone = matches!(
        lost,
        Err(ExecuteError::Call(CallError::ServerGone {
            sent: Sent::Unknown,
            ..
        }))
    );
    assert!(gone, "{lost:?}");
    let stats = manager.get_metrics(None).await.unwrap().total;
    assert_eq!((stats.retries, stats.requeued, stats.crashes), (1, 0, 2));
    manager.shutdown().await.unwrap();
}

pub async fn events_tell_the_life_of_a_server_and_end_with_the_fleet<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    let mut events = manager.events();
    manager.deploy_server(shell_server("shell")).await.unwrap();
    manager.undeploy_server("shell").await.unwrap();
    manager.shutdown().await.unwrap();
    let mut states = Vec::new();
    while let Some(update) = events.next().await {
        if let Update::Event(Event::ServerChanged { state, .. }) = update {
            states.push(state);
        }
    }
    assert_eq!(states.first(), Some(&ServerState::Starting));
    assert!(states.contains(&ServerState::Ready), "{states:?}");
    assert_eq!(states.last(), Some(&ServerState::Stopped));
    assert_eq!(manager.events().next().await, None);
}

pub async fn dropping_the_last_handle_ends_every_process<R: AsyncRuntime>(runtime: R) {
    let bench = Bench::new(runtime.clone());
    let manager = manager(&runtime);
    manager.deploy_server(shell_server("shell")).await.unwrap();
    let pid = manager.list_servers().await.unwrap()[0].pid.unwrap();
    let clone = manager.clone();
    drop(manager);
    clone.execute_tool("shell", "echo", ()).await.unwrap();
    drop(clone);
    bench.until_dead(pid).await;
}

pub async fn one_bad_server_does_not_fail_the_others<R: AsyncRuntime>(runtime: R) {
    let missing = Stdio {
        command: "no-such-mcp-server".to_owned(),
        ..Stdio::default()
    };
    let mut off = shell_server("off");
    off.enabled = false;
    let servers = vec![
        ServerConfig::new(name("bad"), Kind::Stdio(missing)),
        shell_server("good"),
        off,
    ];
    let config = FleetConfig {
        servers,
        ..FleetConfig::default()
    };
    let manager = McpManagerV2::on(runtime, config, RuntimeOptions::default());
    let report = manager.initialize().await.unwrap();
    assert_eq!(report.len(), 2);
    let error = report[0].1.as_ref().unwrap_err().to_string();
    assert!(
        error.contains("\"no-such-mcp-server\" was not found on PATH"),
        "{error}"
    );
    assert_eq!(report[1], (name("good"), Ok(())));
    manager.execute_tool("good", "echo", ()).await.unwrap();
    let again = manager.initialize().await.unwrap();
    assert_eq!(again[1].1, Ok(()));
    let taken = manager
        .deploy_server(shell_server("GOOD"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            taken,
            ManageError::Command(CommandError::AlreadyDeployed { .. })
        ),
        "{taken:?}"
    );
    manager.shutdown().await.unwrap();
    assert_eq!(
        manager.initialize().await.unwrap_err(),
        StartError::RuntimeGone
    );
}

pub async fn a_reload_brings_the_fleet_to_its_configuration<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    let fleet = |servers: Vec<ServerConfig>| FleetConfig {
        servers,
        ..FleetConfig::default()
    };
    Attached::deploy(&runtime, manager.runtime(), "by-hand").await;
    let first = fleet(vec![shell_server("stays"), shell_server("leaves")]);
    let report = manager.reload(first).await.unwrap();
    assert_eq!(report.added, [name("leaves"), name("stays")]);
    let pids = || async {
        let servers = manager.list_servers().await.unwrap();
        let named = servers.into_iter().map(|server| (server.name, server.pid));
        named.collect::<BTreeMap<_, _>>()
    };
    let before = pids().await;

    let mut broken = shell_server("broken");
    if let Kind::Stdio(stdio) = &mut broken.kind {
        stdio.command = "/no/such/program".to_owned();
    }
    let second = fleet(vec![shell_server("stays"), broken]);
    let report = manager.reload(second).await.unwrap();
    assert_eq!(report.unchanged, [name("stays")]);
    assert_eq!(report.removed, [name("leaves")]);
    assert!(report.added.is_empty());
    let [(server, CommandError::Failed { failure, .. })] = report.failed.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(*server, name("broken"));
    assert!(
        failure.to_string().contains("/no/such/program"),
        "{failure}"
    );
    let after = pids().await;
    assert_eq!(after[&name("stays")], before[&name("stays")]);
    assert!(!is_alive(before[&name("leaves")].unwrap()));
    assert!(after.contains_key(&name("by-hand")), "{after:?}");

    let contradiction = fleet(vec![shell_server("a"), shell_server("A")]);
    let error = manager.reload(contradiction).await.unwrap_err();
    assert!(matches!(
        error,
        ManageError::Command(CommandError::Invalid { .. })
    ));
    assert_eq!(pids().await, after);
    manager.shutdown().await.unwrap();
    let error = manager.reload(FleetConfig::default()).await.unwrap_err();
    assert_eq!(error, ManageError::RuntimeGone);
}

pub async fn a_used_up_pair_of_streams_cannot_be_restarted<R: AsyncRuntime>(runtime: R) {
    let manager = manager(&runtime);
    let server = Attached::deploy(&runtime, manager.runtime(), "near").await;
    let error = manager
        .restart_server("near")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no streams are attached as \"near\""),
        "{error}"
    );
    assert!(server.seen.is_closed() || server.next("initialize").await.is_object());
    manager.undeploy_server("near").await.unwrap();
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    manager
        .execute_tool("near", "echo", json!({}))
        .await
        .unwrap();
    manager.shutdown().await.unwrap();
}

pub async fn a_journal_replays_to_the_same_effects<R: AsyncRuntime>(runtime: R) {
    let (sink, written) = async_channel::unbounded();
    let journal = Some(Journal::new(Lines(sink)));
    let options = RuntimeOptions {
        journal,
        ..RuntimeOptions::default()
    };
    let manager = McpManagerV2::on(runtime.clone(), FleetConfig::default(), options);
    manager.deploy_server(shell_server("shell")).await.unwrap();
    Attached::deploy(&runtime, manager.runtime(), "near").await;
    let calls = (0..20).map(|n| manager.execute_tool("near", "echo", json!({"n": n})));
    join_all(calls).await;
    drop(start(manager.runtime(), "near", "hang", false));
    start(manager.runtime(), "shell", "crash", false)
        .await
        .unwrap_err();
    manager.shutdown().await.unwrap();
    drop(manager);
    let mut text = Vec::new();
    while let Ok(bytes) = written.recv().await {
        text.extend_from_slice(&bytes);
    }
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.lines();
    let header: Header = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut fleet = Fleet::new(header.config, header.seed);
    let mut effects = 0;
    for line in lines {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let replayed = Entry {
            effects: replay(&mut fleet, &entry).0,
            ..entry.clone()
        };
        assert_eq!(serde_json::to_string(&replayed).unwrap(), line);
        effects += entry.effects.len();
    }
    assert!(effects > 25, "{effects}");
    assert!(fleet.is_shut_down());
}

struct Lines(async_channel::Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub async fn every_future_can_move_between_threads<R: AsyncRuntime>(runtime: R) {
    fn movable<F: Future + Send>(future: F) {
        drop(future);
    }
    let manager = manager(&runtime);
    movable(manager.initialize());
    movable(manager.deploy_server(shell_server("shell")));
    movable(manager.undeploy_server("shell"));
    movable(manager.restart_server("shell"));
    movable(manager.update_config(shell_server("shell")));
    movable(manager.reload(FleetConfig::default()));
    // Arguments need not be movable: they are written before the future is made.
    movable(manager.execute_tool("shell", "echo", std::rc::Rc::new(json!({})).as_ref()));
    movable(manager.call("shell", "ping", ()));
    movable(start(manager.runtime(), "shell", "echo", false));
    movable(manager.list_tools("shell"));
    movable(manager.list_servers());
    movable(manager.health_check(None));
    movable(manager.get_metrics(None));
    movable(manager.shutdown());
    let mut events = manager.events();
    movable(events.next());
    let shut = manager.runtime().shutdown(Some(Duration::ZERO));
    shut.boxed().await.unwrap();
}
