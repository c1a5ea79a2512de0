//! The runtime shim.

use std::{
    io,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

use mcp_fleet_driver::{AsyncRuntime, Child, Process};
use smol::process::{ChildStderr, ChildStdin, ChildStdout};

/// smol's global executor: one thread, or as many as `SMOL_THREADS` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Smol;

impl AsyncRuntime for Smol {
    type Stdin = ChildStdin;
    type Stdout = ChildStdout;
    type Stderr = ChildStderr;
    type Child = SmolChild;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }

    #[allow(
        clippy::manual_async_fn,
        reason = "the future must not borrow the handle"
    )]
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        async move {
            smol::Timer::at(deadline).await;
        }
    }

    fn launch(&self, command: Command) -> io::Result<Process<Self>> {
        let mut child = smol::process::Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(Process {
            pid: child.id(),
            stdin: child.stdin.take().ok_or_else(missing)?,
            stdout: child.stdout.take().ok_or_else(missing)?,
            stderr: child.stderr.take().ok_or_else(missing)?,
            child: SmolChild(child),
        })
    }
}

/// A child process of async-process's.
#[derive(Debug)]
pub struct SmolChild(smol::process::Child);

impl Child for SmolChild {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.status().await
    }
}
