//! Effects made real: one task per open link, which answers with signals.

mod attached;
mod in_process;
mod process;
mod pump;

use std::collections::BTreeMap;

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use mcp_fleet_core::{Effect, LinkId, ServerName, Signal, config::Kind};

pub(crate) use self::pump::give_way;
use crate::{
    process::{Launch, Spawner},
    registry::Registry,
    runtime::AsyncRuntime,
};

/// Signals on their way to the machine, over all links. A full channel stops the links from
/// reading, and so the servers from writing.
pub const SIGNALS_MAX: usize = 256;

/// All links of a fleet.
///
/// Dropping it ends every link at once: groups are killed, and no process is left behind.
pub struct Links<R: AsyncRuntime> {
    runtime: R,
    registry: Registry,
    signals: Sender<Signal>,
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
    signals: Sender<Signal>,
}

/// A rung of the close ladder.
#[derive(Clone, Copy, Debug)]
enum Rung {
    Terminate,
    Kill,
}

impl<R: AsyncRuntime> Links<R> {
    /// No links yet. Signals arrive at the returned receiver, which holds [`SIGNALS_MAX`] of them.
    pub fn new(runtime: R) -> (Self, Receiver<Signal>) {
        let (signals, inbox) = async_channel::bounded(SIGNALS_MAX);
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
            Effect::Open { link, server, kind } => self.open(link, server, &kind),
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
            signals: self.signals.clone(),
        };
        self.open.insert(link, Link { frames, rungs });
        match kind {
            Kind::Stdio(stdio) => match self.spawner() {
                Ok(spawner) => {
                    let launch = Box::new(Launch::new(server, stdio.clone()));
                    self.runtime.spawn(process::run(ends, spawner, launch));
                }
                Err(error) => {
                    let message = format!("cannot start the spawner thread: {error}");
                    self.refuse(ends, message, true);
                }
            },
            Kind::InProcess => match self.registry.server(&server) {
                Some(server) => self.runtime.spawn(in_process::run(ends, server)),
                None => {
                    let message = format!("no in-process server is registered as {server:?}");
                    self.refuse(ends, message, false);
                }
            },
            Kind::Attached => match self.registry.take_streams(&server) {
                Some(streams) => self.runtime.spawn(attached::run(ends, streams)),
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
            tell(
                &signals,
                Signal::OpenFailed {
                    link,
                    message,
                    transient,
                },
            )
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

/// Delivers `signal`, waiting for room. Where the machine is gone, nobody needs to know.
async fn tell(signals: &Sender<Signal>, signal: Signal) {
    signals.send(signal).await.ok();
}
