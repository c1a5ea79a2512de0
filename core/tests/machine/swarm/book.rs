//! What must hold after every turn, kept apart from the machine.

use std::collections::{BTreeMap, BTreeSet};

use mcp_fleet_core::{
    CallError, CallId, CommandId, Effect, Event, FleetStats, InputId, LinkId, Reply, Sent,
    ServerName, Signal,
    config::{FleetLimits, ServerConfig},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is kept of one frame.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) id: Option<u64>,
    pub(super) method: Option<String>,
    pub(super) call: Option<u64>,
    cancels: Option<u64>,
}

/// Reads a frame that the machine sent, which is one line and one message.
pub(super) fn frame_of(bytes: &[u8]) -> Frame {
    #[derive(Deserialize)]
    struct Message<'a> {
        jsonrpc: &'a str,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        method: Option<&'a str>,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let (newline, line) = bytes.split_last().unwrap();
    assert!(*newline == b'\n' && !line.contains(&b'\n'), "{bytes:?}");
    let message: Message<'_> = serde_json::from_slice(line).unwrap();
    assert_eq!(message.jsonrpc, "2.0");
    let number_after = |mark: &str| -> Option<u64> {
        let (_, rest) = message.params?.get().split_once(mark)?;
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    };
    Frame {
        id: message
            .method
            .and(message.id)
            .map(|id| id.get().parse().unwrap()),
        method: message.method.map(str::to_owned),
        call: number_after("\"n\":"),
        cancels: number_after("\"requestId\":"),
    }
}

#[derive(Default)]
struct LinkPage {
    over: bool,
    input_closed: bool,
    kills: u32,
    terminated: bool,
    handed: u64,
    wrote: u64,
    last_request: u64,
    greeted: bool,
    initializes: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
}

#[derive(Default)]
struct CallPage {
    ended: bool,
    /// Where its frames begin.
    frames: Vec<(LinkId, u64)>,
    rounds: usize,
    progress: Option<f64>,
}

#[derive(Default)]
pub(super) struct Book {
    links: BTreeMap<LinkId, LinkPage>,
    calls: BTreeMap<u64, CallPage>,
    /// Whether each command has ended.
    commands: BTreeMap<u64, bool>,
    inputs: BTreeMap<InputId, ServerName>,
    inputs_seen: u64,
    /// The widest limits each server was ever given: in flight, queue, questions.
    widest: BTreeMap<String, (usize, usize, usize)>,
    servers_max: usize,
    outcomes: u64,
    results: u64,
}

impl Book {
    pub(super) fn forbid(&mut self, limits: &FleetLimits) {
        self.servers_max = limits.servers;
    }

    pub(super) fn allow(&mut self, config: &ServerConfig) {
        let widest = self
            .widest
            .entry(config.name.as_str().to_owned())
            .or_default();
        widest.0 = widest.0.max(config.limits.in_flight);
        widest.1 = widest.1.max(config.limits.queue);
        widest.2 = widest.2.max(config.limits.inputs);
    }

    pub(super) fn on_command(&mut self, id: CommandId) {
        assert!(self.commands.insert(id.0, false).is_none());
    }

    pub(super) fn on_call(&mut self, call: CallId) {
        assert!(self.calls.insert(call.0, CallPage::default()).is_none());
    }

    /// The server of a call asks for input before it goes on.
    pub(super) fn on_round(&mut self, call: u64) {
        self.calls.get_mut(&call).unwrap().rounds += 1;
    }

    pub(super) fn on_answer(&mut self, input: InputId) {
        self.inputs.remove(&input);
    }

    pub(super) fn open_inputs(&self) -> Vec<InputId> {
        self.inputs.keys().copied().collect()
    }

    pub(super) fn on_signal(&mut self, signal: &Signal) {
        let Some(page) = self.links.get_mut(&signal.link()) else {
            return;
        };
        match signal {
            Signal::Wrote { bytes, .. } => page.wrote += bytes,
            Signal::Closed { .. } | Signal::OpenFailed { .. } => page.over = true,
            _ => {}
        }
        assert!(page.wrote <= page.handed);
    }

    pub(super) fn on_effect(&mut self, effect: &Effect) {
        let link = effect.link();
        if let Effect::Open { .. } = effect {
            let another = self
                .links
                .iter()
                .find(|(id, page)| id.server == link.server && (!page.over || **id >= link));
            assert!(
                another.is_none(),
                "{link:?} opened beside or before another"
            );
            self.links.insert(link, LinkPage::default());
            return;
        }
        let page = self.links.get_mut(&link).expect("an opened link");
        assert!(!page.over, "{effect:?} after its end");
        match effect {
            Effect::Open { .. } => {}
            Effect::Send { bytes, .. } => {
                assert!(
                    !page.input_closed && page.kills == 0,
                    "{effect:?} after the close"
                );
                let start = page.handed;
                page.handed += bytes.len() as u64;
                let frame = frame_of(bytes);
                page.on_frame(&frame);
                if let (Some(_), Some(call)) = (frame.id, frame.call) {
                    let call = self.calls.get_mut(&call).unwrap();
                    assert!(!call.ended, "sent after its end");
                    call.frames.push((link, start));
                    assert!(call.frames.len() <= 1 + call.rounds, "sent again unasked");
                    assert!(
                        call.frames.iter().all(|(on, _)| *on == link),
                        "sent to two lives"
                    );
                }
            }
            Effect::CloseInput { .. } => {
                assert!(!page.input_closed && page.kills == 0);
                page.input_closed = true;
            }
            Effect::Terminate { .. } => {
                assert!(page.input_closed && !page.terminated && page.kills == 0);
                page.terminated = true;
            }
            Effect::Kill { .. } => {
                page.kills += 1;
                assert!(page.kills <= 2);
            }
        }
    }

    pub(super) fn on_event(&mut self, event: &Event) {
        match event {
            Event::CommandEnded { id, outcome } => {
                let ended = self.commands.get_mut(&id.0).expect("a command");
                assert!(!std::mem::replace(ended, true), "{id:?} ended twice");
                if let Ok(Reply::Health(all)) = outcome {
                    assert!(all.is_sorted_by(|a, b| a.server < b.server));
                }
            }
            Event::CallEnded { call, outcome } => self.on_outcome(*call, outcome.as_ref().err()),
            Event::CallProgress { call, progress, .. } => {
                let page = self.calls.get_mut(&call.0).unwrap();
                assert!(!page.ended, "progress after the end");
                page.progress = Some(*progress);
            }
            Event::InputRequested { input, server, .. } => {
                assert!(input.0 > self.inputs_seen, "a question's id came twice");
                self.inputs_seen = input.0;
                self.inputs.insert(*input, server.clone());
                let open = self.inputs.values().filter(|of| *of == server).count();
                assert!(open <= self.widest[server.as_str()].2, "too many questions");
            }
            Event::InputWithdrawn { input } => {
                assert!(self.inputs.remove(input).is_some(), "nothing to withdraw");
            }
            _ => {}
        }
    }

    fn on_outcome(&mut self, id: CallId, error: Option<&CallError>) {
        self.outcomes += 1;
        self.results += u64::from(error.is_none());
        let page = self.calls.get_mut(&id.0).expect("a call");
        assert!(
            !std::mem::replace(&mut page.ended, true),
            "{id:?} ended twice"
        );
        let sent = match error {
            Some(
                CallError::TimedOut { sent, .. }
                | CallError::Cancelled { sent }
                | CallError::ServerGone { sent, .. },
            ) => *sent,
            Some(
                CallError::NotFound { .. }
                | CallError::Overloaded { .. }
                | CallError::Unavailable { .. }
                | CallError::InvalidRequest { .. }
                | CallError::ShuttingDown,
            ) => Sent::No,
            _ => Sent::Unknown,
        };
        let written = page
            .frames
            .iter()
            .any(|(link, start)| self.links[link].wrote > *start);
        assert!(
            sent == Sent::Unknown || !written,
            "{id:?} was written: {error:?}"
        );
        if sent == Sent::Unknown {
            assert!(!page.frames.is_empty(), "{id:?} was never sent: {error:?}");
        }
    }

    pub(super) fn check(&self, stats: &FleetStats) {
        assert!(stats.servers <= self.servers_max);
        for (name, own) in &stats.by_server {
            let (in_flight, queue, inputs) = self.widest[name.as_str()];
            assert!(own.in_flight <= in_flight, "{name} {own:?}");
            // Calls that come back from a round are taken whatever the queue.
            assert!(own.queued <= queue + inputs + in_flight, "{name} {own:?}");
            assert_eq!(own.calls, own.succeeded + own.errors.total());
        }
        assert_eq!(stats.total.calls, self.outcomes);
        assert_eq!(stats.total.succeeded, self.results);
        assert_eq!(stats.total.latency.count, self.results);
        assert_eq!(
            stats.total.calls,
            stats.total.succeeded + stats.total.errors.total()
        );
    }

    pub(super) fn finish(&self, stats: &FleetStats) {
        self.check(stats);
        assert_eq!((stats.total.queued, stats.total.in_flight), (0, 0));
        for (call, page) in &self.calls {
            assert!(page.ended, "call {call} has no outcome");
        }
        for (id, ended) in &self.commands {
            assert!(ended, "command {id} has no end");
        }
        assert!(self.inputs.is_empty(), "questions nobody withdrew");
    }
}

impl LinkPage {
    fn on_frame(&mut self, frame: &Frame) {
        if let Some(id) = frame.id {
            assert!(id > self.last_request, "id {id} was used before");
            self.last_request = id;
            let method = frame.method.as_deref().unwrap();
            if method == "initialize" {
                self.initializes.insert(id);
            }
            self.greeted |= ["server/discover", "initialize"].contains(&method);
            assert!(self.greeted, "{method} came first");
            assert!(
                self.initializes.len() <= 2,
                "the handshake goes round in a circle"
            );
        }
        if frame.method.as_deref() == Some("notifications/cancelled") {
            let id = frame.cancels.unwrap();
            assert!(id <= self.last_request && self.cancelled.insert(id));
            assert!(
                !self.initializes.contains(&id),
                "the handshake was cancelled"
            );
        }
    }
}
