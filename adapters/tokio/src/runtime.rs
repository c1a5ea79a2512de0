//! The runtime shim.

use std::{
    io,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

use mcp_fleet_driver::{AsyncRuntime, Child, Process};
use tokio::{
    process::{ChildStderr, ChildStdin, ChildStdout},
    runtime::{Handle, TryCurrentError},
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

/// A handle on a tokio runtime with its I/O and time drivers enabled.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
}

impl Tokio {
    /// The runtime of the calling task.
    ///
    /// # Errors
    /// Where the caller is outside of a tokio runtime.
    pub fn current() -> Result<Self, TryCurrentError> {
        Handle::try_current().map(Self::from)
    }
}

impl From<Handle> for Tokio {
    fn from(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Default for Tokio {
    /// The runtime of the calling task.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    fn default() -> Self {
        Self::from(Handle::current())
    }
}

impl AsyncRuntime for Tokio {
    type Stdin = Compat<ChildStdin>;
    type Stdout = Compat<ChildStdout>;
    type Stderr = Compat<ChildStderr>;
    type Child = TokioChild;

    fn now(&self) -> Instant {
        let _entered = self.handle.enter();
        tokio::time::Instant::now().into_std()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(future));
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        let _entered = self.handle.enter();
        tokio::time::sleep_until(deadline.into())
    }

    fn launch(&self, command: Command) -> io::Result<Process<Self>> {
        let _entered = self.handle.enter();
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(Process {
            pid: child.id().ok_or_else(missing)?,
            stdin: child.stdin.take().ok_or_else(missing)?.compat_write(),
            stdout: child.stdout.take().ok_or_else(missing)?.compat(),
            stderr: child.stderr.take().ok_or_else(missing)?.compat(),
            child: TokioChild(child),
        })
    }
}

/// A child process of tokio's.
#[derive(Debug)]
pub struct TokioChild(tokio::process::Child);

impl Child for TokioChild {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }
}
