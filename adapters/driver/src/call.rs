//! A call under way, as its caller holds it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_channel::{Receiver, Sender, TrySendError};
use futures::{FutureExt, Stream, channel::oneshot, future::BoxFuture};
use mcp_fleet_core::{CallError, CallId, CallOptions, RawJson, Request, Sent};

use crate::{
    error::ExecuteError,
    message::{CallWaiter, Control, Execute, Message},
};

/// Reports of progress that wait for a caller; the ones that find no room are left out.
const PROGRESS_MAX: usize = 64;

/// A call under way: a future of its `result` as it stood on the wire.
///
/// Dropping it cancels the call: the server is told, and its place is free. Where the inbox was
/// full when the call was started, it is handed over when the future is polled.
#[must_use = "dropping a pending call cancels it"]
pub struct PendingCall {
    id: CallId,
    stage: Stage,
    /// Taken when the call is cancelled, which it is once.
    control: Option<Sender<Control>>,
    progress: ProgressStream,
}

/// How far a call has come, as its server says.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    /// Grows with every report.
    pub progress: f64,
    /// What `progress` will be at the end, where the server knows.
    pub total: Option<f64>,
    /// For people.
    pub message: Option<String>,
}

/// A stream of the progress of one call; ends with the call.
#[derive(Debug)]
pub struct ProgressStream(Option<Pin<Box<Receiver<Progress>>>>);

type Outcome = oneshot::Receiver<Result<RawJson, CallError>>;

enum Stage {
    /// The inbox has no room yet.
    Queueing(BoxFuture<'static, Result<(), ExecuteError>>, Outcome),
    /// The actor has it, or will find it in the inbox.
    Waiting(Outcome),
    /// It ended before it was handed over.
    Refused(ExecuteError),
    /// The outcome was taken.
    Ended,
}

impl PendingCall {
    pub(crate) fn start(
        inbox: &Sender<Message>,
        control: Sender<Control>,
        call: CallId,
        server: String,
        request: Request,
        options: CallOptions,
    ) -> Self {
        let (outcome, waiting) = oneshot::channel();
        let (sender, progress) = if options.progress {
            let (sender, receiver) = async_channel::bounded(PROGRESS_MAX);
            (Some(sender), ProgressStream(Some(Box::pin(receiver))))
        } else {
            (None, ProgressStream(None))
        };
        let waiter = CallWaiter {
            outcome,
            progress: sender,
        };
        let execute = Execute {
            call,
            server,
            request,
            options,
            waiter,
        };
        let stage = match inbox.try_send(Message::Execute(Box::new(execute))) {
            Ok(()) => Stage::Waiting(waiting),
            Err(TrySendError::Full(message)) => {
                let inbox = inbox.clone();
                let sending = async move {
                    inbox
                        .send(message)
                        .await
                        .map_err(|_| ExecuteError::RuntimeGone)
                };
                Stage::Queueing(sending.boxed(), waiting)
            }
            Err(TrySendError::Closed(_)) => Stage::Refused(ExecuteError::RuntimeGone),
        };
        Self {
            id: call,
            stage,
            control: Some(control),
            progress,
        }
    }

    /// The call's id, as events and the journal have it.
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// Gives the call up, and tells the server `reason`. The future still ends with the call's one
    /// outcome, which may be a result that was on its way already. The first time counts.
    pub fn cancel(&mut self, reason: Option<String>) {
        match &self.stage {
            Stage::Queueing(..) => {
                let cancelled = CallError::Cancelled { sent: Sent::No };
                self.stage = Stage::Refused(cancelled.into());
            }
            Stage::Waiting(_) => self.tell_cancel(reason),
            Stage::Refused(_) | Stage::Ended => {}
        }
    }

    /// Reports of progress, where [`CallOptions::progress`] asked for them. The first stream gets
    /// them; further ones are empty.
    pub fn progress(&mut self) -> ProgressStream {
        ProgressStream(self.progress.0.take())
    }

    fn tell_cancel(&mut self, reason: Option<String>) {
        let Some(control) = self.control.take() else {
            return;
        };
        let cancel = Control::Cancel {
            call: self.id,
            reason,
        };
        // An actor that is gone has nothing to cancel.
        control.try_send(cancel).ok();
    }
}

impl Future for PendingCall {
    type Output = Result<RawJson, ExecuteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Queueing(mut sending, outcome) => match sending.poll_unpin(context) {
                    Poll::Ready(Ok(())) => self.stage = Stage::Waiting(outcome),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.stage = Stage::Queueing(sending, outcome);
                        return Poll::Pending;
                    }
                },
                Stage::Waiting(mut outcome) => {
                    let Poll::Ready(ended) = outcome.poll_unpin(context) else {
                        self.stage = Stage::Waiting(outcome);
                        return Poll::Pending;
                    };
                    let ended = ended.map_err(|oneshot::Canceled| ExecuteError::RuntimeGone);
                    return Poll::Ready(ended.and_then(|outcome| outcome.map_err(Into::into)));
                }
                Stage::Refused(error) => return Poll::Ready(Err(error)),
                Stage::Ended => return Poll::Pending,
            }
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        match &self.stage {
            Stage::Waiting(_) => self.tell_cancel(None),
            Stage::Queueing(..) | Stage::Refused(_) | Stage::Ended => {}
        }
    }
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ProgressStream {
    /// The next report; `None` when the call has ended.
    pub async fn next(&mut self) -> Option<Progress> {
        match &mut self.0 {
            Some(progress) => progress.recv().await.ok(),
            None => None,
        }
    }
}

impl Stream for ProgressStream {
    type Item = Progress;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Progress>> {
        let Some(progress) = &mut self.0 else {
            return Poll::Ready(None);
        };
        Poll::Ready(ready!(progress.as_mut().poll_next(context)))
    }
}
