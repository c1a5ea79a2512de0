//! One incarnation's conversation: era, requests in flight, what the server says unasked.

mod catalog;
mod handshake;
mod inbound;
mod offer;
mod pending;
mod questions;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

pub(crate) use self::{
    catalog::{Catalog, ListState},
    offer::Offer,
    pending::{Pending, Purpose},
    questions::{Decision, decide},
};
use crate::{
    config::ServerLimits,
    error::{Failure, RpcError, Sent},
    event::{CatalogKind, Implementation},
    ids::CallId,
    link::{Link, Outbox},
    planted::{Bug, planted},
    wire::{
        Era, Id, ParamsError, RawJson, Revision,
        bodies::{Introduction, Question, ServerCapabilities},
        frame, params,
    },
};

/// Requests that were given up and may still be answered, remembered to tell a late answer from a
/// wrong one.
const ABANDONED_MAX: usize = 1024;

/// The conversation with one incarnation of a server.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) link: Link,
    offer: Arc<Offer>,
    phase: Phase,
    requests: BTreeMap<u64, Pending>,
    next_request: u64,
    abandoned: VecDeque<u64>,
    updates: VecDeque<Update>,
    /// The request that keeps the subscription of a modern session.
    listen: Option<u64>,
    noise_in_a_row: u32,
    noise_lines_max: u32,
    batch_max: usize,
}

/// How far the conversation has come.
#[derive(Debug)]
enum Phase {
    /// Nothing was said.
    Silent,
    /// `server/discover` is under way, as this request; `retried` after an error named a modern
    /// revision we speak.
    Probing { request: u64, retried: bool },
    /// `initialize` is under way. `late` is the answer of a probe that was given up; `retried` where
    /// this is not the first thing that an error made us try.
    Handshaking {
        offered: Revision,
        late: Option<Introduction>,
        retried: bool,
    },
    /// The era is settled.
    Open(Agreement),
    /// It came to nothing.
    Over,
}

/// What the two sides agreed on.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Agreement {
    pub(crate) revision: Revision,
    pub(crate) capabilities: ServerCapabilities,
    pub(crate) implementation: Option<Implementation>,
    pub(crate) instructions: Option<String>,
}

/// Why a request has no result.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Fault {
    Rpc(RpcError),
    Protocol(String),
}

/// What the session tells its server.
#[derive(Debug)]
pub(crate) enum Update {
    /// The era is settled; calls may be sent.
    Opened,
    /// The session cannot be opened, or read on.
    Failed(Failure),
    /// A request was answered. Its id is free.
    Answered {
        request: u64,
        purpose: Purpose,
        outcome: Result<RawJson, Fault>,
    },
    /// A call has come this far.
    Progress {
        call: CallId,
        progress: f64,
        total: Option<f64>,
        message: Option<String>,
    },
    /// The server asks for something that only the application can give.
    Asked { id: Id, question: Question },
    /// The server takes a question back.
    Withdrawn { id: Id },
    /// A list is not what it was.
    ListChanged(CatalogKind),
    /// The subscription ended; it may be asked for again.
    ListenEnded,
    /// Something the machine does not consume.
    Notified {
        method: String,
        params: Option<RawJson>,
    },
    /// An answer to a request that was given up.
    LateAnswer,
    /// A line on standard output that is no message.
    Noise(Bytes),
    /// Something the protocol forbids.
    Violation(String),
}

impl Session {
    pub(crate) fn new(link: Link, offer: Arc<Offer>, limits: &ServerLimits) -> Self {
        Self {
            link,
            offer,
            phase: Phase::Silent,
            requests: BTreeMap::new(),
            next_request: 1,
            abandoned: VecDeque::new(),
            updates: VecDeque::new(),
            listen: None,
            noise_in_a_row: 0,
            noise_lines_max: limits.noise_lines,
            batch_max: limits.queue.max(1),
        }
    }

    /// Takes new limits in the middle of the conversation.
    pub(crate) fn retune(&mut self, limits: &ServerLimits) {
        self.link.retune(limits);
        self.noise_lines_max = limits.noise_lines;
        self.batch_max = limits.queue.max(1);
    }

    /// Sends a request and remembers what it is for.
    ///
    /// `extra` are members of params that the protocol adds to the caller's.
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: Option<&RawJson>,
        extra: &[(&str, &str)],
        purpose: Purpose,
        wants_progress: bool,
        out: &mut Outbox,
    ) -> Result<u64, ParamsError> {
        let request = self.next_request;
        let token = request.to_string();
        let mut meta: Vec<(&str, &str)> = Vec::with_capacity(4);
        if self.speaks_modern() {
            meta.extend(self.offer.envelope());
        }
        // Two callers may choose the same token, or one that is another request's.
        let brings_token = params.is_some_and(|params| params.as_str().contains("progressToken"));
        if wants_progress || brings_token {
            meta.push(("progressToken", &token));
        }
        let frame = if meta.is_empty() && extra.is_empty() {
            frame::request(request, method, params.map(RawJson::as_str))
        } else {
            frame::request(
                request,
                method,
                Some(&params::with_members(params, &meta, extra)?),
            )
        };
        let start = self.link.send(frame, out);
        let progress = wants_progress.then_some(f64::NEG_INFINITY);
        self.requests.insert(
            request,
            Pending {
                purpose,
                start,
                progress,
            },
        );
        self.next_request += 1;
        Ok(request)
    }

    /// Gives up a request: tells the server, frees the id, and remembers it for a late answer.
    pub(crate) fn cancel(
        &mut self,
        request: u64,
        reason: &str,
        out: &mut Outbox,
    ) -> Option<Purpose> {
        let pending = self.requests.remove(&request)?;
        self.remember_abandoned(request);
        let reason = serde_json::Value::from(reason);
        let params = format!(r#"{{"requestId":{request},"reason":{reason}}}"#);
        let notice = frame::notification("notifications/cancelled", Some(&params));
        if !planted(Bug::SilentCancel) {
            self.link.send(notice, out);
        }
        if planted(Bug::IdReuse) {
            self.next_request = request;
        }
        Some(pending.purpose)
    }

    /// Answers a question of the server.
    pub(crate) fn answer(
        &mut self,
        id: &Id,
        outcome: Result<&RawJson, &RpcError>,
        out: &mut Outbox,
    ) {
        if self.link.has_credit_for_answers() {
            self.link.send(frame::answer(id, outcome), out);
        } else {
            let message = "asks on without reading the answers; one was dropped";
            self.updates
                .push_back(Update::Violation(message.to_owned()));
        }
    }

    /// Ends the conversation: all that was asked and not answered, in order of its ids.
    pub(crate) fn into_lost(self) -> Vec<(Purpose, Sent)> {
        let sent = |pending: &Pending| self.link.sent(pending.start);
        self.requests
            .values()
            .map(|pending| (pending.purpose, sent(pending)))
            .collect()
    }

    pub(crate) fn poll_update(&mut self) -> Option<Update> {
        self.updates.pop_front()
    }

    pub(crate) const fn agreement(&self) -> Option<&Agreement> {
        match &self.phase {
            Phase::Open(agreement) => Some(agreement),
            Phase::Silent | Phase::Probing { .. } | Phase::Handshaking { .. } | Phase::Over => None,
        }
    }

    pub(crate) const fn is_probing(&self) -> bool {
        matches!(self.phase, Phase::Probing { .. })
    }

    pub(crate) fn era(&self) -> Option<Era> {
        self.agreement().map(|agreement| agreement.revision.era())
    }

    /// Whether requests carry the modern envelope.
    const fn speaks_modern(&self) -> bool {
        match &self.phase {
            Phase::Probing { .. } => true,
            Phase::Open(agreement) => matches!(agreement.revision.era(), Era::Modern),
            Phase::Silent | Phase::Handshaking { .. } | Phase::Over => false,
        }
    }

    fn remember_abandoned(&mut self, request: u64) {
        if self.abandoned.len() == ABANDONED_MAX {
            self.abandoned.pop_front();
        }
        self.abandoned.push_back(request);
    }
}
