//! What the session tells, and what follows from it.

use super::{Context, Server, state::State, timers::Timer};
use crate::{
    event::{CatalogKind, Event},
    session::{Fault, Purpose, Update},
    time::Time,
    wire::RawJson,
};

impl Server {
    /// Brings everything in order after something moved: updates, calls, lists, waiters.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) {
        while let Some(update) = self
            .state
            .live_mut()
            .and_then(|live| live.session.poll_update())
        {
            self.on_update(cx, update);
        }
        self.sync_stage(cx);
        self.wake_for_calls(cx);
        self.ask_startup(cx);
        self.ask_readiness(cx);
        self.dispatch(cx);
        self.read_lists(cx);
        self.finish_drain(cx);
    }

    fn on_update(&mut self, cx: &mut Context<'_>, update: Update) {
        match update {
            Update::Opened => self.sync_stage(cx),
            Update::Failed(failure) => self.on_session_failed(cx, failure),
            Update::Answered {
                request,
                purpose,
                outcome,
            } => {
                self.on_answered(cx, request, purpose, outcome);
            }
            Update::Progress {
                call,
                progress,
                total,
                message,
            } => {
                if self.on_progress(cx.now, call, progress) {
                    cx.out.event(Event::CallProgress {
                        call,
                        progress,
                        total,
                        message,
                    });
                }
            }
            Update::Asked { id, question } => self.on_asked(cx, id, question),
            Update::Withdrawn { id } => self.on_withdrawn(cx, &id),
            Update::ListChanged(kind) => {
                if self.is_ready() {
                    self.catalog.on_changed(cx.now, kind, &self.limits);
                }
            }
            Update::ListenEnded => {
                if matches!(self.state, State::Warming(_) | State::Ready(_)) {
                    self.timers
                        .arm(Timer::Listen, cx.now.after(self.limits.refresh_interval));
                }
            }
            Update::Notified { method, params } => {
                cx.out.event(Event::Notified {
                    server: self.name.clone(),
                    method,
                    params,
                });
            }
            Update::LateAnswer => self.meter.counts.late_answers += 1,
            Update::Noise(line) => {
                self.meter.counts.noise_lines += 1;
                self.log.push(b"stdout: ");
                self.log.push(&line);
                self.log.push(b"\n");
            }
            Update::Violation(message) => self.violation(cx, message),
        }
    }

    fn on_answered(
        &mut self,
        cx: &mut Context<'_>,
        request: u64,
        purpose: Purpose,
        outcome: Result<RawJson, Fault>,
    ) {
        self.disarm_request(request);
        match purpose {
            Purpose::Probe | Purpose::Initialize | Purpose::Listen => {}
            Purpose::Call(call) => self.on_call_answered(cx, call, outcome),
            Purpose::Page(kind) => self.on_page(cx, kind, outcome),
            Purpose::Health => self.on_check_answered(cx, request, outcome),
        }
    }

    /// A request of the machine's own was not answered in time.
    pub(super) fn on_request_due(&mut self, cx: &mut Context<'_>, request: u64) {
        let after = self.limits.request_timeout;
        let due = self.request_due.remove(&request).unwrap_or(cx.now);
        let Some(live) = self.state.live_mut() else {
            return;
        };
        let reason = format!("no answer within {after:?}");
        let Some(purpose) = live.session.cancel(request, &reason, cx.out) else {
            return;
        };
        match purpose {
            Purpose::Page(kind) => self.on_page(cx, kind, Err(Fault::Protocol(reason))),
            Purpose::Health => self.on_check_due(cx, request, due, reason),
            Purpose::Probe | Purpose::Initialize | Purpose::Listen | Purpose::Call(_) => {}
        }
    }

    fn on_page(
        &mut self,
        cx: &mut Context<'_>,
        kind: CatalogKind,
        outcome: Result<RawJson, Fault>,
    ) {
        if let Some(entries) = self.catalog.on_page(cx.now, kind, outcome, &self.limits) {
            let server = self.name.clone();
            cx.out.event(Event::CatalogChanged {
                server,
                kind,
                entries,
            });
        }
    }

    /// Asks for the pages that are due.
    fn read_lists(&mut self, cx: &mut Context<'_>) {
        let State::Ready(live) = &mut self.state else {
            return;
        };
        self.catalog.wake(cx.now);
        let mut asked = Vec::new();
        while live.session.link.has_credit()
            && let Some((kind, cursor)) = self.catalog.next_page()
        {
            let params = cursor.map(|cursor| {
                RawJson::from_valid(format!(
                    "{{\"cursor\":{}}}",
                    serde_json::Value::from(cursor)
                ))
            });
            let purpose = Purpose::Page(kind);
            let sent =
                live.session
                    .request(kind.method(), params.as_ref(), &[], purpose, false, cx.out);
            asked.extend(sent.ok());
        }
        for request in asked {
            self.arm_request(cx.now, request);
        }
        if !self.catalog.wants_page() {
            self.timers.disarm(Timer::Page);
        } else if !self.timers.is_armed(Timer::Page) {
            let due = cx.now.after(self.limits.request_timeout);
            self.timers.arm(Timer::Page, due);
        }
    }

    /// A server that does not read cannot be asked for its lists, and who waits for one is told.
    pub(super) fn on_page_due(&mut self, now: Time) {
        let after = self.limits.request_timeout;
        let problem = format!("the server did not read its input for {after:?}");
        self.catalog.give_up_asking(now, &problem, &self.limits);
    }

    /// A draining server whose calls have ended steps onto the close ladder.
    fn finish_drain(&mut self, cx: &mut Context<'_>) {
        if let State::Draining(_, after) = &self.state {
            let after = after.clone();
            if !after.is_temporary() {
                self.refuse_parked(cx, None);
            }
            if self.calls.none_begun() {
                self.begin_close(cx, after);
            }
        }
    }
}
