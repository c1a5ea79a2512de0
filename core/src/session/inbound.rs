//! What the server says: lines to messages, messages to updates.

use std::cmp::Ordering;

use bytes::Bytes;

use super::{Decision, Fault, Phase, Purpose, Session, Update, decide};
use crate::{
    error::Failure,
    event::CatalogKind,
    link::Outbox,
    planted::{Bug, planted},
    wire::{
        Era, Id, Malformed, Message, RawJson, Revision, Violation,
        bodies::{self, Question},
        message,
    },
};

impl Session {
    /// Takes any part of the server's output. What it means is in [`Session::poll_update`].
    pub(crate) fn on_bytes(&mut self, bytes: Bytes, out: &mut Outbox) {
        self.link.on_bytes(bytes);
        while let Some(line) = self.link.next_line() {
            match line {
                Ok(line) => self.on_line(line, out),
                Err(too_long) => {
                    let message = too_long.to_string();
                    self.updates
                        .push_back(Update::Failed(Failure::Protocol { message }));
                }
            }
        }
    }

    /// The output ended. A last message without a line break counts; a part of one is dropped,
    /// because it may hold what no log should show.
    pub(crate) fn on_eof(&mut self, out: &mut Outbox) {
        if let Some(Ok(line)) = self.link.last_line()
            && let Ok(message) = message::read(line)
        {
            self.on_message(message, out);
        }
    }

    fn on_line(&mut self, line: Bytes, out: &mut Outbox) {
        match message::read(line.clone()) {
            Ok(message) => self.on_message(message, out),
            Err(Malformed {
                violation: Violation::Batch,
                ..
            }) if self.takes_batches() => {
                self.on_batch(&line, out);
            }
            Err(malformed) if malformed.violation.is_noise() => self.on_noise(line),
            Err(malformed) => self.on_malformed(malformed, out),
        }
    }

    /// JSON-RPC batches exist in one revision only (MCP 2025-03-26, basic, "Batching").
    const fn takes_batches(&self) -> bool {
        match self.agreement() {
            Some(agreement) => matches!(agreement.revision, Revision::V2025_03_26),
            None => false,
        }
    }

    fn on_batch(&mut self, line: &Bytes, out: &mut Outbox) {
        match message::split_batch(line, self.batch_max) {
            Ok(entries) => {
                for entry in entries {
                    match message::read(entry) {
                        Ok(message) => self.on_message(message, out),
                        Err(malformed) => self.on_malformed(malformed, out),
                    }
                }
            }
            Err(violation) => self.violation(violation.to_string()),
        }
    }

    fn on_noise(&mut self, line: Bytes) {
        self.noise_in_a_row += 1;
        if self.noise_in_a_row > self.noise_lines_max {
            let message = format!(
                "{} lines in a row on standard output are not JSON-RPC messages",
                self.noise_in_a_row
            );
            self.updates
                .push_back(Update::Failed(Failure::Protocol { message }));
        }
        self.updates.push_back(Update::Noise(line));
    }

    /// A malformed answer ends its request; nothing malformed is ever answered, because servers
    /// that log to standard output would answer back.
    fn on_malformed(&mut self, malformed: Malformed, out: &mut Outbox) {
        let message = malformed.violation.to_string();
        let request = malformed
            .id
            .as_ref()
            .filter(|_| malformed.answer)
            .and_then(Id::number);
        if let Some(request) = request {
            self.on_answer(request, Err(Fault::Protocol(message.clone())), out);
        }
        self.violation(message);
    }

    fn on_message(&mut self, message: Message, out: &mut Outbox) {
        self.noise_in_a_row = 0;
        match message {
            Message::Response { id, outcome } => match id.number() {
                Some(request) => self.on_answer(request, outcome.map_err(Fault::Rpc), out),
                None => self.violation(format!("answers id {}, which was never used", id.as_str())),
            },
            Message::Request { id, method, params } => {
                self.on_request(id, &method, params, out);
            }
            Message::Notification { method, params } => {
                self.on_notification(&method, params);
            }
        }
    }

    fn on_answer(&mut self, request: u64, outcome: Result<RawJson, Fault>, out: &mut Outbox) {
        let Some(pending) = self.requests.remove(&request) else {
            if let Some(place) = self.abandoned.iter().position(|id| *id == request) {
                self.abandoned.remove(place);
                self.updates.push_back(Update::LateAnswer);
            } else {
                self.violation(format!("answers id {request}, which waits for no answer"));
            }
            return;
        };
        match pending.purpose {
            Purpose::Probe => self.on_probe_answer(request, outcome, out),
            Purpose::Initialize => self.on_initialize_answer(outcome, out),
            Purpose::Listen => {
                self.listen = None;
                if outcome.is_ok() {
                    self.updates.push_back(Update::ListenEnded);
                }
            }
            purpose @ (Purpose::Call(_) | Purpose::Page(_) | Purpose::Health) => {
                self.updates.push_back(Update::Answered {
                    request,
                    purpose,
                    outcome,
                });
            }
        }
    }

    fn on_request(&mut self, id: Id, method: &str, params: Option<RawJson>, out: &mut Outbox) {
        if self.era() == Some(Era::Modern) {
            // MCP 2026-07-28, basic/patterns: servers send no requests, clients no responses.
            self.violation(format!("sent a request ({method}) in a modern session"));
            return;
        }
        if method == "ping" {
            self.answer(&id, Ok(&RawJson::empty_object()), out);
            return;
        }
        match decide(method, params.as_ref(), &self.offer) {
            Decision::Ask => {
                let question = Question {
                    method: method.to_owned(),
                    params,
                };
                self.updates.push_back(Update::Asked { id, question });
            }
            Decision::Answer(answer) => self.answer(&id, Ok(&answer), out),
            Decision::Refuse(error) => self.answer(&id, Err(&error), out),
        }
    }

    fn on_notification(&mut self, method: &str, params: Option<RawJson>) {
        match method {
            "notifications/progress" => self.on_progress(params.as_ref()),
            "notifications/cancelled" => self.on_cancelled(params.as_ref()),
            "notifications/tools/list_changed" => {
                self.on_list_changed(&[CatalogKind::Tools], params.as_ref());
            }
            "notifications/prompts/list_changed" => {
                self.on_list_changed(&[CatalogKind::Prompts], params.as_ref());
            }
            "notifications/resources/list_changed" => {
                let kinds = [CatalogKind::Resources, CatalogKind::Templates];
                self.on_list_changed(&kinds, params.as_ref());
            }
            "notifications/subscriptions/acknowledged" => {}
            other => {
                let method = other.to_owned();
                self.updates.push_back(Update::Notified { method, params });
            }
        }
    }

    /// Reports that are not for a request in flight, or do not grow, are dropped.
    fn on_progress(&mut self, params: Option<&RawJson>) {
        let Some(body) = params
            .and_then(|params| serde_json::from_str::<bodies::Progress<'_>>(params.as_str()).ok())
        else {
            return self.violation("sent progress that cannot be read".to_owned());
        };
        let token = body.progress_token.get().trim_matches('"');
        let pending = token
            .parse()
            .ok()
            .and_then(|id: u64| self.requests.get_mut(&id));
        let Some((pending, last)) =
            pending.and_then(|pending| pending.progress.map(|last| (pending, last)))
        else {
            return;
        };
        let grows = body.progress.partial_cmp(&last) == Some(Ordering::Greater);
        if !grows && !planted(Bug::ProgressNotGrowing) {
            return self.violation("sent progress that does not grow".to_owned());
        }
        pending.progress = Some(body.progress);
        match pending.purpose {
            Purpose::Call(call) => self.updates.push_back(Update::Progress {
                call,
                progress: body.progress,
                total: body.total,
                message: body.message,
            }),
            Purpose::Probe
            | Purpose::Initialize
            | Purpose::Page(_)
            | Purpose::Health
            | Purpose::Listen => {}
        }
    }

    fn on_cancelled(&mut self, params: Option<&RawJson>) {
        let Some(body) = params
            .and_then(|params| serde_json::from_str::<bodies::Cancelled<'_>>(params.as_str()).ok())
        else {
            return;
        };
        let raw = body.request_id.get();
        if self.listen.is_some() && raw.parse().ok() == self.listen {
            // A subscription may end so instead of by a result (MCP 2026-07-28, cancellation).
            if let Some(request) = self.listen.take() {
                self.requests.remove(&request);
                self.remember_abandoned(request);
                self.updates.push_back(Update::ListenEnded);
            }
        } else if let Ok(id) = serde_json::from_str(raw) {
            self.updates.push_back(Update::Withdrawn { id });
        }
    }

    fn on_list_changed(&mut self, kinds: &[CatalogKind], params: Option<&RawJson>) {
        let modern = self.era() == Some(Era::Modern);
        if modern && (self.listen.is_none() || bodies::subscription(params) != self.listen) {
            self.violation("sent list_changed outside a subscription".to_owned());
        }
        if matches!(self.phase, Phase::Open(_)) {
            for kind in kinds {
                self.updates.push_back(Update::ListChanged(*kind));
            }
        }
    }

    fn violation(&mut self, message: String) {
        self.updates.push_back(Update::Violation(message));
    }
}
