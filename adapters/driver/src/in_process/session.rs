//! One link: requests in, calls running, answers out.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    fmt,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
};

use async_channel::{Receiver, Sender, TrySendError};
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, Aborted, BoxFuture},
    select_biased,
    stream::FuturesUnordered,
};
use mcp_fleet_core::{Era, Revision, RpcError, wire::Id};

use super::{
    InProcessServer,
    call::{Progress, Remote, ToolCall},
    face::{self, Action, Face, INTERNAL_ERROR, Invocation},
    incoming::{self, INVALID_REQUEST, Incoming},
};

/// Calls that run at once.
pub(super) const RUNNING_MAX: usize = 256;
/// Calls that wait for one of them to end.
pub(super) const WAITING_MAX: usize = 4096;

/// The state of one link.
pub(super) struct Session {
    server: Arc<dyn InProcessServer>,
    face: Arc<Face>,
    out: Sender<Bytes>,
    /// What `initialize` agreed on, if it came.
    legacy: Option<Revision>,
    running: FuturesUnordered<Abortable<BoxFuture<'static, Id>>>,
    waiting: VecDeque<(Id, Box<Invocation>)>,
    calls: HashMap<Id, Call>,
}

/// Where a call is.
enum Call {
    Waiting,
    Running {
        abort: AbortHandle,
        life: Sender<Infallible>,
    },
}

/// The client is gone: nothing can be said any more.
struct Gone;

impl Session {
    pub(super) fn new(server: Arc<dyn InProcessServer>, face: Face, out: Sender<Bytes>) -> Self {
        Self {
            server,
            face: Arc::new(face),
            out,
            legacy: None,
            running: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            calls: HashMap::new(),
        }
    }

    /// Serves until `frames` ends and every call is answered, or nobody reads the answers.
    pub(super) async fn run(mut self, frames: Receiver<Bytes>) {
        let out = self.out.clone();
        let mut closed = pin!(out.closed().fuse());
        let mut frames = pin!(frames.fuse());
        loop {
            select_biased! {
                () = closed => return,
                ended = self.running.select_next_some() => self.on_ended(ended),
                frame = frames.next() => match frame {
                    Some(frame) => if let Err(Gone) = self.on_frame(frame).await { return },
                    None => break,
                },
            }
        }
        while !self.running.is_empty() {
            select_biased! {
                () = closed => return,
                ended = self.running.select_next_some() => self.on_ended(ended),
            }
        }
    }

    async fn on_frame(&mut self, mut rest: Bytes) -> Result<(), Gone> {
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', &rest).map_or(rest.len(), |at| at + 1);
            let line = rest.split_to(end);
            if line.trim_ascii().is_empty() {
                continue;
            }
            let batches = self.legacy == Some(Revision::V2025_03_26);
            for message in incoming::read(&line, batches) {
                self.on_message(message).await?;
            }
        }
        Ok(())
    }

    async fn on_message(&mut self, message: Incoming) -> Result<(), Gone> {
        match message {
            Incoming::Request { id, method, params } => {
                match self.face.action(self.legacy, &method, params.as_ref()) {
                    Ok(Action::Answer(era, members)) => {
                        self.tell(self.face.answer(&id, era, members)).await
                    }
                    Ok(Action::Initialize(revision, members)) => {
                        self.legacy = Some(revision);
                        self.tell(self.face.answer(&id, Era::Legacy, members)).await
                    }
                    Ok(Action::Call(call)) => self.on_call(id, call).await,
                    Err(error) => self.tell(face::refusal(Some(&id), &error)).await,
                }
            }
            Incoming::Notification { method, params } => {
                if method == "notifications/cancelled"
                    && let Some(id) = face::cancelled_id(params.as_ref())
                {
                    self.on_cancelled(&id);
                }
                Ok(())
            }
            Incoming::Invalid { id, error } => self.tell(face::refusal(id.as_ref(), &error)).await,
        }
    }

    async fn on_call(&mut self, id: Id, call: Box<Invocation>) -> Result<(), Gone> {
        // Calls that are done already make room.
        while self.running.len() >= RUNNING_MAX {
            let Some(Some(ended)) = self.running.next().now_or_never() else {
                break;
            };
            self.on_ended(ended);
        }
        let refusal = if self.calls.contains_key(&id) {
            Some((
                INVALID_REQUEST,
                "a request with this id is in flight".to_owned(),
            ))
        } else if self.waiting.len() >= WAITING_MAX {
            Some((
                INTERNAL_ERROR,
                format!("overloaded: {WAITING_MAX} calls wait already"),
            ))
        } else {
            None
        };
        if let Some((code, message)) = refusal {
            let error = RpcError {
                code,
                message,
                data: None,
            };
            return self.tell(face::refusal(Some(&id), &error)).await;
        }
        if self.running.len() >= RUNNING_MAX {
            self.calls.insert(id.clone(), Call::Waiting);
            self.waiting.push_back((id, call));
        } else {
            self.start(id, *call);
        }
        Ok(())
    }

    fn start(&mut self, id: Id, call: Invocation) {
        let Invocation {
            era,
            name,
            arguments,
            meta,
            token,
        } = call;
        let (call, remote) = ToolCall::new(name, arguments, meta, token.is_some());
        let (abort, registration) = AbortHandle::new_pair();
        let life = remote.life.clone();
        self.calls.insert(id.clone(), Call::Running { abort, life });
        let work = Work {
            server: Arc::clone(&self.server),
            face: Arc::clone(&self.face),
            out: self.out.clone(),
            era,
            token,
            id,
        };
        self.running
            .push(Abortable::new(work.run(call, remote).boxed(), registration));
    }

    fn on_ended(&mut self, ended: Result<Id, Aborted>) {
        if let Ok(id) = ended {
            self.calls.remove(&id);
        }
        if self.running.len() < RUNNING_MAX
            && let Some((id, call)) = self.waiting.pop_front()
        {
            self.start(id, *call);
        }
    }

    /// Ends a call. Nothing more is said of it: the set never polls an aborted future again.
    fn on_cancelled(&mut self, id: &Id) {
        match self.calls.remove(id) {
            Some(Call::Running { abort, life }) => {
                life.close();
                abort.abort();
            }
            Some(Call::Waiting) => self.waiting.retain(|(waiting, _)| waiting != id),
            None => {}
        }
    }

    /// Writes a line, and lets calls go on while the client does not read.
    async fn tell(&mut self, line: Bytes) -> Result<(), Gone> {
        let line = match self.out.try_send(line) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Gone),
            Err(TrySendError::Full(line)) => line,
        };
        let out = self.out.clone();
        let mut sent = pin!(out.send(line).fuse());
        loop {
            select_biased! {
                sent = sent => return sent.map_err(|_| Gone),
                ended = self.running.select_next_some() => self.on_ended(ended),
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("legacy", &self.legacy)
            .field("running", &self.running.len())
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

/// One call while it runs.
struct Work {
    server: Arc<dyn InProcessServer>,
    face: Arc<Face>,
    out: Sender<Bytes>,
    era: Era,
    token: Option<Id>,
    id: Id,
}

impl Work {
    async fn run(self, call: ToolCall, remote: Remote) -> Id {
        let server = Arc::clone(&self.server);
        let name = call.name.clone();
        // `call_tool` itself may panic, before there is a future.
        let tool = AssertUnwindSafe(async move { server.call_tool(call).await }).catch_unwind();
        let outcome = match (&self.token, remote.progress) {
            (Some(token), Some(reports)) => self.report(token, reports, tool.boxed()).await,
            (_, _) => tool.await,
        };
        let outcome = outcome.unwrap_or_else(|_panic| {
            let message = format!("the tool {name:?} panicked");
            Err(RpcError {
                code: INTERNAL_ERROR,
                message,
                data: None,
            })
        });
        let answer = self.face.outcome(&self.id, self.era, outcome);
        let _gone = self.out.send(answer).await.is_err();
        remote.life.close();
        self.id
    }

    /// Awaits `tool` and passes on what it reports, all of it before its answer.
    async fn report<T>(
        &self,
        token: &Id,
        reports: Receiver<Progress>,
        tool: BoxFuture<'_, T>,
    ) -> T {
        let mut tool = tool.fuse();
        let mut last = f64::NEG_INFINITY;
        let mut reports = Box::pin(reports).fuse();
        let mut outcome = None;
        loop {
            let report = select_biased! {
                report = reports.next() => report,
                done = tool => {
                    outcome = Some(done);
                    // Closes what is left to read: clones of the call may outlive it.
                    reports.get_ref().close();
                    continue;
                }
            };
            match (report, outcome.take()) {
                (None, Some(outcome)) => return outcome,
                (None, None) => return tool.await,
                (Some(report), so_far) => {
                    outcome = so_far;
                    // Also false for NaN. MCP, progress: the value must increase.
                    if report.progress > last && report.progress.is_finite() {
                        last = report.progress;
                        let _gone = self.out.send(face::progress(token, report)).await.is_err();
                    }
                }
            }
        }
    }
}
