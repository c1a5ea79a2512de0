//! The questions that tell whether a server is well: who asks, and what an answer says.

use std::time::Duration;

use super::{Context, Server, state::State};
use crate::{
    config::Probe,
    event::{Health, ServerState},
    ids::CommandId,
    link::Note,
    session::{Fault, Purpose},
    time::Time,
    wire::{
        Era, RawJson,
        bodies::{self, Outcome},
        params,
    },
};

const METHOD_NOT_FOUND: i64 = -32601;
/// Least time between two questions of the same kind.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// A question under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    asker: Asker,
    asked: Time,
}

/// Who wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    Command(CommandId),
    Startup,
    Readiness,
    Liveness,
}

/// What a question came to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Finding {
    Well,
    /// It lives, and is not well.
    Unwell(String),
    /// No answer that could be read.
    Nothing(String),
}

impl Server {
    /// Asks the server whether it answers; what came of it is a note. A server that does not read
    /// is not asked: the questions would pile up before it.
    pub(crate) fn check(&mut self, cx: &mut Context<'_>, command: CommandId) {
        let problem = match &self.state {
            State::Ready(_) if self.checks.len() >= self.limits.waiting => {
                "has too many health checks under way".to_owned()
            }
            State::Ready(live) if !live.session.link.has_credit() => {
                "does not read its input".to_owned()
            }
            State::Ready(_) => match self.ask_after(cx, Asker::Command(command)) {
                Ok(()) => return,
                Err(problem) => problem,
            },
            State::Backoff(failure) | State::Failed(failure) => failure.to_string(),
            State::Waiting(wait) => format!("waits for {}", wait.waiting_for()),
            State::Stopped
            | State::Asleep
            | State::Starting(_)
            | State::Probing(_)
            | State::Handshaking(_)
            | State::Warming(_)
            | State::Draining(..)
            | State::Closing(_) => {
                let why = self.unwell().map(|why| format!(": {why}"));
                format!("is {}{}", self.state.word(), why.unwrap_or_default())
            }
        };
        let health = self.health(None, Some(problem));
        cx.out.note(Note::Checked(command, health));
    }

    /// A question was answered.
    pub(super) fn on_check_answered(
        &mut self,
        cx: &mut Context<'_>,
        request: u64,
        outcome: Result<RawJson, Fault>,
    ) {
        let Some(check) = self.checks.remove(&request) else {
            return;
        };
        let era = self.state.live().and_then(|live| live.session.era());
        let finding = judge(self.question(check.asker), era, outcome);
        self.on_found(cx, check, finding);
    }

    /// A question was to be answered at `due`, and was not.
    pub(super) fn on_check_due(
        &mut self,
        cx: &mut Context<'_>,
        request: u64,
        due: Time,
        reason: String,
    ) {
        let Some(check) = self.checks.remove(&request) else {
            return;
        };
        let interval = match check.asker {
            Asker::Command(_) | Asker::Startup => Duration::MAX,
            Asker::Readiness => self.limits.readiness_interval.max(INTERVAL_MIN),
            Asker::Liveness => self.limits.health_interval,
        };
        // After a suspension of the host nobody had the time to answer.
        if cx.now.since(due) <= interval {
            self.on_found(cx, check, Finding::Nothing(reason));
        }
    }

    /// Ends the checks that were under way in a session that is over.
    pub(super) fn lose_checks(&mut self, cx: &mut Context<'_>) {
        for check in std::mem::take(&mut self.checks).into_values() {
            if let Asker::Command(command) = check.asker {
                let mut health = self.health(None, Some("ended before it answered".to_owned()));
                health.state = ServerState::Closing;
                cx.out.note(Note::Checked(command, health));
            }
        }
    }

    /// Puts the question of `asker` to a server whose session is open.
    pub(super) fn ask_after(&mut self, cx: &mut Context<'_>, asker: Asker) -> Result<(), String> {
        let question = self.question(asker).clone();
        let (State::Warming(live) | State::Ready(live)) = &mut self.state else {
            return Ok(());
        };
        let (method, params) = match &question {
            Probe::None => return Ok(()),
            Probe::Ping => match live.session.era() {
                Some(Era::Modern) => ("server/discover", None),
                Some(Era::Legacy) | None => ("ping", None),
            },
            Probe::Tool(name) => {
                let params = RawJson::from_valid(params::tool_call(name, None));
                ("tools/call", Some(params))
            }
        };
        let request = live
            .session
            .request(method, params.as_ref(), &[], Purpose::Health, false, cx.out)
            .map_err(|error| error.to_string())?;
        let asked = cx.now;
        self.checks.insert(request, Check { asker, asked });
        self.arm_request(cx.now, request);
        Ok(())
    }

    /// Whether a question of `asker` waits for its answer.
    pub(super) fn is_asked(&self, asker: Asker) -> bool {
        self.checks.values().any(|check| check.asker == asker)
    }

    /// Whatever answers the questions of `asker` under way, it is of no interest.
    pub(super) fn forget_checks(&mut self, asker: Asker) {
        self.checks.retain(|_, check| check.asker != asker);
    }

    const fn question(&self, asker: Asker) -> &Probe {
        match asker {
            Asker::Command(_) => &Probe::Ping,
            Asker::Startup => &self.probes.startup,
            Asker::Readiness => &self.probes.readiness,
            Asker::Liveness => &self.probes.liveness,
        }
    }

    fn on_found(&mut self, cx: &mut Context<'_>, check: Check, finding: Finding) {
        match (check.asker, finding) {
            (Asker::Command(command), Finding::Nothing(problem)) => {
                let health = self.health(None, Some(problem));
                cx.out.note(Note::Checked(command, health));
            }
            // An error is an answer too.
            (Asker::Command(command), Finding::Well | Finding::Unwell(_)) => {
                let problem = self.unwell().map(|why| format!("gets no new calls: {why}"));
                let health = self.health(Some(cx.now.since(check.asked)), problem);
                cx.out.note(Note::Checked(command, health));
            }
            (Asker::Startup, Finding::Well) => self.become_ready(cx),
            (Asker::Startup, Finding::Unwell(problem) | Finding::Nothing(problem)) => {
                self.startup.on_unwell(problem);
            }
            (Asker::Readiness, Finding::Well) => self.on_well(cx),
            (Asker::Readiness, Finding::Unwell(problem) | Finding::Nothing(problem)) => {
                self.on_unwell(cx, problem);
            }
            (Asker::Liveness, Finding::Nothing(_)) => self.on_missed(cx, check.asked),
            (Asker::Liveness, Finding::Well | Finding::Unwell(_)) => {}
        }
    }

    fn health(&self, latency: Option<Duration>, problem: Option<String>) -> Health {
        Health {
            server: self.name.clone(),
            replica: self.replica,
            state: self.state.word(),
            breaker: self.breaker.state(),
            latency,
            problem,
        }
    }
}

/// What an answer to this question says of the server.
fn judge(question: &Probe, era: Option<Era>, outcome: Result<RawJson, Fault>) -> Finding {
    let result = match outcome {
        Ok(result) => result,
        Err(Fault::Protocol(message)) => return Finding::Nothing(message),
        // It answers, though it does not know the question.
        Err(Fault::Rpc(error)) if *question == Probe::Ping && error.code == METHOD_NOT_FOUND => {
            return Finding::Well;
        }
        Err(Fault::Rpc(error)) => return Finding::Unwell(error.to_string()),
    };
    let Probe::Tool(name) = question else {
        return Finding::Well;
    };
    if era == Some(Era::Modern) {
        match bodies::outcome(&result) {
            Ok(Outcome::Complete) => {}
            Ok(Outcome::InputRequired(_)) => {
                return Finding::Unwell(format!("{name} asks for input"));
            }
            Ok(Outcome::Unknown(kind)) => {
                return Finding::Unwell(format!("the result of {name} is of type {kind:?}"));
            }
            Err(message) => return Finding::Unwell(message),
        }
    }
    if bodies::is_error(&result) {
        Finding::Unwell(format!("{name} failed"))
    } else {
        Finding::Well
    }
}
