//! The product's command line, run.

use std::{
    ffi::OsStr,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{PATIENCE, Result, binary};

/// A running `mcp-fleet`.
#[derive(Debug)]
pub struct Fleet {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// What a finished `mcp-fleet` left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as JSON, provided that the exit code is `code`.
    ///
    /// # Errors
    /// Where the exit code is another or the output is no JSON, with all that was said.
    pub fn json(&self, code: i32) -> Result<Value> {
        if self.status.code() != Some(code) {
            return Err(format!("expected exit code {code}: {self:?}").into());
        }
        Ok(serde_json::from_str(&self.stdout).map_err(|error| format!("{error}: {self:?}"))?)
    }
}

impl Fleet {
    /// Starts it without standard input and terminal.
    ///
    /// # Errors
    /// Where the program is missing, with the command that builds it.
    pub fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        let mut command = Command::new(binary::mcp_fleet()?);
        command.args(arguments).env_remove("MCP_FLEET_CONFIG");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Ok(Self {
            child,
            stdout,
            stderr,
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Where it does not start, or does not end.
    pub fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        Self::start(arguments)?.wait(PATIENCE)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, and for the end of its output.
    ///
    /// # Errors
    /// Where it does not end within `patience`.
    pub fn wait(mut self, patience: Duration) -> Result<Output> {
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                return Err(format!("mcp-fleet is still running after {patience:?}").into());
            }
            thread::sleep(Duration::from_millis(5));
        };
        Ok(Output {
            status,
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
        })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It has ended already, or a test has failed and wants no survivors.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(mut stream: impl std::io::Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is worth showing.
        drop(stream.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn text(stream: Option<JoinHandle<String>>) -> String {
    stream
        .and_then(|stream| stream.join().ok())
        .unwrap_or_default()
}
