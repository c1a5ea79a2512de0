//! Effects made real: one task per open link, which answers with signals.

mod attached;
mod in_process;
mod process;
mod pump;
mod signals;

use std::{any::Any, collections::BTreeMap, panic::AssertUnwindSafe};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures::FutureExt;
use mcp_fleet_core::{Effect, Exit, LinkId, ServerName, Signal, config::Kind};

pub(crate) use self::pump::give_way;
pub use self::signals::{LINK_CHUNKS_MAX, SIGNALS_MAX, Signals};
use self::signals::{Queue, Teller};
use crate::{
    process::{Launch, Spawner},
    registry::Registry,
    runtime::AsyncRuntime,
};

/// All links of a fleet.
///
/// Dropping it ends every link at once: groups are killed, and no process is left behind.
pub struct Links<R: AsyncRuntime> {
    runtime: R,
    registry: Registry,
    signals: Queue,
    spawner: Option<Spawner<R>>,
    open: BTreeMap<LinkId, Link>,
}

/// The near end of one link's task.
struct Link {
    /// Frames to write; closed by [`Effect::CloseInput`]. Unbounded, because the machine hands out
    /// no more bytes than `maxWriteBytes` before they are reported as written.
    frames: Sender<Bytes>,
    /// Rungs of the close ladder. Closed by the task when it ends.
    rungs: Sender<Rung>,
}

/// The far end of one link's task: everything it works with.
struct LinkEnds<R: AsyncRuntime> {
    runtime: R,
    link: LinkId,
    frames: Receiver<Bytes>,
    rungs: Receiver<Rung>,
    signals: Teller,
}

/// A rung of the close ladder.
#[derive(Clone, Copy, Debug)]
enum Rung {
    Terminate,
    Kill,
    /// Not a step down: nobody waits for the end any more.
    Abandon,
}

impl<R: AsyncRuntime> Links<R> {
    /// No links yet. Their signals arrive at the returned stream, which holds [`SIGNALS_MAX`].
    pub fn new(runtime: R) -> (Self, Signals) {
        let (signals, inbox) = Queue::new();
        let registry = Registry::default();
        (
            Self {
                runtime,
                registry,
                signals,
                spawner: None,
                open: BTreeMap::new(),
            },
            inbox,
        )
    }

    /// Where in-process servers and attached streams are registered before they are opened.
    pub const fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Begins the work that `effect` asks for, and returns at once.
    ///
    /// Every [`Effect::Open`] is answered by exactly one terminal signal. Effects for a link that is
    /// not open, or not any more, are ignored.
    pub fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Open {
                link, server, kind, ..
            } => self.open(link, server, &kind),
            Effect::Send { link, bytes } => {
                if let Some(open) = self.open.get(&link) {
                    // A write side that is gone has said so by a signal.
                    open.frames.try_send(bytes).ok();
                }
            }
            Effect::CloseInput { link } => {
                if let Some(open) = self.open.get(&link) {
                    open.frames.close();
                }
            }
            Effect::Terminate { link } => self.climb(link, Rung::Terminate),
            Effect::Kill { link } => self.climb(link, Rung::Kill),
            Effect::Abandon { link } => self.climb(link, Rung::Abandon),
        }
    }

    fn climb(&self, link: LinkId, rung: Rung) {
        if let Some(open) = self.open.get(&link) {
            // A task that ended has said so by a signal.
            open.rungs.try_send(rung).ok();
        }
    }

    fn open(&mut self, link: LinkId, server: ServerName, kind: &Kind) {
        self.open.retain(|_, open| !open.rungs.is_closed());
        let (frames, frames_out) = async_channel::unbounded();
        let (rungs, rungs_out) = async_channel::unbounded();
        let ends = LinkEnds {
            runtime: self.runtime.clone(),
            link,
            frames: frames_out,
            rungs: rungs_out,
            signals: self.signals.teller(),
        };
        self.open.insert(link, Link { frames, rungs });
        match kind {
            Kind::Stdio(stdio) => match self.spawner() {
                Ok(spawner) => {
                    let launch = Box::new(Launch::new(server, stdio.clone()));
                    self.run(
                        link,
                        &ends.signals.clone(),
                        process::run(ends, spawner, launch),
                    );
                }
                Err(error) => {
                    let message = format!("cannot start the spawner thread: {error}");
                    self.refuse(ends, message, true);
                }
            },
            Kind::InProcess => match self.registry.server(&server) {
                Some(server) => {
                    self.run(link, &ends.signals.clone(), in_process::run(ends, server))
                }
                None => {
                    let message = format!("no in-process server is registered as {server:?}");
                    self.refuse(ends, message, false);
                }
            },
            Kind::Attached => match self.registry.take_streams(&server) {
                Some(streams) => {
                    self.run(link, &ends.signals.clone(), attached::run(ends, streams))
                }
                None => {
                    let message = format!(
                        "no streams are attached as {server:?}, or they were used up; attach new \
                         ones before it is started again"
                    );
                    self.refuse(ends, message, false);
                }
            },
            Kind::Http(_) => {
                let message = "http servers are not supported by this version".to_owned();
                self.refuse(ends, message, false);
            }
            other => {
                let kind = other.as_str();
                let message = format!("{kind} servers are not supported by this version");
                self.refuse(ends, message, false);
            }
        }
    }

    /// Runs the task of a link. One that panics fails its server, and nothing else.
    fn run(&self, link: LinkId, signals: &Teller, task: impl Future<Output = ()> + Send + 'static) {
        let signals = signals.clone();
        self.runtime.spawn(async move {
            let Err(panic) = AssertUnwindSafe(task).catch_unwind().await else {
                return;
            };
            let message = format!("panicked: {}\n", words_of(panic.as_ref()));
            tracing::error!(%link, message, "the task of a link panicked");
            let (bytes, dropped) = (message.into(), 0);
            let exit = Exit::Unknown;
            for signal in [
                Signal::Stderr {
                    link,
                    bytes,
                    dropped,
                },
                Signal::Exited { link, exit },
                Signal::Closed { link },
            ] {
                signals.tell(signal).await;
            }
        });
    }

    fn spawner(&mut self) -> std::io::Result<Spawner<R>> {
        if let Some(spawner) = &self.spawner {
            return Ok(spawner.clone());
        }
        let spawner = Spawner::start(self.runtime.clone())?;
        Ok(self.spawner.insert(spawner).clone())
    }

    fn refuse(&self, ends: LinkEnds<R>, message: String, transient: bool) {
        self.runtime.spawn(async move {
            let LinkEnds {
                link,
                signals,
                rungs,
                ..
            } = ends;
            signals
                .tell(Signal::OpenFailed {
                    link,
                    message,
                    transient,
                })
                .await;
            drop(rungs);
        });
    }
}

impl<R: AsyncRuntime> std::fmt::Debug for Links<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links")
            .field("open", &self.open.keys())
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
