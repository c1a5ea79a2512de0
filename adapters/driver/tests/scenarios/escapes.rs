//! Processes that leave the group, do not start, or do not end.

use std::{
    future::pending,
    io,
    process::{Command, ExitStatus},
    sync::{
        Arc,
        mpsc::{RecvError, Sender, channel},
    },
    time::Instant,
};

use mcp_fleet_core::{Effect, Signal};
use mcp_fleet_driver::{AsyncRuntime, Child, Process};

use crate::bench::{Bench, Log, is_alive};

/// Says the number of a process that left session, group and parent, and stays.
const DAEMON: &str = "setsid sh -c 'sleep 1000 <&- >/dev/null 2>&1 & echo $!'";

pub async fn f53_a_daemon_is_gone_when_its_link_is_closed<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    // By the end of its input, by a kill, and by itself.
    for (end, script) in [
        (Some(false), format!("{DAEMON}; read x")),
        (Some(true), format!("{DAEMON}; sleep 1000")),
        (None, DAEMON.to_owned()),
    ] {
        let link = bench.open_shell(&script);
        let mut log = Log::default();
        let daemon = bench.line(&mut log, 1).await.parse().unwrap();
        assert!(end.is_none() || is_alive(daemon));
        match end {
            Some(true) => bench.links.perform(Effect::Kill { link }),
            Some(false) => bench.links.perform(Effect::CloseInput { link }),
            None => {}
        }
        bench.until_closed(&mut log).await;
        assert!(!is_alive(daemon), "{script}");
    }
}

pub async fn f53_daemons_that_hold_the_pipes_are_gone_too<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("setsid sleep 1000 & setsid sh -c 'sleep 1000 & echo $!'; wait");
    let mut log = Log::default();
    let daemon = bench.line(&mut log, 1).await.parse().unwrap();
    bench.links.perform(Effect::Kill { link });
    bench.until_closed(&mut log).await;
    assert!(!is_alive(daemon));
}

pub async fn f53_a_daemon_of_one_link_outlives_the_end_of_another<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let first = bench.open_shell(&format!("{DAEMON}; read x"));
    let mut log = Log::default();
    let daemon = bench.line(&mut log, 1).await.parse().unwrap();
    bench.open_shell("exit 0");
    bench.until_closed(&mut Log::default()).await;
    assert!(is_alive(daemon));
    bench.links.perform(Effect::CloseInput { link: first });
    bench.until_closed(&mut log).await;
    assert!(!is_alive(daemon));
}

pub async fn f53_dropping_the_links_leaves_no_daemon<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    bench.open_shell(&format!("{DAEMON}; sleep 1000"));
    let daemon = bench.line(&mut Log::default(), 1).await.parse().unwrap();
    let (fresh, _signals) = mcp_fleet_driver::Links::new(bench.runtime.clone());
    bench.links = fresh;
    bench.until_dead(daemon).await;
}

/// A runtime on which some programs do not start and some never end.
#[derive(Clone)]
struct Stuck<R> {
    runtime: R,
    /// Told of every start that hangs, until its answer is dropped.
    hanging: Arc<Sender<Sender<()>>>,
}

/// A child whose end is never known.
struct StuckChild<C> {
    child: C,
    immortal: bool,
}

impl<C: Child> Child for StuckChild<C> {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        if self.immortal {
            pending().await
        } else {
            self.child.wait().await
        }
    }
}

impl<R: AsyncRuntime> AsyncRuntime for Stuck<R> {
    type Stdin = R::Stdin;
    type Stdout = R::Stdout;
    type Stderr = R::Stderr;
    type Child = StuckChild<R::Child>;

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.runtime.sleep_until(deadline)
    }

    fn launch(&self, command: Command) -> io::Result<Process<Self>> {
        let says = |word: &str| {
            command
                .get_args()
                .any(|argument| argument.to_string_lossy().contains(word))
        };
        let immortal = says("immortal");
        if says("hangs") {
            let (answer, answered) = channel();
            self.hanging.send(answer).map_err(io::Error::other)?;
            // As a start from a file system that does not answer.
            assert_eq!(answered.recv(), Err(RecvError));
        }
        let Process {
            pid,
            stdin,
            stdout,
            stderr,
            child,
        } = self.runtime.launch(command)?;
        Ok(Process {
            pid,
            stdin,
            stdout,
            stderr,
            child: StuckChild { child, immortal },
        })
    }
}

pub async fn f8_a_start_that_hangs_holds_up_no_other<R: AsyncRuntime>(runtime: R) {
    let (hanging, hangs) = channel();
    let hanging = Arc::new(hanging);
    let mut bench = Bench::new(Stuck { runtime, hanging });
    let stuck: Vec<_> = (0..3)
        .map(|_| {
            let link = bench.open_shell("echo hangs; exec sleep 1000");
            (link, hangs.recv().unwrap())
        })
        .collect();
    let link = bench.open_shell("echo ready; read x");
    let mut log = Log::default();
    assert_eq!(bench.line(&mut log, 1).await, "ready");
    bench.links.perform(Effect::CloseInput { link });
    bench.until_closed(&mut log).await;
    for (link, answer) in stuck {
        // The last rung alone does not end what has not begun.
        bench.links.perform(Effect::Kill { link });
        bench.links.perform(Effect::Abandon { link });
        match bench.next().await {
            Signal::OpenFailed {
                link: failed,
                message,
                transient,
            } => {
                assert_eq!((failed, transient), (link, true));
                assert_eq!(message, "its start did not come to an end");
            }
            other => panic!("{other:?}"),
        }
        drop(answer);
    }
    // What started at last was unwanted.
    let me = format!("/proc/{}/task", std::process::id());
    let children = || {
        let tasks = std::fs::read_dir(&me).unwrap().flatten();
        let lines = tasks.filter_map(|task| {
            let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
            (comm.trim() == "mcp-fleet-spawn")
                .then(|| std::fs::read_to_string(task.path().join("children")).ok())?
        });
        let pids: Vec<u32> = lines
            .flat_map(|line| {
                let pids = line.split_whitespace().map(|pid| pid.parse().unwrap());
                pids.collect::<Vec<u32>>()
            })
            .collect();
        pids.into_iter()
            .filter(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains("hangs")
            })
            .count()
    };
    let gone = async {
        while children() > 0 {
            let soon = bench.runtime.now() + std::time::Duration::from_millis(2);
            bench.runtime.sleep_until(soon).await;
        }
    };
    bench.patiently("end of what was unwanted", gone).await;
}

pub async fn f52_a_child_that_no_signal_ends_is_given_up<R: AsyncRuntime>(runtime: R) {
    let (hanging, _hangs) = channel();
    let hanging = Arc::new(hanging);
    let mut bench = Bench::new(Stuck { runtime, hanging });
    let link = bench.open_shell("echo immortal; exec sleep 1000");
    let mut log = Log::default();
    bench.line(&mut log, 1).await;
    bench.links.perform(Effect::Kill { link });
    bench.until_dead(log.pid()).await;
    bench.links.perform(Effect::Abandon { link });
    bench.until_closed(&mut log).await;
    assert_eq!(log.exit(), None, "nobody knows it");
}
