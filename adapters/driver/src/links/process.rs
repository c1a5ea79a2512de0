//! The task of a link to a child process.

use std::{os::unix::process::ExitStatusExt, pin::pin, process::ExitStatus};

use futures::{
    StreamExt,
    channel::oneshot,
    future::{AbortHandle, Aborted, BoxFuture, Either, FutureExt, abortable, select},
    stream::FuturesUnordered,
};
use mcp_fleet_core::{Exit, LinkId, Signal};

use super::{LinkEnds, Rung, pump};
use crate::{
    process::{Group, Launch, LaunchError, Launched, Mark, Spawner},
    runtime::{AsyncRuntime, Child, Process},
};

/// Opens the link, serves it, and closes it when the child was reaped, its pipes are done, and
/// nobody is left who descends from it; or when it is given up.
pub(super) async fn run<R: AsyncRuntime>(
    ends: LinkEnds<R>,
    spawner: Spawner<R>,
    launch: Box<Launch>,
) {
    let link = ends.link;
    let mark = spawner.mark();
    let launched = {
        let launching = pin!(spawner.launch(launch, mark.clone()));
        match select(launching, pin!(given_up(&ends.rungs))).await {
            Either::Left((launched, _)) => launched,
            // The child is killed should it start at last.
            Either::Right(((), _)) => Err(LaunchError {
                message: "its start did not come to an end".to_owned(),
                transient: true,
            }),
        }
    };
    match launched {
        Ok(Launched { process, group }) => {
            let signals = ends.signals.clone();
            let id = group.id();
            let guarded = Guarded {
                spawner: &spawner,
                rest: Some((mark, id)),
            };
            signals
                .tell(Signal::Opened {
                    link,
                    pid: Some(id),
                })
                .await;
            let (rungs, end) = serve(ends, process, group).await;
            let swept = guarded.sweep();
            match end {
                End::Reached => {
                    select(swept, pin!(given_up(&rungs))).await;
                }
                End::GivenUp => {}
            }
            signals.tell(Signal::Closed { link }).await;
            drop(rungs);
        }
        Err(error) => {
            let failed = Signal::OpenFailed {
                link,
                message: error.message,
                transient: error.transient,
            };
            ends.signals.tell(failed).await;
        }
    }
}

/// Ends when nobody waits for the link any more.
async fn given_up(rungs: &async_channel::Receiver<Rung>) {
    loop {
        match rungs.recv().await {
            // What is not open yet cannot be signalled; the machine says it again once it is.
            Ok(Rung::Terminate | Rung::Kill) => {}
            Ok(Rung::Abandon) | Err(_) => return,
        }
    }
}

/// A group in the guard's hands and the mark of its members, until they are swept: at the latest
/// when this is dropped, also by a panic.
struct Guarded<'a, R: AsyncRuntime> {
    spawner: &'a Spawner<R>,
    rest: Option<(Mark, u32)>,
}

impl<R: AsyncRuntime> Guarded<'_, R> {
    /// The receiver ends when nobody is left.
    fn sweep(mut self) -> oneshot::Receiver<()> {
        self.begin()
    }

    fn begin(&mut self) -> oneshot::Receiver<()> {
        match self.rest.take() {
            Some((mark, group)) => self.spawner.sweep(mark, group),
            None => oneshot::channel().1,
        }
    }
}

impl<R: AsyncRuntime> Drop for Guarded<'_, R> {
    fn drop(&mut self) {
        drop(self.begin());
    }
}

/// How a link came to its end.
enum End {
    /// Its child was reaped.
    Reached,
    /// Its child may live on.
    GivenUp,
}

/// A part of the link that came to its end.
enum Ended {
    /// Standard output ended, or was cut.
    Reading,
    /// Nothing more is written.
    Writing,
    /// Standard error ended, or was cut.
    Draining,
    /// The child was reaped.
    Child(Exit),
    /// The machine knows how the child ended.
    ExitTold,
}

type Parts = FuturesUnordered<BoxFuture<'static, Ended>>;

/// What still stands between the link and its close.
struct Open {
    reading: bool,
    writing: bool,
    exit_untold: bool,
}

impl Open {
    const fn is_done(&self) -> bool {
        !self.reading && !self.writing && !self.exit_untold
    }
}

/// Returns the far end of the rungs, which says that the link is open as long as it lives.
async fn serve<R: AsyncRuntime>(
    ends: LinkEnds<R>,
    process: Process<R>,
    mut group: Group,
) -> (async_channel::Receiver<Rung>, End) {
    let LinkEnds {
        runtime,
        link,
        frames,
        rungs,
        signals,
    } = ends;
    let Process {
        pid: _,
        stdin,
        stdout,
        stderr,
        child,
    } = process;
    let (last_words, stderr_ended) = pump::LastWords::new(runtime);
    let (stop, stopped) = oneshot::channel();
    let mut stop = Some(stop);

    let parts = Parts::new();
    let reading = pump::read(link, stdout, signals.clone(), last_words.clone());
    let cut_reading = push_abortable(&parts, reading, Ended::Reading);
    let draining = pump::drain_stderr(link, stderr, signals.clone(), stderr_ended);
    let cut_draining = push_abortable(&parts, draining, Ended::Draining);
    let writing = pump::write(link, stdin, frames, stopped, signals.clone());
    parts.push(writing.map(|()| Ended::Writing).boxed());
    parts.push(reap::<R>(link, child).map(Ended::Child).boxed());

    let mut parts = parts;
    let mut open = Open {
        reading: true,
        writing: true,
        exit_untold: true,
    };
    let mut deserted = false;
    while !open.is_done() {
        let next = if deserted {
            Either::Right(parts.next().await)
        } else {
            match select(pin!(rungs.recv()), parts.next()).await {
                Either::Left((rung, _)) => Either::Left(rung),
                Either::Right((ended, _)) => Either::Right(ended),
            }
        };
        match next {
            Either::Left(Ok(Rung::Terminate)) => group.terminate(),
            // The runtime reaps the child, should it end at last.
            Either::Left(Ok(Rung::Abandon)) => return (rungs, End::GivenUp),
            Either::Left(rung @ (Ok(Rung::Kill) | Err(_))) => {
                // Without its near end the link has nobody left to end it.
                deserted = rung.is_err();
                group.kill();
                cut_reading.abort();
                cut_draining.abort();
                stop = None;
            }
            Either::Right(Some(Ended::Reading)) => open.reading = false,
            Either::Right(Some(Ended::Writing)) => open.writing = false,
            Either::Right(Some(Ended::Draining)) => {}
            Either::Right(Some(Ended::Child(exit))) => {
                group.leader_reaped();
                // A grandchild may hold the other end of standard input, and never read it.
                stop = None;
                let (signals, last_words) = (signals.clone(), last_words.clone());
                let telling = async move {
                    last_words.heard().await;
                    signals.tell(Signal::Exited { link, exit }).await;
                    Ended::ExitTold
                };
                parts.push(telling.boxed());
            }
            Either::Right(Some(Ended::ExitTold)) => open.exit_untold = false,
            Either::Right(None) => break,
        }
    }
    drop(stop);
    // Whoever stayed behind in the group holds no pipe of ours, and is of no use to anybody.
    if !group.is_gone() {
        group.end();
    }
    // What standard error still holds is told before the close.
    let remaining = parts.for_each(|_| std::future::ready(()));
    select(pin!(last_words.heard()), remaining).await;
    (rungs, End::Reached)
}

/// Adds `part`, which can be cut by the returned handle.
fn push_abortable(
    parts: &Parts,
    part: impl Future<Output = ()> + Send + 'static,
    ended: Ended,
) -> AbortHandle {
    let (part, cut) = abortable(part);
    parts.push(part.map(|_: Result<(), Aborted>| ended).boxed());
    cut
}

async fn reap<R: AsyncRuntime>(link: LinkId, mut child: R::Child) -> Exit {
    match child.wait().await {
        Ok(status) => exit_of(status),
        Err(error) => {
            tracing::warn!(%link, %error, "the system does not tell how a server ended");
            Exit::Unknown
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    let signal = || status.signal().map(Exit::Signal);
    status
        .code()
        .map(Exit::Code)
        .or_else(signal)
        .unwrap_or(Exit::Unknown)
}
