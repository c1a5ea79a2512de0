//! What links do with real processes, on whatever runtime.

use std::io;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use mcp_fleet_core::{
    Effect, Exit, ServerName, Signal,
    config::{Http, Kind, Stdio},
};
use mcp_fleet_driver::AsyncRuntime;

use crate::bench::{Bench, Log, Sink, is_alive, shell};

pub async fn every_byte_is_echoed_in_order_and_accounted_for<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("exec cat");
    let mut sent = Vec::new();
    for size in (0..400)
        .map(|n: usize| n * n)
        .chain([3 << 20, 1, 65_536, 65_537])
    {
        let frame: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        sent.extend_from_slice(&frame);
        bench.send(link, frame);
    }
    bench.links.perform(Effect::CloseInput { link });
    let mut log = Log::default();
    bench.until_closed(&mut log).await;
    assert_eq!(log.written(), sent.len() as u64);
    assert!(log.output() == sent, "the echo differs");
    assert!(matches!(log.0[0], Signal::Opened { pid: Some(_), .. }));
    assert_eq!(log.exit(), Some(Exit::Code(0)));
    assert_eq!(
        log.position(|signal| matches!(signal, Signal::Closed { .. })),
        Some(log.0.len() - 1)
    );
    let eof = log
        .position(|signal| matches!(signal, Signal::Eof { .. }))
        .unwrap();
    assert!(
        !log.0[eof..]
            .iter()
            .any(|signal| matches!(signal, Signal::Bytes { .. }))
    );
}

pub async fn a_child_that_never_reads_takes_what_the_pipe_holds<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("echo ready; exec sleep 1000");
    bench.send(link, vec![b'x'; 1 << 20]);
    let mut log = Log::default();
    bench.line(&mut log, 1).await;
    if log.written() == 0 {
        bench
            .until(&mut log, |signal| {
                matches!(signal, Signal::Wrote { .. }).then_some(())
            })
            .await;
    }
    // A path below /proc reaches the very pipe that the child does not read.
    let pipe = std::fs::File::open(format!("/proc/{}/fd/0", log.pid())).unwrap();
    bench.links.perform(Effect::Kill { link });
    bench.until_closed(&mut log).await;
    assert_eq!(rustix::io::ioctl_fionread(&pipe).unwrap(), log.written());
    assert!(log.written() < 1 << 20);
    assert_eq!(log.exit(), Some(Exit::Signal(9)));
}

/// F35
pub async fn a_child_that_dies_amid_a_frame_leaves_a_part_written<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("head -c 1000 >/dev/null; exit 3");
    bench.send(link, vec![b'x'; 8 << 20]);
    let mut log = Log::default();
    bench.until_closed(&mut log).await;
    assert!(
        (1000..8 << 20).contains(&log.written()),
        "{}",
        log.written()
    );
    assert_eq!(log.exit(), Some(Exit::Code(3)));
}

/// F17
pub async fn a_child_that_closes_its_input_fails_the_write_and_lives_on<R: AsyncRuntime>(
    runtime: R,
) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("exec 0<&-; echo closed; sleep 1000");
    let mut log = Log::default();
    bench.line(&mut log, 1).await;
    let failed = |signal: &Signal| match signal {
        Signal::WriteFailed { message, .. } => Some(Some(message.clone())),
        Signal::Wrote { .. } => Some(None),
        _ => None,
    };
    // A process that another test is just starting may hold the pipe until its exec.
    let message = loop {
        bench.send(link, &b"late\n"[..]);
        if let Some(message) = bench.until(&mut log, failed).await {
            break message;
        }
    };
    assert!(message.contains("pipe"), "{message}");
    assert!(is_alive(log.pid()));
    bench.links.perform(Effect::Kill { link });
    bench.until_closed(&mut log).await;
}

/// F31, F32
pub async fn a_flood_on_stderr_is_drained_and_leaves_stdout_alone<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("yes 'a line of no interest' >&2 & cat; kill $!; wait");
    let mut log = Log::default();
    for round in 1..=100 {
        let line = format!("round {round}");
        bench.send(link, format!("{line}\n"));
        assert_eq!(bench.line(&mut log, round).await, line);
    }
    let enough = |signal: &Signal| {
        matches!(signal, Signal::Stderr { dropped, .. } if *dropped > 0).then_some(())
    };
    bench.until(&mut log, enough).await;
    bench.links.perform(Effect::CloseInput { link });
    bench.until_closed(&mut log).await;
    for signal in &log.0 {
        if let Signal::Stderr { bytes, .. } = signal {
            assert!(bytes.len() <= 8 << 10, "{}", bytes.len());
        }
    }
}

pub async fn the_last_words_come_before_the_end<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    bench.open_shell("echo 'no such database' >&2; exit 9");
    let mut log = Log::default();
    bench.until_closed(&mut log).await;
    assert_eq!(log.errors(), "no such database\n");
    assert_eq!(log.exit(), Some(Exit::Code(9)));
    let words = log.position(|signal| matches!(signal, Signal::Stderr { .. }));
    assert!(words < log.position(|signal| matches!(signal, Signal::Exited { .. })));
    assert!(words < log.position(|signal| matches!(signal, Signal::Eof { .. })));
}

pub async fn a_kill_ends_the_whole_group<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("trap '' TERM; sleep 1000 & echo $!; wait; wait");
    let mut log = Log::default();
    let grandchild = bench.line(&mut log, 1).await.parse().unwrap();
    assert!(is_alive(grandchild));
    bench.links.perform(Effect::Kill { link });
    bench.until_closed(&mut log).await;
    assert_eq!(log.exit(), Some(Exit::Signal(9)));
    bench.until_dead(grandchild).await;
}

pub async fn a_terminate_reaches_the_whole_group<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link =
        bench.open_shell("trap 'exit 5' TERM; sh -c 'echo $$; exec sleep 1000' & wait; wait");
    let mut log = Log::default();
    let grandchild = bench.line(&mut log, 1).await.parse().unwrap();
    bench.links.perform(Effect::Terminate { link });
    bench.until_closed(&mut log).await;
    assert_eq!(log.exit(), Some(Exit::Code(5)));
    bench.until_dead(grandchild).await;
}

pub async fn what_the_host_ignores_is_not_ignored_by_the_child<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let ignored = |process: String| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:\t"))
            .unwrap()
            .to_owned();
        // The C library keeps the signals from 32 on to itself.
        u64::from_str_radix(&mask, 16).unwrap() & 0x7fff_ffff
    };
    // SIGPIPE at least is ignored in this process, as in every Rust program.
    assert_ne!(ignored("self".to_owned()), 0);
    let link = bench.open_shell("echo $$; exec sleep 1000");
    let mut log = Log::default();
    assert_eq!(ignored(bench.line(&mut log, 1).await), 0);
    bench.links.perform(Effect::Terminate { link });
    bench.until_closed(&mut log).await;
    assert_eq!(log.exit(), Some(Exit::Signal(15)));
}

/// F15
pub async fn the_exit_is_told_while_a_grandchild_holds_the_pipes<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("sleep 1000 & echo $!; exit 7");
    // More than the pipe holds: the grandchild has the read end and never reads.
    bench.send(link, vec![b'x'; 1 << 20]);
    let mut log = Log::default();
    let grandchild = bench.line(&mut log, 1).await.parse().unwrap();
    if log.exit().is_none() {
        bench
            .until(&mut log, |signal| {
                matches!(signal, Signal::Exited { .. }).then_some(())
            })
            .await;
    }
    assert_eq!(log.exit(), Some(Exit::Code(7)));
    assert_eq!(
        log.position(|signal| matches!(signal, Signal::Eof { .. })),
        None
    );
    assert!(is_alive(grandchild));
    bench.links.perform(Effect::Kill { link });
    bench.until_closed(&mut log).await;
    bench.until_dead(grandchild).await;
}

/// F16
pub async fn the_end_of_output_is_told_while_the_child_lives<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let link = bench.open_shell("echo last; exec >&-; read x; exit 4");
    let mut log = Log::default();
    bench
        .until(&mut log, |signal| {
            matches!(signal, Signal::Eof { .. }).then_some(())
        })
        .await;
    assert_eq!(log.output(), b"last\n");
    assert_eq!(log.exit(), None);
    assert!(is_alive(log.pid()));
    bench.send(link, &b"x\n"[..]);
    bench.until_closed(&mut log).await;
    assert_eq!(log.exit(), Some(Exit::Code(4)));
    assert_eq!(log.written(), 2);
}

pub async fn who_stays_in_the_group_without_our_pipes_is_killed<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    bench.open_shell("sleep 1000 <&- >/dev/null 2>&1 & echo $!");
    let mut log = Log::default();
    let grandchild = bench.line(&mut log, 1).await.parse().unwrap();
    bench.until_closed(&mut log).await;
    bench.until_dead(grandchild).await;
}

pub async fn dropping_the_links_leaves_no_process<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    bench.open_shell("trap '' TERM; sleep 1000 & echo $!; wait; wait");
    let mut log = Log::default();
    let grandchild = bench.line(&mut log, 1).await.parse().unwrap();
    let (fresh, signals) = mcp_fleet_driver::Links::new(bench.runtime.clone());
    bench.links = fresh;
    bench.until_dead(log.pid()).await;
    bench.until_dead(grandchild).await;
    drop(signals);
}

/// F70, F71
pub async fn a_child_gets_the_allowed_and_the_configured_environment<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    assert!(
        std::env::var_os("CARGO_MANIFEST_DIR").is_some(),
        "the host has more to leak"
    );
    let cwd = std::env::temp_dir().canonicalize().unwrap();
    bench.open(Kind::Stdio(Stdio {
        env: [("TOKEN".to_owned(), "a b\nc".to_owned())].into(),
        cwd: Some(cwd.to_str().unwrap().to_owned()),
        ..shell("pwd -P; env -0 | tr '\\n\\0' '|\\n'; ls /proc/self/fd | wc -l")
    }));
    let mut log = Log::default();
    bench.until_closed(&mut log).await;
    let output = String::from_utf8(log.output()).unwrap();
    let mut lines: Vec<_> = output.lines().collect();
    assert_eq!(lines.remove(0), cwd.to_str().unwrap());
    // Three pipes, and the directory that `ls` reads.
    assert_eq!(lines.pop().map(str::trim), Some("4"));
    assert!(lines.contains(&"TOKEN=a b|c") && lines.contains(&"MCP_FLEET_SERVER=bench"));
    let allowed = [
        "PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "SHELL", "TOKEN",
    ];
    // The shell itself adds the last three.
    let shells_own = [
        "MCP_FLEET_SERVER",
        "MCP_FLEET_LINK",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    for line in lines {
        let name = line.split('=').next().unwrap();
        let known =
            allowed.contains(&name) || shells_own.contains(&name) || name.starts_with("LC_");
        assert!(known, "{name} leaked");
    }
}

pub async fn what_cannot_be_opened_is_refused_once<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let missing = Stdio {
        command: "no-such-mcp-server".to_owned(),
        ..Stdio::default()
    };
    for (kind, reason) in [
        (
            Kind::Stdio(missing),
            "\"no-such-mcp-server\" was not found on PATH",
        ),
        (
            Kind::Http(Http::default()),
            "http servers are not supported by this version",
        ),
        (
            Kind::InProcess,
            "no in-process server is registered as \"bench\"",
        ),
        (Kind::Attached, "no streams are attached as \"bench\""),
    ] {
        let link = bench.open(kind);
        match bench.next().await {
            Signal::OpenFailed {
                link: refused,
                message,
                transient,
            } => {
                assert!(message.starts_with(reason), "{message}");
                assert_eq!((refused, transient), (link, false));
            }
            other => panic!("{other:?}"),
        }
        bench.links.perform(Effect::Kill { link });
    }
    assert!(bench.signals.is_empty());
}

pub async fn a_pair_of_streams_serves_one_link<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let (to_link, chunks) = async_channel::unbounded::<Bytes>();
    let (sink, written) = async_channel::unbounded();
    let name = ServerName::new("bench").unwrap();
    let reader = Box::pin(chunks.map(io::Result::Ok)).into_async_read();
    bench.links.registry_mut().attach(name, reader, Sink(sink));
    let link = bench.open(Kind::Attached);
    bench.send(link, &b"ping\n"[..]);
    assert_eq!(
        bench.patiently("frame", written.recv()).await.unwrap(),
        b"ping\n"[..]
    );
    to_link.try_send(Bytes::from_static(b"pong\n")).unwrap();
    let mut log = Log::default();
    assert_eq!(bench.line(&mut log, 1).await, "pong");
    drop(to_link);
    bench.links.perform(Effect::CloseInput { link });
    bench.until_closed(&mut log).await;
    assert_eq!((log.written(), log.exit()), (5, None));
    assert!(
        log.position(|signal| matches!(signal, Signal::Eof { .. }))
            .is_some()
    );
    bench.open(Kind::Attached);
    assert!(matches!(
        bench.next().await,
        Signal::OpenFailed {
            transient: false,
            ..
        }
    ));
}

pub async fn a_rung_of_the_ladder_cuts_a_pair_of_streams<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let name = ServerName::new("bench").unwrap();
    let reader = Box::pin(futures::stream::pending::<io::Result<Bytes>>()).into_async_read();
    let (sink, written) = async_channel::unbounded();
    bench.links.registry_mut().attach(name, reader, Sink(sink));
    let link = bench.open(Kind::Attached);
    let mut log = Log::default();
    bench
        .until(&mut log, |signal| {
            matches!(signal, Signal::Opened { .. }).then_some(())
        })
        .await;
    bench.links.perform(Effect::Terminate { link });
    bench.until_closed(&mut log).await;
    assert!(written.is_closed());
}

/// The part of the host that is killed: opens a tree, says its processes, and waits for ever.
pub async fn host_of_a_tree<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    // A grandchild, and one that left session, group and parent.
    let daemon = "setsid sh -c 'sleep 1000 & echo \"$0 $!\"'";
    bench.open_shell(&format!(
        "trap '' TERM; sleep 1000 & {daemon} $!; wait; wait"
    ));
    let mut log = Log::default();
    let others = bench.line(&mut log, 1).await;
    println!("tree {} {others}", log.pid());
    futures::future::pending::<()>().await;
}

/// Starts this very test again as a host, kills it, and looks for what it left behind.
pub async fn f54_a_killed_host_leaves_no_process<R: AsyncRuntime>(runtime: R, test: &str) {
    use std::io::BufRead;
    let bench = Bench::new(runtime);
    let mut host = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("MCP_FLEET_TEST_HOST", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = io::BufReader::new(host.stdout.take().unwrap());
    let tree = output.lines().map(Result::unwrap).find_map(|line| {
        let (_, processes) = line.split_once("tree ")?;
        Some(
            processes
                .split(' ')
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<u32>>(),
        )
    });
    let tree = tree.expect("the host opened no tree");
    assert_eq!(tree.len(), 3);
    assert!(tree.iter().all(|process| is_alive(*process)));
    host.kill().unwrap();
    host.wait().unwrap();
    for process in tree {
        bench.until_dead(process).await;
    }
}
