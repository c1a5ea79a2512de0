//! What a server's own probes say of it.

use std::collections::BTreeMap;

use mcp_fleet_core::{LinkId, ServerState, Time, config::Probe, config::Probes};

use crate::{
    frame::Frame,
    server::Answer,
    violation::{Violation, promise},
};

const GATE: &str = "no server is ready before its startup probe succeeds";
const ROTATION: &str = "a server is out of rotation as long as its readiness probe fails";

/// The probes of one server, and what came of them in this incarnation.
#[derive(Debug)]
pub(super) struct ProbeBook {
    probes: Probes,
    /// Questions under way, and when they were put.
    startup: BTreeMap<(LinkId, u64), Time>,
    readiness: BTreeMap<(LinkId, u64), Time>,
    started: bool,
    /// Readiness probes in a row that failed, at most, and for certain.
    failed_max: u32,
    failed_min: u32,
    /// The readiness probe succeeded in this turn, or was exchanged.
    well: bool,
}

impl ProbeBook {
    pub(super) fn new(probes: &Probes) -> Self {
        Self {
            probes: probes.clone(),
            startup: BTreeMap::new(),
            readiness: BTreeMap::new(),
            started: false,
            failed_max: 0,
            failed_min: 0,
            well: false,
        }
    }

    pub(super) fn retune(&mut self, probes: &Probes) {
        if self.probes.startup != probes.startup {
            self.startup.clear();
        }
        if self.probes.readiness != probes.readiness {
            self.readiness.clear();
            self.failed_max = 0;
            // Another question: what the one before said is void.
            self.well = true;
        }
        self.failed_min = 0;
        self.probes = probes.clone();
    }

    pub(super) const fn begin_turn(&mut self) {
        self.well = false;
    }

    /// More time went by than anybody could have been asked in.
    pub(super) const fn on_leap(&mut self) {
        self.failed_min = 0;
    }

    pub(super) fn on_frame(&mut self, now: Time, link: LinkId, frame: &Frame, state: ServerState) {
        if let Some(request) = frame.cancels {
            let waited = self.readiness.remove(&(link, request)).is_some();
            self.failed_max += u32::from(waited);
            self.startup.remove(&(link, request));
        }
        let Some(request) = frame.id else { return };
        if state == ServerState::Warming && is_question(&self.probes.startup, frame) {
            self.startup.insert((link, request), now);
        }
        // `ping` could be a question of anybody.
        if matches!(self.probes.readiness, Probe::Tool(_))
            && is_question(&self.probes.readiness, frame)
        {
            self.readiness.insert((link, request), now);
        }
    }

    pub(super) fn on_answer(&mut self, link: LinkId, request: u64, answer: &Answer) {
        if self.startup.remove(&(link, request)).is_some() {
            self.started |= is_well(&self.probes.startup, answer);
        }
        if self.readiness.remove(&(link, request)).is_some() {
            if is_well(&self.probes.readiness, answer) {
                self.well = true;
                (self.failed_max, self.failed_min) = (0, 0);
            } else {
                self.failed_max += 1;
                self.failed_min += 1;
            }
        }
    }

    pub(super) fn enter(
        &mut self,
        before: ServerState,
        state: ServerState,
        failures: u32,
    ) -> Result<(), Violation> {
        match state {
            ServerState::Starting => {
                self.started = false;
                self.startup.clear();
                self.readiness.clear();
            }
            ServerState::Ready if before == ServerState::Unready => {
                let known = matches!(self.probes.readiness, Probe::Tool(_));
                promise!(!known || self.well, ROTATION, "{self:?}");
            }
            ServerState::Ready => {
                let open = self.probes.startup == Probe::None
                    || self.started && before == ServerState::Warming;
                promise!(open, GATE, "{self:?} after {before}");
                (self.failed_max, self.failed_min) = (0, 0);
            }
            ServerState::Unready => {
                let waited = u32::from(!self.readiness.is_empty());
                let known = matches!(self.probes.readiness, Probe::Tool(_));
                let enough = !known || self.failed_max + waited >= failures;
                promise!(enough, ROTATION, "{self:?} of {failures}");
                promise!(self.probes.readiness != Probe::None, ROTATION, "{self:?}");
            }
            _ => {}
        }
        Ok(())
    }

    /// What must hold at the end of a turn.
    pub(super) fn compare(&self, state: ServerState, failures: u32) -> Result<(), Violation> {
        let warm = state == ServerState::Warming && self.started;
        promise!(!warm, GATE, "still warming: {self:?}");
        let back = state == ServerState::Unready && self.well;
        promise!(!back, ROTATION, "still unready: {self:?}");
        let out = state != ServerState::Ready || self.failed_min < failures.max(1);
        promise!(out, ROTATION, "still ready: {self:?} of {failures}");
        Ok(())
    }
}

fn is_question(probe: &Probe, frame: &Frame) -> bool {
    match probe {
        Probe::None => false,
        Probe::Ping => {
            let method = frame.method.as_deref();
            method == Some("ping") || method == Some("server/discover")
        }
        Probe::Tool(name) => frame.tool.as_ref() == Some(name),
    }
}

fn is_well(probe: &Probe, answer: &Answer) -> bool {
    match answer {
        Answer::Result(text) => !text.contains("\"isError\":true"),
        Answer::Error(code) => *probe == Probe::Ping && *code == -32601,
        Answer::Broken | Answer::Vain | Answer::Round { .. } => false,
    }
}
