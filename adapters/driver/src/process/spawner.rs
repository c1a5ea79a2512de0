//! The threads that all children of a fleet descend from.
//!
//! The death signal of a child fires when the *thread* that forked it ends, and threads of async
//! runtimes come and go. These live until the last link is closed. There is one of them, and more
//! only where a start hangs: a program on a file system that does not answer holds up its thread,
//! and nobody else.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use async_channel::{Receiver, Sender};
use futures::channel::oneshot;

use super::{
    Group, Launch, LaunchError,
    guard::Guard,
    mark::{FleetMark, Mark},
    sweeper::Sweeper,
};
use crate::{
    links::words_of,
    runtime::{AsyncRuntime, Process},
};

/// Threads that start children; further starts wait for one of them.
const THREADS_MAX: usize = 16;

/// A handle on the threads, which end with the last handle.
pub(crate) struct Spawner<R: AsyncRuntime> {
    runtime: R,
    jobs: Sender<Job<R>>,
    queue: Receiver<Job<R>>,
    load: Arc<Load>,
    /// Kept by the threads, so that its end, which takes a moment, holds up none of the runtime's.
    guard: Weak<Mutex<Guard>>,
    sweeper: Sweeper,
    fleet: FleetMark,
    links: Arc<AtomicU64>,
}

/// A child just started, with its group.
pub(crate) struct Launched<R: AsyncRuntime> {
    pub(crate) process: Process<R>,
    pub(crate) group: Group,
}

/// How many threads there are, and how many starts they have to do.
#[derive(Debug, Default)]
struct Load {
    threads: AtomicUsize,
    jobs: AtomicUsize,
}

struct Job<R: AsyncRuntime> {
    launch: Box<Launch>,
    mark: Mark,
    reply: oneshot::Sender<Result<Launched<R>, LaunchError>>,
}

impl<R: AsyncRuntime> Spawner<R> {
    /// Starts the first thread.
    ///
    /// # Errors
    /// Where the system is out of threads.
    pub(crate) fn start(runtime: R) -> io::Result<Self> {
        let (jobs, queue) = async_channel::unbounded();
        let fleet = FleetMark::new();
        let guard = Arc::new(Mutex::new(Guard::new(&fleet)));
        let sweeper = Sweeper::start(&fleet, guard.clone())?;
        let spawner = Self {
            runtime,
            jobs,
            queue,
            load: Arc::default(),
            guard: Arc::downgrade(&guard),
            sweeper,
            fleet,
            links: Arc::default(),
        };
        spawner.add_thread(&guard)?;
        Ok(spawner)
    }

    /// The mark of the next link.
    pub(crate) fn mark(&self) -> Mark {
        self.fleet.next(&self.links)
    }

    /// Starts a child. One that nobody waits for any more is killed at once.
    pub(crate) async fn launch(
        &self,
        launch: Box<Launch>,
        mark: Mark,
    ) -> Result<Launched<R>, LaunchError> {
        let (reply, answer) = oneshot::channel();
        let gone = || LaunchError {
            message: "the spawner thread is gone".to_owned(),
            transient: true,
        };
        let job = Job {
            launch,
            mark,
            reply,
        };
        let jobs = self.load.jobs.fetch_add(1, Ordering::Relaxed) + 1;
        self.jobs.try_send(job).map_err(|_| gone())?;
        if jobs > self.load.threads.load(Ordering::Relaxed)
            && let Some(guard) = self.guard.upgrade()
            && let Err(error) = self.add_thread(&guard)
        {
            tracing::debug!(%error, "no further thread for starts");
        }
        answer.await.map_err(|_| gone())?
    }

    /// Ends whoever bears `mark`, then takes `group`, which was killed before, out of the guard's
    /// hands. The receiver ends when nobody is left, or cannot be killed.
    pub(crate) fn sweep(&self, mark: Mark, group: u32) -> oneshot::Receiver<()> {
        self.sweeper.sweep(mark, group)
    }

    fn add_thread(&self, guard: &Arc<Mutex<Guard>>) -> io::Result<()> {
        if self.load.threads.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            self.load.threads.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
        let (runtime, queue) = (self.runtime.clone(), self.queue.clone());
        let (load, sweeper) = (self.load.clone(), self.sweeper.clone());
        let guard = guard.clone();
        let thread = thread::Builder::new()
            .name("mcp-fleet-spawn".to_owned())
            .spawn(move || run(&runtime, &queue, &load, &guard, &sweeper));
        if thread.is_err() {
            self.load.threads.fetch_sub(1, Ordering::Relaxed);
        }
        thread.map(drop)
    }
}

impl<R: AsyncRuntime> Clone for Spawner<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            jobs: self.jobs.clone(),
            queue: self.queue.clone(),
            load: self.load.clone(),
            guard: self.guard.clone(),
            sweeper: self.sweeper.clone(),
            fleet: self.fleet.clone(),
            links: self.links.clone(),
        }
    }
}

fn run<R: AsyncRuntime>(
    runtime: &R,
    queue: &Receiver<Job<R>>,
    load: &Load,
    guard: &Mutex<Guard>,
    sweeper: &Sweeper,
) {
    while let Ok(job) = queue.recv_blocking() {
        let Job {
            launch,
            mark,
            reply,
        } = job;
        let launched = if reply.is_canceled() {
            Err(LaunchError {
                message: "nobody waits for it any more".to_owned(),
                transient: true,
            })
        } else {
            start_child(runtime, &launch, &mark, guard)
        };
        load.jobs.fetch_sub(1, Ordering::Relaxed);
        if let Err(Ok(unwanted)) = reply.send(launched) {
            let id = unwanted.group.id();
            // The group first: its number is ours as long as its leader is not reaped.
            drop(unwanted.group);
            drop(unwanted.process);
            drop(sweeper.sweep(mark, id));
        }
    }
}

fn start_child<R: AsyncRuntime>(
    runtime: &R,
    launch: &Launch,
    mark: &Mark,
    guard: &Mutex<Guard>,
) -> Result<Launched<R>, LaunchError> {
    // A runtime that cannot launch, such as one without I/O, may panic. The end of this thread would
    // be the end of all children.
    let launching = AssertUnwindSafe(|| runtime.launch(launch.command(mark)));
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
    guard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .add(group.id());
    Ok(Launched { process, group })
}
