//! Servers that die, and what they leave behind.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fs,
    pin::pin,
    time::{Duration, Instant},
};

use futures::future::{Either, join, join_all, select};
use mcp_fleet_core::{CallError, Event, Exit, Sent, ServerState};
use mcp_fleet_driver::{AsyncRuntime, ExecuteError};
use serde_json::json;

use crate::{
    figures,
    host::{Host, quantile, send, state_of},
};

const CALLERS: u64 = 256;
/// Lives that are ended amid the load.
const KILLS: usize = 5;

/// 256 callers in a closed loop, while their server is killed time and again.
pub(crate) async fn f13_kill_nine_under_load<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let begun = Instant::now();
    let victim = host.limited("victim", &[], |limits| {
        limits.restarts = KILLS;
        limits.queue = 1024;
    });
    let backoff = victim.limits.backoff * (1 << KILLS);
    host.deploy(victim).await;
    let start_time = begun.elapsed();
    for name in ["calm", "quiet"] {
        let server = host.fake(name, &[]);
        host.deploy(server).await;
    }
    let numbers = Cell::new(0);
    let stopped = Cell::new(false);
    let lost = RefCell::new(Vec::new());
    let answered = RefCell::new(BTreeSet::new());
    let last_answer = Cell::new(Instant::now());
    let manager = host.manager.clone();
    let callers = join_all((0..CALLERS).map(|_| async {
        while !stopped.get() {
            let number = numbers.replace(numbers.get() + 1);
            let echo = json!({"n": number});
            match manager.execute_tool("victim", "echo", &echo).await {
                Ok(result) => {
                    let echoed: serde_json::Value = result.structured().unwrap().read().unwrap();
                    assert_eq!(echoed, echo);
                    assert!(answered.borrow_mut().insert(number));
                    last_answer.set(Instant::now());
                }
                Err(error) => lost.borrow_mut().push((number, error)),
            }
        }
    }));
    let others = join_all(["calm", "quiet"].map(|name| {
        let (manager, stopped) = (&manager, &stopped);
        async move {
            while !stopped.get() {
                manager.execute_tool(name, "echo", ()).await.unwrap();
            }
        }
    }));
    let recoveries = RefCell::new(Vec::new());
    let killer = async {
        for _ in 0..KILLS {
            // So many that the callers have all their calls under way.
            let before = answered.borrow().len();
            let enough = || answered.borrow().len() > before + 500;
            host.sooner_or_later("answers", enough).await;
            send(host.pid("victim").await, "KILL");
            let killed = Instant::now();
            host.until_state("victim", ServerState::Backoff).await;
            let back = || last_answer.get() > killed && answered.borrow().len() > before + 1000;
            host.until_state("victim", ServerState::Ready).await;
            let ready = killed.elapsed();
            host.sooner_or_later("the next answer", back).await;
            recoveries.borrow_mut().push(ready);
        }
        stopped.set(true);
    };
    join(join(callers, others), killer).await;
    let lost = lost.into_inner();
    let executed = host.executed("victim");
    for (number, error) in &lost {
        let ExecuteError::Call(CallError::ServerGone { exit, sent, .. }) = error else {
            panic!("{number}: {error:?}");
        };
        assert_eq!(*exit, Some(Exit::Signal(9)));
        if *sent == Sent::No {
            assert_eq!(executed.get(number), None, "{number} ran");
        }
    }
    assert!(lost.len() >= KILLS, "only {} calls were lost", lost.len());
    let twice: Vec<_> = executed.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    // Each call had one outcome.
    let lost: BTreeSet<u64> = lost.into_iter().map(|(number, _)| number).collect();
    assert_eq!(lost.intersection(&answered.borrow()).count(), 0);
    assert_eq!((lost.len() + answered.borrow().len()) as u64, numbers.get());
    let mut recoveries = recoveries.into_inner();
    let slowest = quantile(&mut recoveries, 100);
    println!(
        "{} calls answered, {} lost; ready again after {:?} at most (backoff up to {backoff:?}, \
         start {start_time:?})",
        answered.borrow().len(),
        lost.len(),
        slowest,
    );
    // Under full load on a busy machine a start takes longer than alone.
    assert!(slowest < backoff + start_time + Duration::from_secs(10));
    host.finish().await;
}

/// A server that stops reading, with more calls on their way than the pipe holds.
pub(crate) async fn f13_what_was_not_written_never_ran<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    // The probe, the handshake and the lists are seven frames.
    let deaf = ["--era", "legacy", "--stop-reading-after", "31"];
    let config = host.limited("victim", &deaf, |limits| limits.in_flight = 512);
    host.deploy(config).await;
    let filler = "x".repeat(4096);
    let calls = (0..CALLERS)
        .map(|number| host.start("victim", "hang", &json!({"n": number, "filler": filler})));
    let killer = async {
        while host.info("victim").await.stats.in_flight < 256 {
            let soon = host.runtime.now() + Duration::from_millis(2);
            host.runtime.sleep_until(soon).await;
        }
        host.sooner_or_later("calls on record", || host.executed("victim").len() >= 24)
            .await;
        send(host.pid("victim").await, "KILL");
    };
    let (outcomes, ()) = host.patiently("calls", join(join_all(calls), killer)).await;
    let (mut unsent, mut unknown) = (Vec::new(), Vec::new());
    for (number, outcome) in (0..).zip(outcomes) {
        match outcome {
            Err(ExecuteError::Call(CallError::ServerGone { exit, sent, .. })) => {
                assert_eq!(exit, Some(Exit::Signal(9)));
                match sent {
                    Sent::No => unsent.push(number),
                    Sent::Unknown => unknown.push(number),
                }
            }
            other => panic!("{number}: {other:?}"),
        }
    }
    host.until_state("victim", ServerState::Ready).await;
    let executed = host.executed("victim");
    assert!(unsent.iter().all(|number| !executed.contains_key(number)));
    assert!(executed.keys().all(|number| unknown.contains(number)));
    assert!(executed.values().all(|times| *times == 1));
    println!(
        "{} calls ran, {} more were written, {} were not",
        executed.len(),
        unknown.len() - executed.len(),
        unsent.len()
    );
    // The pipe holds 64 KiB and a frame more than 4.
    assert!(unsent.len() > 100, "{}", unsent.len());
    host.finish().await;
}

/// A frame that the pipe has in part when the server dies.
pub(crate) async fn f35_a_frame_cut_by_a_crash_leaves_the_next_life_clean<R: AsyncRuntime>(
    runtime: R,
) {
    let mut host = Host::new(runtime);
    let deaf = ["--era", "legacy", "--stop-reading-after", "7"];
    let server = host.fake("victim", &deaf);
    host.deploy(server).await;
    // More than the pipe holds.
    let filler = "x".repeat(1 << 20);
    let cut = host.start("victim", "echo", &json!({"n": 1, "filler": filler}));
    let pid = host.pid("victim").await;
    let pipe = fs::File::open(format!("/proc/{pid}/fd/0")).unwrap();
    let full = || rustix::io::ioctl_fionread(&pipe).unwrap() > 60_000;
    host.sooner_or_later("a full pipe", full).await;
    send(pid, "KILL");
    match host.patiently("call", cut).await {
        Err(ExecuteError::Call(CallError::ServerGone { sent, .. })) => {
            assert_eq!(sent, Sent::Unknown);
        }
        other => panic!("{other:?}"),
    }
    // Half a frame at the beginning would spoil the handshake.
    host.until_state("victim", ServerState::Ready).await;
    assert_eq!(host.executed("victim").len(), 0);
    host.finish().await;
}

/// The direct child is gone, and somebody holds both pipes open.
pub(crate) async fn f15_a_grandchild_that_holds_the_pipes_delays_nothing<R: AsyncRuntime>(
    runtime: R,
) {
    let mut host = Host::new(runtime);
    for holder in ["same-group", "own-group", "daemon"] {
        let server = host.fake(holder, &["--grandchild", holder]);
        host.deploy(server).await;
        let pid = host.pid(holder).await;
        let call = host.start(holder, "hang", &json!({}));
        send(pid, "KILL");
        let outcome = host.patiently("call", call).await;
        assert!(
            matches!(
                outcome,
                Err(ExecuteError::Call(CallError::ServerGone {
                    exit: Some(Exit::Signal(9)),
                    ..
                }))
            ),
            "{outcome:?}"
        );
        host.until_state(holder, ServerState::Ready).await;
        host.manager.undeploy_server(holder).await.unwrap();
        assert!(host.processes().is_empty(), "{holder}");
    }
    host.finish().await;
}

/// A daemon has left group, session and parent.
pub(crate) async fn f53_daemons_go_with_every_end_of_their_server<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let daemon = ["--grandchild", "daemon"];
    for (name, shell) in [("direct", false), ("wrapped", true)] {
        let mut config = host.fake(name, &daemon);
        if shell && let mcp_fleet_core::config::Kind::Stdio(stdio) = &mut config.kind {
            let program = std::mem::replace(&mut stdio.command, "sh".to_owned());
            let script = r#""$0" "$@"; exit $?"#.to_owned();
            stdio.args.splice(0..0, ["-c".to_owned(), script, program]);
        }
        host.deploy(config).await;
        // The server and its daemon, and the shell.
        let members = if shell { 3 } else { 2 };
        let alive = host.processes();
        assert_eq!(alive.len(), members, "{alive:?}");
        // A restart, a crash, an undeployment.
        host.manager.restart_server(name).await.unwrap();
        let again = host.processes();
        assert!(again.iter().all(|pid| !alive.contains(pid)), "{again:?}");
        assert_eq!(again.len(), members);
        // Its events so far are of the restart.
        let before = host.info(name).await.incarnation;
        send(host.pid(name).await, "KILL");
        host.until("the life after the crash", |event| match event {
            Event::ServerChanged {
                incarnation, state, ..
            } => (*incarnation > before && *state == ServerState::Ready).then_some(()),
            _ => None,
        })
        .await;
        let after = host.processes();
        assert!(after.iter().all(|pid| !again.contains(pid)), "{after:?}");
        assert_eq!(after.len(), members);
        host.manager.undeploy_server(name).await.unwrap();
        assert!(host.processes().is_empty());
    }
    // A shutdown, with both there.
    let server = host.fake("last", &daemon);
    host.deploy(server).await;
    host.finish().await;
}

/// How long a dead server stays a zombie.
pub(crate) async fn f69_no_zombie_stays<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let config = host.limited("victim", &[], |limits| {
        limits.restarts = 100;
        limits.backoff = Duration::from_millis(1);
    });
    host.deploy(config).await;
    let mut spans = Vec::new();
    for _ in 0..9 {
        let pid = host.pid("victim").await;
        send(pid, "KILL");
        // Looked at from a thread of its own, which is woken as often as the system can.
        let watch = std::thread::spawn(move || {
            let mut died = None;
            loop {
                match state_of(pid) {
                    None => break,
                    Some('Z' | 'X') => died = died.or_else(|| Some(Instant::now())),
                    Some(_) => {}
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            died.map_or(Duration::ZERO, |at: Instant| at.elapsed())
        });
        host.until_state("victim", ServerState::Ready).await;
        spans.push(watch.join().unwrap());
    }
    let median = quantile(&mut spans, 50);
    println!(
        "a zombie stays for {median:?}, {:?} at most",
        quantile(&mut spans, 100)
    );
    assert!(median < Duration::from_millis(100), "{spans:?}");
    host.finish().await;
    let zombies: Vec<_> = figures::children()
        .into_iter()
        .filter(|(_, state)| *state == 'Z')
        .collect();
    assert!(zombies.is_empty(), "{zombies:?}");
}

/// A process in a frozen control group obeys no signal at all until it thaws.
pub(crate) async fn f52_a_process_that_sigkill_does_not_end_is_given_up<R: AsyncRuntime>(
    runtime: R,
) {
    let Some(freezer) = Freezer::new() else {
        println!("left out: no freezer can be made here");
        return;
    };
    let mut host = Host::new(runtime);
    let config = host.limited("frozen", &[], |limits| {
        limits.close_input_wait = Duration::from_millis(20);
        limits.terminate_wait = Duration::from_millis(20);
        limits.kill_wait = Duration::from_millis(300);
    });
    host.deploy(config).await;
    let pid = host.pid("frozen").await;
    freezer.freeze(pid);
    let call = host.start("frozen", "echo", &json!({}));
    {
        let restart = pin!(host.manager.restart_server("frozen"));
        let patience = host.runtime.now() + Duration::from_secs(60);
        match select(restart, pin!(host.runtime.sleep_until(patience))).await {
            Either::Left((outcome, _)) => outcome.unwrap(),
            Either::Right(_) => panic!("the frozen process holds up its server"),
        }
    }
    let left = host
        .until("word of what is left", |event| match event {
            Event::Abandoned { pid, .. } => Some(*pid),
            _ => None,
        })
        .await;
    assert_eq!(left, Some(pid));
    drop(call);
    assert_ne!(host.pid("frozen").await, pid);
    host.manager
        .execute_tool("frozen", "echo", ())
        .await
        .unwrap();
    assert!(state_of(pid).is_some(), "it was to be frozen");
    // Its death is only delayed, and it is reaped.
    freezer.thaw();
    host.sooner_or_later("death after the thaw", || state_of(pid).is_none())
        .await;
    host.finish().await;
}

/// A control group of version 1, whose frozen members do not even die.
struct Freezer(std::path::PathBuf);

impl Freezer {
    fn new() -> Option<Self> {
        let path = format!(
            "/sys/fs/cgroup/freezer/mcp-fleet-test-{}",
            std::process::id()
        );
        fs::create_dir(&path).ok()?;
        let made = Self(path.into());
        made.0.join("freezer.state").is_file().then_some(made)
    }

    fn freeze(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").ok();
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        fs::remove_dir(&self.0).ok();
    }
}
