//! Nothing that `mcp-fleet` started outlives it by more than two seconds, however it ends.
#![cfg(target_os = "linux")]

use std::{
    fs, io,
    os::unix,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use mcp_fleet_tests::{
    Fleet, Launch, Marker, PATIENCE, Result, Scratch, fake_server, mcp_fleet, node_modules, signal,
    write_config,
};
use serde_json::{Value, json};

/// How long a descendant may live on.
const GRACE: Duration = Duration::from_secs(2);

#[test]
fn f54_a_direct_child_goes() -> Result<()> {
    for end in End::ALL {
        leaves_nothing(end, 1, fake)?;
    }
    Ok(())
}

#[test]
fn f54_a_child_of_a_shell_goes() -> Result<()> {
    for end in End::ALL {
        leaves_nothing(end, 2, |scratch| Ok(fake(scratch)?.through_shell()))?;
    }
    Ok(())
}

#[test]
fn f54_a_child_of_npx_goes() -> Result<()> {
    for end in End::ALL {
        leaves_nothing(end, 3, npx)?;
    }
    Ok(())
}

#[test]
fn f54_a_server_that_ignores_sigterm_goes() -> Result<()> {
    for end in End::ALL {
        leaves_nothing(end, 1, |scratch| Ok(fake(scratch)?.arg("--ignore-sigterm")))?;
    }
    Ok(())
}

#[test]
fn f52_a_server_that_ignores_all_but_sigkill_goes() -> Result<()> {
    for end in End::ALL {
        leaves_nothing(end, 1, deaf)?;
    }
    Ok(())
}

#[test]
fn f53_a_server_that_ignores_all_but_sigkill_goes_with_its_shell() -> Result<()> {
    for end in [End::Normal, End::Terminated] {
        leaves_nothing(end, 2, |scratch| Ok(deaf(scratch)?.through_shell()))?;
    }
    Ok(())
}

#[test]
fn f53_a_process_that_holds_standard_output_goes() -> Result<()> {
    for end in [End::Normal, End::Terminated] {
        leaves_nothing(end, 2, |scratch| {
            Ok(fake(scratch)?.args(["--grandchild", "same-group"]))
        })?;
    }
    Ok(())
}

#[test]
fn f53_a_daemon_goes() -> Result<()> {
    for end in End::ALL {
        leaves_nothing(end, 2, |scratch| {
            Ok(fake(scratch)?.args(["--grandchild", "daemon"]))
        })?;
    }
    Ok(())
}

#[test]
fn f53_a_real_server_below_npx_goes() -> Result<()> {
    let scratch = Scratch::new("npx-real")?;
    let marker = Marker::new();
    let directory = node_modules()?
        .parent()
        .ok_or("no directory above")?
        .to_owned();
    let launch = Launch::new("npx").args(["--no-install", "mcp-server-everything"]);
    let launch = marker.mark(launch.directory(directory));
    let config = write_config(&scratch, &[("everything", &launch)], &json!({}))?;
    let words = [
        "call".as_ref(),
        config.as_os_str(),
        "everything".as_ref(),
        "echo".as_ref(),
    ];
    let arguments = [r#"{"message": "hi"}"#.as_ref(), "--json".as_ref()];
    let result = Fleet::run(words.into_iter().chain(arguments))?.json(0)?;
    assert_eq!(result["content"][0]["text"], "Echo: hi");
    marker.gone(GRACE)
}

#[test]
fn f73_a_closed_standard_output_ends_quietly() -> Result<()> {
    let scratch = Scratch::new("closed")?;
    let marker = Marker::new();
    let launch = marker.mark(fake(&scratch)?);
    let config = write_config(&scratch, &[("fake", &launch)], &json!({}))?;
    let (reader, writer) = io::pipe()?;
    drop(reader);
    let output = Command::new(mcp_fleet()?)
        .arg("call")
        .arg(&config)
        .args(["fake", "echo", "{}"])
        .stdin(Stdio::null())
        .stdout(writer)
        .output()?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    marker.gone(GRACE)
}

#[test]
fn f72_a_signal_during_the_start_stops_in_order() -> Result<()> {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let scratch = Scratch::new("starting")?;
        let marker = Marker::new();
        let mute = ["--discover", "silence", "--initialize", "silence"];
        let launch = marker.mark(fake(&scratch)?.args(mute));
        let config = write_config(&scratch, &[("fake", &launch)], &json!({}))?;
        let fleet = Fleet::start([
            "call".as_ref(),
            config.as_os_str(),
            "fake".as_ref(),
            "echo".as_ref(),
        ])?;
        received(&record(&scratch), "server/discover")?;
        signal(fleet.pid(), name)?;
        let output = fleet.wait(PATIENCE)?;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        marker.gone(GRACE)?;
        // The end of its input was all that it was told.
        let record = fs::read_to_string(record(&scratch))?;
        assert_eq!(record.lines().last(), Some(r#""eof""#));
    }
    Ok(())
}

/// The first signal during the end changes nothing but the exit code, the second does not wait.
#[test]
fn f72_signals_during_the_end_do_not_wait_twice() -> Result<()> {
    let scratch = Scratch::new("ending")?;
    let marker = Marker::new();
    let launch = marker.mark(deaf(&scratch)?);
    let config = write_config(
        &scratch,
        &[("fake", &launch)],
        &json!({"closeInputWaitMs": 300_000}),
    )?;
    let fleet = Fleet::start([
        "call".as_ref(),
        config.as_os_str(),
        "fake".as_ref(),
        "echo".as_ref(),
    ])?;
    // It has been told to end, and does not.
    written(&record(&scratch), r#""eof""#)?;
    signal(fleet.pid(), "TERM")?;
    signal(fleet.pid(), "INT")?;
    let output = fleet.wait(PATIENCE)?;
    assert!(
        matches!(output.status.code(), Some(130 | 143)),
        "{output:?}"
    );
    assert_eq!(output.stdout, "null\n");
    marker.gone(GRACE)
}

/// How `mcp-fleet` comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The call is answered.
    Normal,
    /// By SIGTERM during the call.
    Terminated,
    /// By SIGKILL during the call.
    Killed,
}

impl End {
    const ALL: [Self; 3] = [Self::Normal, Self::Terminated, Self::Killed];
}

/// Runs one call of a server made of `processes` processes, up to the end.
fn leaves_nothing(
    end: End,
    processes: usize,
    launch: impl Fn(&Scratch) -> Result<Launch>,
) -> Result<()> {
    let scratch = Scratch::new("orphans")?;
    let marker = Marker::new();
    let launch = marker.mark(launch(&scratch)?);
    let waits = json!({"drainTimeoutMs": 200, "closeInputWaitMs": 200, "terminateWaitMs": 200});
    let config = write_config(&scratch, &[("fake", &launch)], &waits)?;
    let tool = if end == End::Normal { "echo" } else { "hang" };
    let words = [
        "call".as_ref(),
        config.as_os_str(),
        "fake".as_ref(),
        tool.as_ref(),
    ];
    let fleet = Fleet::start(words.into_iter().chain(["{}".as_ref(), "--json".as_ref()]))?;
    if end == End::Normal {
        let output = fleet.wait(PATIENCE)?;
        output.json(0)?;
    } else {
        called(&record(&scratch))?;
        let alive = marker.present(processes)?;
        let name = if end == End::Terminated {
            "TERM"
        } else {
            "KILL"
        };
        signal(fleet.pid(), name)?;
        let output = fleet.wait(Duration::from_secs(10))?;
        assert_ne!(output.status.code(), Some(0), "{alive:#?}");
    }
    marker
        .gone(GRACE)
        .map_err(|error| format!("{end:?}: {error}").into())
}

fn fake(scratch: &Scratch) -> Result<Launch> {
    Ok(Launch::new(fake_server()?)
        .arg("--record")
        .arg(record(scratch)))
}

fn deaf(scratch: &Scratch) -> Result<Launch> {
    Ok(fake(scratch)?.args(["--ignore-sigterm", "--ignore-eof"]))
}

/// The fake server as a program of a package that is installed already.
fn npx(scratch: &Scratch) -> Result<Launch> {
    let programs = scratch.directory("package/node_modules/.bin")?;
    scratch.file(
        "package/package.json",
        r#"{"name": "package", "version": "1.0.0"}"#,
    )?;
    unix::fs::symlink(fake_server()?, programs.join("fake-server"))?;
    let launch = Launch::new("npx").args(["--no-install", "fake-server", "--record"]);
    Ok(launch
        .arg(record(scratch))
        .directory(scratch.path().join("package")))
}

fn record(scratch: &Scratch) -> std::path::PathBuf {
    scratch.path().join("record.jsonl")
}

/// Waits until the server has received a `tools/call`.
fn called(record: &Path) -> Result<()> {
    received(record, "tools/call")
}

/// Waits until the server has received such a request.
fn received(record: &Path, method: &str) -> Result<()> {
    until(record, |line| {
        let frame = serde_json::from_str::<Value>(line).unwrap_or_default();
        frame.get("method") == Some(&json!(method))
    })
}

/// Waits until the record has this line.
fn written(record: &Path, line: &str) -> Result<()> {
    until(record, |other| other == line)
}

fn until(record: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let step = Duration::from_millis(10);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        let text = fs::read_to_string(record).unwrap_or_default();
        if text.lines().any(&wanted) {
            return Ok(());
        }
        thread::sleep(step);
    }
    Err("the server was not told".into())
}
