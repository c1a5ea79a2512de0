//! What the driver needs of an async runtime.

use std::{
    io,
    process::{Command, ExitStatus},
    time::Instant,
};

use futures::io::{AsyncRead, AsyncWrite};

/// An async runtime: tasks, one kind of timer, child processes.
///
/// A value is a cheap handle on a runtime that lives elsewhere. Methods may be called from any
/// thread, also from one that is not the runtime's own.
pub trait AsyncRuntime: Clone + Send + Sync + 'static {
    /// The write end of a child's standard input. Dropping it closes the pipe.
    type Stdin: AsyncWrite + Send + Unpin + 'static;
    /// The read end of a child's standard output.
    type Stdout: AsyncRead + Send + Unpin + 'static;
    /// The read end of a child's standard error.
    type Stderr: AsyncRead + Send + Unpin + 'static;
    /// A child process without its pipes.
    type Child: Child;

    /// The present moment of the clock that [`AsyncRuntime::sleep_until`] waits on.
    fn now(&self) -> Instant;

    /// Runs `future` to its end, whether or not anybody waits for it.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);

    /// Ends at `deadline`, at once where that has passed.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static;

    /// Starts `command` with three pipes, in the calling thread.
    ///
    /// The child must neither be killed nor lose its exit status when its parts are dropped in any
    /// order: ending it is the driver's business.
    ///
    /// # Errors
    /// What the operating system said.
    fn launch(&self, command: Command) -> io::Result<Process<Self>>;
}

/// A child process without its pipes.
pub trait Child: Send + 'static {
    /// Ends when the process has ended and was reaped.
    ///
    /// # Errors
    /// Where the operating system does not tell the status.
    fn wait(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + Send;
}

/// A child process just started.
#[derive(Debug)]
pub struct Process<R: AsyncRuntime> {
    /// Its process id.
    pub pid: u32,
    /// Its standard input.
    pub stdin: R::Stdin,
    /// Its standard output.
    pub stdout: R::Stdout,
    /// Its standard error.
    pub stderr: R::Stderr,
    /// The process itself.
    pub child: R::Child,
}
