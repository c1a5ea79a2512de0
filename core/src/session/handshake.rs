//! Which era a server speaks, and the opening of the session in it.
//!
//! MCP 2026-07-28, basic/versioning and basic/transports/stdio; MCP 2025-11-25, basic/lifecycle.

use super::{Agreement, Fault, Phase, Purpose, Session, Update};
use crate::{
    error::{Failure, RpcError},
    link::Outbox,
    wire::{
        Era, RawJson, Revision,
        bodies::{self, Introduction},
        frame,
    },
};

const HEADER_MISMATCH: i64 = -32020;
const MISSING_CAPABILITY: i64 = -32021;
const UNSUPPORTED_VERSION: i64 = -32022;

impl Session {
    /// Begins with the question that both eras survive.
    pub(crate) fn probe(&mut self, out: &mut Outbox) {
        self.send_probe(false, out);
    }

    /// Begins with the legacy handshake.
    pub(crate) fn initialize(&mut self, out: &mut Outbox) {
        self.send_initialize(Revision::LEGACY_NEWEST, false, out);
    }

    /// The probe got no answer in time: a legacy server may ignore what it does not know.
    pub(crate) fn on_probe_timeout(&mut self, out: &mut Outbox) {
        if let Phase::Probing { retried, .. } = self.phase {
            self.fall_back("no answer to `server/discover`", retried, out);
        }
    }

    /// Asks to hear of changed lists, where the server offers that.
    pub(crate) fn listen(&mut self, out: &mut Outbox) {
        let Phase::Open(agreement) = &self.phase else {
            return;
        };
        let offered = agreement.capabilities;
        let mut wanted = Vec::new();
        for (offered, member) in [
            (offered.tools_changed, "toolsListChanged"),
            (offered.prompts_changed, "promptsListChanged"),
            (offered.resources_changed, "resourcesListChanged"),
        ] {
            if offered {
                wanted.push(format!("\"{member}\":true"));
            }
        }
        if agreement.revision.era() == Era::Legacy || wanted.is_empty() || self.listen.is_some() {
            return;
        }
        let filter = format!("{{{}}}", wanted.join(","));
        let extra = [("notifications", filter.as_str())];
        let sent = self.request(
            "subscriptions/listen",
            None,
            &extra,
            Purpose::Listen,
            false,
            out,
        );
        self.listen = sent.ok();
    }

    pub(super) fn on_probe_answer(
        &mut self,
        answered: u64,
        outcome: Result<RawJson, Fault>,
        out: &mut Outbox,
    ) {
        match &mut self.phase {
            Phase::Probing { request, retried } if answered == *request => {
                let retried = *retried;
                self.settle_probe(outcome, retried, out);
            }
            // A question that was given up is answered while it is put again. What settles the era
            // is welcome; anything else is for the new one to say.
            Phase::Probing { retried, .. } => {
                let retried = *retried;
                match outcome.ok().and_then(|result| bodies::discover(&result)) {
                    Some(introduction) => self.choose(introduction, retried, out),
                    None => self.updates.push_back(Update::LateAnswer),
                }
            }
            Phase::Handshaking { late, .. } => {
                *late = outcome.ok().and_then(|result| bodies::discover(&result));
            }
            Phase::Open(_) | Phase::Silent | Phase::Over => {
                self.updates.push_back(Update::LateAnswer);
            }
        }
    }

    fn settle_probe(&mut self, outcome: Result<RawJson, Fault>, retried: bool, out: &mut Outbox) {
        match outcome {
            Ok(result) => match bodies::discover(&result) {
                Some(introduction) => self.choose(introduction, retried, out),
                None => {
                    let message = "the answer to `server/discover` is not one";
                    self.fall_back(message, retried, out);
                }
            },
            Err(Fault::Rpc(error)) if error.code == UNSUPPORTED_VERSION => {
                self.on_version_error(&error, retried, out);
            }
            Err(Fault::Rpc(error))
                if [HEADER_MISMATCH, MISSING_CAPABILITY].contains(&error.code) =>
            {
                self.fail(Failure::Handshake {
                    message: error.to_string(),
                });
            }
            // Whatever else it says, it does not know the question: no single code is the mark of
            // a legacy server.
            Err(Fault::Rpc(error)) => self.fall_back(&error.to_string(), retried, out),
            Err(Fault::Protocol(message)) => self.fall_back(&message, retried, out),
        }
    }

    /// Picks a revision of those a modern answer lists.
    fn choose(&mut self, introduction: Introduction, retried: bool, out: &mut Outbox) {
        match common(&introduction.versions) {
            Some(revision) if revision.era() == Era::Modern => {
                self.open(revision, introduction, out);
            }
            Some(revision) => self.send_initialize(revision, retried, out),
            None => self.fail(Failure::Incompatible {
                offered: introduction.versions,
            }),
        }
    }

    fn on_version_error(&mut self, error: &RpcError, retried: bool, out: &mut Outbox) {
        let offered = bodies::supported_versions(error.data.as_ref());
        match common(&offered) {
            Some(revision) if revision.era() == Era::Modern && !retried => {
                self.send_probe(true, out);
            }
            Some(revision) if revision.era() == Era::Legacy => {
                self.send_initialize(revision, retried, out);
            }
            Some(_) | None => self.fail(Failure::Incompatible { offered }),
        }
    }

    /// The probe came to nothing: the server is legacy, unless it named a modern revision before.
    /// Then it stays modern, and to go back and forth would never end.
    fn fall_back(&mut self, message: &str, retried: bool, out: &mut Outbox) {
        if retried {
            let message = message.to_owned();
            self.fail(Failure::Handshake { message });
        } else {
            self.send_initialize(Revision::LEGACY_NEWEST, false, out);
        }
    }

    pub(super) fn on_initialize_answer(
        &mut self,
        outcome: Result<RawJson, Fault>,
        out: &mut Outbox,
    ) {
        let Phase::Handshaking {
            offered,
            late,
            retried,
        } = std::mem::replace(&mut self.phase, Phase::Over)
        else {
            return;
        };
        let message = match outcome {
            Ok(result) => match bodies::initialized(&result) {
                Some(introduction) => return self.accept(introduction, out),
                None => "the answer to `initialize` is not one".to_owned(),
            },
            Err(Fault::Rpc(error)) => {
                if let Some(introduction) = late {
                    return self.choose_modern(introduction, &error, out);
                }
                let versions = bodies::supported_versions(error.data.as_ref());
                match common(&versions) {
                    Some(revision) if revision.era() == Era::Modern && !retried => {
                        return self.send_probe(true, out);
                    }
                    Some(revision) if revision != offered && !retried => {
                        return self.send_initialize(revision, true, out);
                    }
                    Some(_) => error.to_string(),
                    None if error.code == UNSUPPORTED_VERSION => {
                        return self.fail(Failure::Incompatible { offered: versions });
                    }
                    None => error.to_string(),
                }
            }
            Err(Fault::Protocol(message)) => message,
        };
        self.fail(Failure::Handshake { message });
    }

    /// The probe was answered after all, and `initialize` refused: the server is modern, and slow.
    fn choose_modern(&mut self, introduction: Introduction, refusal: &RpcError, out: &mut Outbox) {
        match common(&introduction.versions) {
            Some(revision) if revision.era() == Era::Modern => {
                self.open(revision, introduction, out);
            }
            Some(_) | None => self.fail(Failure::Handshake {
                message: refusal.to_string(),
            }),
        }
    }

    fn accept(&mut self, introduction: Introduction, out: &mut Outbox) {
        // A modern revision is never agreed on through `initialize`.
        match common(&introduction.versions) {
            Some(revision) if revision.era() == Era::Legacy => {
                self.link
                    .send(frame::notification("notifications/initialized", None), out);
                self.open(revision, introduction, out);
            }
            Some(_) | None => self.fail(Failure::Incompatible {
                offered: introduction.versions,
            }),
        }
    }

    fn open(&mut self, revision: Revision, introduction: Introduction, out: &mut Outbox) {
        let Introduction {
            capabilities,
            implementation,
            instructions,
            versions: _,
        } = introduction;
        self.phase = Phase::Open(Agreement {
            revision,
            capabilities,
            implementation,
            instructions,
        });
        self.updates.push_back(Update::Opened);
        self.listen(out);
    }

    fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Over;
        self.updates.push_back(Update::Failed(failure));
    }

    fn send_probe(&mut self, retried: bool, out: &mut Outbox) {
        let request = self.next_request;
        self.phase = Phase::Probing { request, retried };
        self.greet("server/discover", None, Purpose::Probe, out);
    }

    fn send_initialize(&mut self, offered: Revision, retried: bool, out: &mut Outbox) {
        self.phase = Phase::Handshaking {
            offered,
            late: None,
            retried,
        };
        let params = RawJson::from_valid(self.offer.initialize_params(offered));
        self.greet("initialize", Some(&params), Purpose::Initialize, out);
    }

    fn greet(
        &mut self,
        method: &str,
        params: Option<&RawJson>,
        purpose: Purpose,
        out: &mut Outbox,
    ) {
        if let Err(error) = self.request(method, params, &[], purpose, false, out) {
            let message = error.to_string();
            self.fail(Failure::Handshake { message });
        }
    }
}

/// The newest revision in `versions` that we speak too.
fn common(versions: &[String]) -> Option<Revision> {
    versions
        .iter()
        .filter_map(|version| Revision::from_wire(version))
        .max()
}
