//! Links under test, driven by effects and read by signals.

use std::{
    collections::BTreeMap,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    AsyncWrite,
    future::{Either, select},
};
use mcp_fleet_core::{
    Effect, Exit, LinkId, ServerId, ServerName, Signal,
    config::{Kind, Stdio},
};
use mcp_fleet_driver::{AsyncRuntime, Links, Signals};

/// No step of a scenario takes this long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Bench<R: AsyncRuntime> {
    pub runtime: R,
    pub links: Links<R>,
    pub signals: Signals,
    incarnation: u32,
}

impl<R: AsyncRuntime> Bench<R> {
    pub fn new(runtime: R) -> Self {
        let (links, signals) = Links::new(runtime.clone());
        Self {
            runtime,
            links,
            signals,
            incarnation: 0,
        }
    }

    pub fn open(&mut self, kind: Kind) -> LinkId {
        self.incarnation += 1;
        let link = LinkId {
            server: ServerId(0),
            incarnation: self.incarnation,
        };
        let server = ServerName::new("bench").unwrap();
        self.links.perform(Effect::Open {
            link,
            server,
            replica: 0,
            kind: Arc::new(kind),
        });
        link
    }

    pub fn open_shell(&mut self, script: &str) -> LinkId {
        self.open(Kind::Stdio(shell(script)))
    }

    pub fn send(&mut self, link: LinkId, bytes: impl Into<Bytes>) {
        self.links.perform(Effect::Send {
            link,
            bytes: bytes.into(),
        });
    }

    pub async fn next(&self) -> Signal {
        self.patiently("a signal", self.signals.recv())
            .await
            .unwrap()
    }

    /// Waits for the first signal that `wanted` takes; keeps the ones before it in `log`.
    pub async fn until<T>(&self, log: &mut Log, mut wanted: impl FnMut(&Signal) -> Option<T>) -> T {
        loop {
            let signal = self.next().await;
            let found = wanted(&signal);
            log.0.push(signal);
            if let Some(found) = found {
                return found;
            }
        }
    }

    pub async fn until_closed(&self, log: &mut Log) {
        self.until(log, |signal| {
            matches!(signal, Signal::Closed { .. }).then_some(())
        })
        .await;
        assert!(
            self.signals.is_empty(),
            "{} signals after the close",
            self.signals.len()
        );
    }

    /// Waits until standard output has brought `count` lines, and returns the last.
    pub async fn line(&self, log: &mut Log, count: usize) -> String {
        let nth = |log: &Log| {
            let output = log.output();
            let complete = output.iter().filter(|byte| **byte == b'\n').count();
            (complete >= count).then(|| {
                String::from_utf8_lossy(&output)
                    .lines()
                    .nth(count - 1)
                    .unwrap()
                    .to_owned()
            })
        };
        loop {
            if let Some(line) = nth(log) {
                return line;
            }
            self.until(log, |signal| {
                matches!(signal, Signal::Bytes { .. }).then_some(())
            })
            .await;
        }
    }

    pub async fn patiently<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        patiently(&self.runtime, what, future).await
    }

    /// Waits until `process` is no more, or a zombie that its adopter has not reaped.
    pub async fn until_dead(&self, process: u32) {
        let dead = async {
            while is_alive(process) {
                let soon = self.runtime.now() + Duration::from_millis(2);
                self.runtime.sleep_until(soon).await;
            }
        };
        self.patiently("death of a process", dead).await;
    }
}

pub async fn patiently<R: AsyncRuntime, T>(
    runtime: &R,
    what: &str,
    future: impl Future<Output = T>,
) -> T {
    let deadline = runtime.now() + PATIENCE;
    match select(pin!(future), pin!(runtime.sleep_until(deadline))).await {
        Either::Left((value, _)) => value,
        Either::Right(_) => panic!("no {what} within {PATIENCE:?}"),
    }
}

pub fn shell(script: &str) -> Stdio {
    Stdio {
        command: "sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::new(),
        cwd: None,
    }
}

pub fn is_alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// Signals in their order.
#[derive(Default, Debug)]
pub struct Log(pub Vec<Signal>);

impl Log {
    pub fn output(&self) -> Vec<u8> {
        let mut output = Vec::new();
        for signal in &self.0 {
            if let Signal::Bytes { bytes, .. } = signal {
                output.extend_from_slice(bytes);
            }
        }
        output
    }

    pub fn errors(&self) -> String {
        let mut errors = Vec::new();
        for signal in &self.0 {
            if let Signal::Stderr { bytes, .. } = signal {
                errors.extend_from_slice(bytes);
            }
        }
        String::from_utf8_lossy(&errors).into_owned()
    }

    pub fn written(&self) -> u64 {
        let wrote = |signal: &Signal| match signal {
            Signal::Wrote { bytes, .. } => *bytes,
            _ => 0,
        };
        self.0.iter().map(wrote).sum()
    }

    pub fn exit(&self) -> Option<Exit> {
        self.0.iter().find_map(|signal| match signal {
            Signal::Exited { exit, .. } => Some(*exit),
            _ => None,
        })
    }

    pub fn position(&self, wanted: impl Fn(&Signal) -> bool) -> Option<usize> {
        self.0.iter().position(wanted)
    }

    pub fn pid(&self) -> u32 {
        let opened = self.0.iter().find_map(|signal| match signal {
            Signal::Opened { pid, .. } => *pid,
            _ => None,
        });
        opened.expect("no process was opened")
    }
}

/// Hands everything that is written to a channel.
pub struct Sink(pub async_channel::Sender<Bytes>);

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0
            .try_send(Bytes::copy_from_slice(bytes))
            .map_err(io::Error::other)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close();
        Poll::Ready(Ok(()))
    }
}
