//! The process itself: deafness, offspring, and closed streams, without a line of unsafe code.

use std::{
    env, io,
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::script::{Grandchild, Script};

/// The first argument of a process that only stays.
pub(crate) const LINGER: &str = "linger";
/// Its second, when it is to outlive its standard input.
pub(crate) const IGNORE_EOF: &str = "--ignore-eof";
/// Set in a server that a shell has made deaf to SIGTERM.
const DEAF: &str = "FAKE_SERVER_DEAF";

/// Becomes deaf to SIGTERM, if the script wants it: a signal that a shell ignores stays ignored
/// in the program that replaces it.
pub(crate) fn ignore_sigterm(script: &Script) -> io::Result<()> {
    if !script.ignore_sigterm || env::var_os(DEAF).is_some() {
        return Ok(());
    }
    let shell = r#"trap "" TERM; exec "$0" "$@""#;
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(shell)
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1));
    Err(command.env(DEAF, "1").exec())
}

/// Starts the process that the script wants to be left behind.
pub(crate) fn grandchild(script: &Script) -> io::Result<()> {
    let myself = env::current_exe()?;
    let mut command = match script.grandchild {
        Grandchild::None => return Ok(()),
        Grandchild::SameGroup | Grandchild::OwnGroup => Command::new(myself),
        Grandchild::Daemon => {
            let mut shell = Command::new("sh");
            shell.args(["-c", r#"setsid "$0" "$@" &"#]).arg(myself);
            shell
        }
    };
    command
        .arg(LINGER)
        .arg(IGNORE_EOF)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    match script.grandchild {
        Grandchild::None | Grandchild::SameGroup => {}
        Grandchild::OwnGroup => {
            command.process_group(0);
        }
        // The shell is gone, and its child has no parent but the system's first process.
        Grandchild::Daemon => return command.status().map(drop),
    }
    command.spawn().map(drop)
}

/// Closes standard output and stays: a process without it takes this one's place.
pub(crate) fn close_stdout(script: &Script) -> io::Error {
    stay_with("exec 1>/dev/null", script.ignore_eof)
}

/// Closes standard input and stays for ever, repeating `line` where one is given.
pub(crate) fn close_stdin(line: Option<&str>) -> io::Error {
    match line {
        Some(line) => Command::new("sh")
            .args(["-c", r#"exec 0</dev/null; exec yes "$0""#, line])
            .exec(),
        None => stay_with("exec 0</dev/null", true),
    }
}

fn stay_with(redirection: &str, ignore_eof: bool) -> io::Error {
    let executable = match env::current_exe() {
        Ok(executable) => executable,
        Err(error) => return error,
    };
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(r#"{redirection}; exec "$0" "$@""#))
        .arg(executable)
        .arg(LINGER);
    if ignore_eof {
        command.arg(IGNORE_EOF);
    }
    command.exec()
}

/// Stays until standard input ends, or for ever.
pub(crate) fn linger(ignore_eof: bool) -> ExitCode {
    let mut rest = Vec::new();
    if !ignore_eof && io::stdin().read_to_end(&mut rest).is_ok() {
        return ExitCode::SUCCESS;
    }
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// What the tool `process` tells.
pub(crate) fn description() -> Value {
    let environment: serde_json::Map<String, Value> = env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                json!(value.to_string_lossy()),
            )
        })
        .collect();
    json!({
        "pid": std::process::id(),
        "directory": env::current_dir().ok(),
        "arguments": env::args_os().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>(),
        "environment": environment,
    })
}
