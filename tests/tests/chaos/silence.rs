//! Servers that live and do not answer.

use std::{fs, time::Duration};

use futures::future::join_all;
use mcp_fleet_core::{CallError, Event, Exit, Failure, Sent, ServerState};
use mcp_fleet_driver::{AsyncRuntime, ExecuteError};
use mcp_fleet_tests::fake_server;
use serde_json::{Value, json};

use crate::host::{Host, send, state_of, timed};

/// For calls that are not answered.
const SHORT: Duration = Duration::from_millis(300);

/// The old process wakes up on the close ladder, and says what it has to say.
pub(crate) async fn f18_a_stopped_server_is_started_anew_and_its_past_has_no_say<
    R: AsyncRuntime,
>(
    runtime: R,
) {
    let mut host = Host::new(runtime);
    let config = host.limited("victim", &[], |limits| {
        limits.health_interval = Duration::from_millis(300);
        limits.request_timeout = Duration::from_millis(300);
        limits.health_failures = 2;
        // The test wakes it up before the ladder goes on.
        limits.close_input_wait = Duration::from_secs(250);
        // Calls that wait for the next life are not to be refused for those that were lost.
        limits.breaker_failures = 0;
        limits.breaker_percent = 0;
    });
    host.deploy(config).await;
    let server = host.fake("other", &[]);
    host.deploy(server).await;
    let pid = host.pid("victim").await;
    send(pid, "STOP");
    host.sooner_or_later("stop", || state_of(pid) == Some('T'))
        .await;
    let calls: Vec<_> = (0..20)
        .map(|number| host.start_with("victim", "echo", &json!({"n": number}), Some(SHORT)))
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        match host.patiently("call", call).await {
            Err(ExecuteError::Call(
                CallError::TimedOut { .. }
                | CallError::ServerGone {
                    sent: Sent::Unknown,
                    ..
                },
            )) => {}
            other => panic!("{number}: {other:?}"),
        }
    }
    host.manager
        .execute_tool("other", "echo", ())
        .await
        .unwrap();
    host.until_state("victim", ServerState::Closing).await;
    // These wait for the next life.
    let waiting: Vec<_> = (100..120)
        .map(|number| (number, host.start("victim", "echo", &json!({"n": number}))))
        .collect();
    send(pid, "CONT");
    let failure = host.until_state("victim", ServerState::Backoff).await;
    assert!(
        matches!(failure, Some(Failure::Unresponsive { .. })),
        "{failure:?}"
    );
    host.until_state("victim", ServerState::Ready).await;
    for (number, call) in waiting {
        let result = host.patiently("call", call).await.unwrap();
        let result: Value = result.read().unwrap();
        assert_eq!(result["structuredContent"], json!({"n": number}));
    }
    assert_ne!(host.pid("victim").await, pid);
    assert_eq!(state_of(pid), None);
    let executed = host.executed("victim");
    assert!(executed.values().all(|times| *times == 1), "{executed:?}");
    host.finish().await;
}

pub(crate) async fn f16_a_server_without_output_is_replaced<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let config = host.limited("mute", &["--ignore-eof"], |limits| {
        limits.close_input_wait = Duration::from_millis(50);
    });
    host.deploy(config).await;
    let pid = host.pid("mute").await;
    let calls = ["hang", "hang", "close-stdout"].map(|tool| host.start("mute", tool, &json!({})));
    for outcome in join_all(calls).await {
        match outcome {
            Err(ExecuteError::Call(CallError::ServerGone { sent, .. })) => {
                assert_eq!(sent, Sent::Unknown);
            }
            other => panic!("{other:?}"),
        }
    }
    host.until_state("mute", ServerState::Ready).await;
    assert_eq!(state_of(pid), None);
    host.manager.execute_tool("mute", "echo", ()).await.unwrap();
    host.finish().await;
}

/// Its input is closed, and its output never ends.
pub(crate) async fn f17_a_server_that_only_talks_is_replaced<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let config = host.limited("deaf", &[], |limits| {
        limits.close_input_wait = Duration::from_millis(50);
    });
    host.deploy(config).await;
    let server = host.fake("other", &[]);
    host.deploy(server).await;
    let pid = host.pid("deaf").await;
    let closing = host.start("deaf", "close-stdin", &json!({"chatter": true}));
    let input = format!("/proc/{pid}/fd/0");
    host.sooner_or_later("closed input", || {
        fs::read_link(&input).is_ok_and(|target| target == std::path::Path::new("/dev/null"))
    })
    .await;
    // SIGPIPE would end this very process.
    let lost = host.start("deaf", "echo", &json!({"n": 1}));
    for call in [closing, lost] {
        match host.patiently("call", call).await {
            Err(ExecuteError::Call(CallError::ServerGone { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    host.manager
        .execute_tool("other", "echo", ())
        .await
        .unwrap();
    host.until_state("deaf", ServerState::Ready).await;
    assert_eq!(state_of(pid), None);
    host.manager.execute_tool("deaf", "echo", ()).await.unwrap();
    assert_eq!(host.executed("deaf").len(), 0);
    host.finish().await;
}

/// The pipe to the server is full, and it never reads again.
pub(crate) async fn f34_a_full_pipe_refuses_cancels_and_times_out<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    // Its first life reads the probe, the handshake and the lists: seven frames. The next ones read on.
    let script = r#"[ -e "$2" ] || deaf="--stop-reading-after 7"
: >"$2"; exec "$0" --era legacy --record "$1" $deaf"#;
    let (record, mark) = (host.record_of("deaf"), host.scratch.path().join("mark"));
    let words = [fake_server().unwrap(), record, mark];
    let words = words.each_ref().map(|word| word.to_str().unwrap());
    let mut config = host.server("deaf", "sh", &["-c", script, words[0], words[1], words[2]]);
    config.limits.write_bytes = 1024;
    config.limits.queue = 4;
    config.limits.health_interval = Duration::ZERO;
    host.deploy(config).await;
    // One frame may exceed the credit, so that this one is written in part.
    let filler = "x".repeat(1 << 20);
    let blocked = json!({"n": 0, "filler": filler});
    let blocked = host.start_with("deaf", "echo", &blocked, Some(Duration::from_secs(2)));
    let pid = host.pid("deaf").await;
    let pipe = fs::File::open(format!("/proc/{pid}/fd/0")).unwrap();
    let full = || rustix::io::ioctl_fionread(&pipe).unwrap() > 60_000;
    host.sooner_or_later("a full pipe", full).await;

    let mut cancelled = host.start("deaf", "echo", &json!({"n": 1}));
    let late = host.start_with("deaf", "echo", &json!({"n": 2}), Some(SHORT));
    let kept: Vec<_> = (3..5)
        .map(|number| (number, host.start("deaf", "echo", &json!({"n": number}))))
        .collect();
    let (refused, took) = timed(host.start("deaf", "echo", &json!({"n": 5}))).await;
    assert!(
        matches!(
            refused,
            Err(ExecuteError::Call(CallError::Overloaded { .. }))
        ),
        "{refused:?}"
    );
    println!("refused within {took:?}");
    assert!(took < SHORT, "{took:?}");
    cancelled.cancel(None);
    match host.patiently("cancelled call", cancelled).await {
        Err(ExecuteError::Call(CallError::Cancelled { sent })) => assert_eq!(sent, Sent::No),
        other => panic!("{other:?}"),
    }
    for (call, expected) in [(late, Sent::No), (blocked, Sent::Unknown)] {
        match host.patiently("late call", call).await {
            Err(ExecuteError::Call(CallError::TimedOut { sent, .. })) => {
                assert_eq!(sent, expected);
            }
            other => panic!("{other:?}"),
        }
    }
    send(pid, "KILL");
    let exit = host
        .until("word of the crash", |event| match event {
            Event::ServerChanged {
                failure: Some(Failure::Crashed { exit, .. }),
                ..
            } => Some(*exit),
            _ => None,
        })
        .await;
    assert_eq!(exit, Some(Exit::Signal(9)));
    // Those that still waited are answered by the next life; the others never ran.
    for (number, call) in kept {
        let result: Value = host
            .patiently("kept call", call)
            .await
            .unwrap()
            .read()
            .unwrap();
        assert_eq!(result["structuredContent"], json!({"n": number}));
    }
    assert_eq!(host.executed("deaf"), [(3, 1), (4, 1)].into());
    host.finish().await;
}
