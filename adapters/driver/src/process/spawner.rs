//! The thread that all children of a fleet descend from.
//!
//! The death signal of a child fires when the *thread* that forked it ends, and threads of async
//! runtimes come and go. This one lives until the last link is closed.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use futures::channel::oneshot;

use super::{Group, Launch, LaunchError, guard::Guard};
use crate::{
    links::words_of,
    runtime::{AsyncRuntime, Process},
};

/// A handle on the thread, which ends with the last handle.
pub(crate) struct Spawner<R: AsyncRuntime> {
    jobs: Sender<Job<R>>,
}

/// A child just started, with its group.
pub(crate) struct Launched<R: AsyncRuntime> {
    pub(crate) process: Process<R>,
    pub(crate) group: Group,
}

enum Job<R: AsyncRuntime> {
    Launch {
        launch: Box<Launch>,
        reply: oneshot::Sender<Result<Launched<R>, LaunchError>>,
    },
    Forget {
        group: u32,
    },
}

impl<R: AsyncRuntime> Spawner<R> {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system is out of threads.
    pub(crate) fn start(runtime: R) -> io::Result<Self> {
        let (jobs, queue) = channel();
        thread::Builder::new()
            .name("mcp-fleet-spawn".to_owned())
            .spawn(move || run(&runtime, &queue))?;
        Ok(Self { jobs })
    }

    /// Starts a child. One that nobody waits for any more is killed at once.
    pub(crate) async fn launch(&self, launch: Box<Launch>) -> Result<Launched<R>, LaunchError> {
        let (reply, answer) = oneshot::channel();
        let gone = || LaunchError {
            message: "the spawner thread is gone".to_owned(),
            transient: true,
        };
        self.jobs
            .send(Job::Launch { launch, reply })
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Takes a group that is no more out of the guard's hands.
    pub(crate) fn forget(&self, group: u32) {
        // A thread that is gone took its guard with it.
        self.jobs.send(Job::Forget { group }).ok();
    }
}

impl<R: AsyncRuntime> Clone for Spawner<R> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
        }
    }
}

fn run<R: AsyncRuntime>(runtime: &R, queue: &Receiver<Job<R>>) {
    let mut guard = Guard::default();
    while let Ok(job) = queue.recv() {
        match job {
            Job::Launch { launch, reply } => {
                let launched = start_child(runtime, &launch, &mut guard);
                if let Err(Ok(unwanted)) = reply.send(launched) {
                    guard.forget(unwanted.group.id());
                }
            }
            Job::Forget { group } => guard.forget(group),
        }
    }
}

fn start_child<R: AsyncRuntime>(
    runtime: &R,
    launch: &Launch,
    guard: &mut Guard,
) -> Result<Launched<R>, LaunchError> {
    // A runtime that cannot launch, such as one without I/O, may panic. The end of this thread would
    // be the end of all children.
    let launching = AssertUnwindSafe(|| runtime.launch(launch.command()));
    let process = match catch_unwind(launching) {
        Ok(launched) => launched.map_err(|error| launch.explain(&error))?,
        Err(panic) => {
            let message = format!("the async runtime panicked: {}", words_of(panic.as_ref()));
            return Err(LaunchError {
                message,
                transient: false,
            });
        }
    };
    let Some(group) = Group::led_by(process.pid) else {
        let message = format!("the system gave the impossible process id {}", process.pid);
        return Err(LaunchError {
            message,
            transient: true,
        });
    };
    guard.add(group.id());
    Ok(Launched { process, group })
}
