//! What the machine may do, and when.

use mcp_fleet_core::{CallId, ClientId, Effect, LinkId, ServerState};

use super::{
    ReferenceState, aftermath,
    calls::Stage,
    pools::{Role, is_per_client},
};
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
            Effect::Open {
                server, replica, ..
            } => {
                self.links.open(self.now, link, server.as_str(), *replica)?;
                let pool = self.servers.get_mut(server.as_str());
                let member = pool.and_then(|pool| pool.members.get_mut(replica));
                promise!(member.is_some(), ALIVE, "{effect:?}");
                if let Some(member) = member {
                    member.slot = Some(link.server);
                }
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
                let pool = self.servers.get(&server);
                let member = pool.and_then(|pool| pool.of_slot(link.server));
                let wait = member.map(|member| member.kill_wait_min);
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
        let pool = self.servers.get(&server);
        let bounds = pool.and_then(|pool| pool.of_slot(link.server));
        let write_bytes = bounds.map_or(u64::MAX, |server| server.limits.write_bytes);
        let interval = bounds.map_or_else(Default::default, |server| server.interval_min);
        let in_flight_max = bounds.map_or(0, |server| server.limits.in_flight);
        let state = bounds.map_or(ServerState::Stopped, |server| server.state);
        let open = aftermath::is_open(state);
        // It may have got a call and begun to drain in one turn.
        let left = bounds.is_some_and(|member| member.left_ready);
        let state = if left { ServerState::Ready } else { state };
        let bounds_role = bounds.map(|member| member.role);
        let able = pool.is_some_and(|pool| pool.takes_calls() && !pool.may_spare());
        let Some(book) = self.links.get_mut(link) else {
            promise!(false, ALIVE, "{link:?} {frame:?}");
            return Ok(());
        };
        let pool = self.servers.get_mut(&server);
        if let Some(member) = pool.and_then(|pool| pool.of_slot_mut(link.server)) {
            member.probes.on_frame(self.now, link, frame, state);
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
        let (in_flight, _) = self.calls.count_at(&server, link.server);
        let early = bounds_role == Some(Role::Coming) && able;
        promise!(
            !early,
            "newcomers get no calls while the others take them",
            "{id:?}"
        );
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
        let name = self.slots.get(&link.server);
        let pool = name.and_then(|name| self.servers.get(name));
        let member = pool.and_then(|pool| pool.of_slot(link.server));
        let percent = member.map_or(0, |member| member.limits.retry_percent);
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
        let (client, owned) = (call.client, call.owned);
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
        let pool = self.servers.get(&call.server);
        if let Some(book) = pool.and_then(|pool| pool.of_slot(link.server)) {
            let spared = call.rounds == 0 && !book.vague && !book.breaker.lets_through(id);
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
        if first && let Some(pool) = self.servers.get_mut(&call.server) {
            pool.retries.earn(percent);
        }
        self.calls.move_to(id, Stage::Sent(link, request));
        if owned {
            self.judge_owner_of(id, link, client)?;
        }
        self.judge_turn(id)
    }

    /// The servers of one client get the calls of that client alone.
    fn judge_owner_of(
        &mut self,
        id: CallId,
        link: LinkId,
        client: Option<ClientId>,
    ) -> Result<(), Violation> {
        let name = self.slots.get(&link.server).cloned().unwrap_or_default();
        let Some(pool) = self.servers.get_mut(&name) else {
            return Ok(());
        };
        if !is_per_client(&pool.config) {
            return Ok(());
        }
        let mut members = pool.members.values_mut();
        let Some(member) = members.find(|member| member.slot == Some(link.server)) else {
            return Ok(());
        };
        let owner = *member.owner.get_or_insert(client);
        promise!(
            owner == client,
            "the server of one client gets no calls of another",
            "{id:?} of {client:?} goes to that of {owner:?}"
        );
        Ok(())
    }
}
