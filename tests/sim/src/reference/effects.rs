//! What the machine may do, and when.

use mcp_fleet_core::{CallId, Effect, LinkId, ServerState};

use super::{ReferenceState, aftermath, calls::Stage};
use crate::{
    frame::Frame,
    violation::{Violation, promise},
};

const ONCE: &str = "no call is sent twice";
const ALIVE: &str = "no effect for a life that is over";

impl ReferenceState {
    pub(super) fn on_effect(&mut self, effect: &Effect) -> Result<(), Violation> {
        let link = effect.link();
        match effect {
            Effect::Open { server, .. } => {
                self.links.open(self.now, link, server.as_str())?;
                self.slots.insert(link.server, server.as_str().to_owned());
                Ok(())
            }
            Effect::Send { bytes, .. } => {
                let frame = Frame::read(bytes).map_err(|problem| {
                    Violation::new("a frame is one line and one message", problem)
                })?;
                self.on_frame(link, bytes.len() as u64, &frame)
            }
            Effect::CloseInput { .. }
            | Effect::Terminate { .. }
            | Effect::Kill { .. }
            | Effect::Abandon { .. } => {
                let now = self.now;
                let server = self.slots.get(&link.server).cloned().unwrap_or_default();
                let wait = self.servers.get(&server).map(|server| server.kill_wait_min);
                let book = self.links.get_mut(link);
                promise!(book.is_some(), ALIVE, "{effect:?}");
                book.map_or(Ok(()), |book| {
                    book.on_rung(now, effect, wait.unwrap_or_default())
                })
            }
        }
    }

    fn on_frame(&mut self, link: LinkId, length: u64, frame: &Frame) -> Result<(), Violation> {
        let server = self.slots.get(&link.server).cloned().unwrap_or_default();
        let bounds = self.servers.get(&server);
        let write_bytes = bounds.map_or(u64::MAX, |server| server.limits.write_bytes);
        let interval = bounds.map_or_else(Default::default, |server| server.interval_min);
        let in_flight_max = bounds.map_or(0, |server| server.limits.in_flight);
        let state = bounds.map_or(ServerState::Stopped, |server| server.state);
        let open = aftermath::is_open(state);
        let Some(book) = self.links.get_mut(link) else {
            promise!(false, ALIVE, "{link:?} {frame:?}");
            return Ok(());
        };
        if let Some(server) = self.servers.get_mut(&server) {
            server.probes.on_frame(self.now, link, frame, state);
        }
        let start = book.on_frame(self.now, length, frame, write_bytes, interval, open)?;
        if let Some(request) = frame.cancels {
            self.notices.remove(&(link, request));
            let call = self.calls.in_flight.get(&(link, request));
            promise!(
                call.is_none(),
                "a call that goes on is not taken back",
                "{call:?}"
            );
        }
        let (Some(request), Some(call)) = (frame.id, frame.call) else {
            return Ok(());
        };
        let id = CallId(call);
        let (_, in_flight) = self.calls.count(&server);
        promise!(
            in_flight < in_flight_max,
            "calls in flight are bounded",
            "{id:?} beside {in_flight} of {in_flight_max}"
        );
        self.on_call_sent(id, link, request, start, state)
    }

    fn on_call_sent(
        &mut self,
        id: CallId,
        link: LinkId,
        request: u64,
        start: u64,
        state: ServerState,
    ) -> Result<(), Violation> {
        let now = self.now;
        let ended = self.calls.ended.contains(&id);
        let Some(call) = self.calls.open.get_mut(&id) else {
            promise!(
                false,
                ONCE,
                "{id:?} is sent, and {}",
                if ended { "over" } else { "unknown" }
            );
            return Ok(());
        };
        promise!(call.is_parked(), ONCE, "{call:?}");
        promise!(
            call.frames.len() as u64 == u64::from(call.rounds),
            ONCE,
            "{call:?}"
        );
        promise!(
            call.frames.iter().all(|(on, _)| *on == link),
            ONCE,
            "{call:?} on {link:?}"
        );
        let open = state == ServerState::Ready
            || matches!(state, ServerState::Draining | ServerState::Unready) && !call.is_fresh();
        promise!(
            open,
            "calls go to servers that take them",
            "{id:?} while {state}"
        );
        if let Some(book) = self.servers.get(&call.server) {
            let spared = call.rounds == 0 && !book.breaker.lets_through(id);
            promise!(
                !spared,
                "an open breaker sends nothing, a half-open one a single call",
                "{id:?}: {:?}",
                book.breaker
            );
            call.period = book.breaker.period();
            call.incarnation = Some(link.incarnation);
        }
        call.frames.push((link, start));
        let first = !std::mem::replace(&mut call.tried, true);
        // Each request has a token of its own, and its progress begins anew.
        call.progress = None;
        if call.rounds > 0 {
            call.start_anew(now);
        }
        if first && let Some(server) = self.servers.get_mut(&call.server) {
            server.retries.earn(server.limits.retry_percent);
        }
        self.calls.move_to(id, Stage::Sent(link, request));
        self.judge_turn(id)
    }
}
