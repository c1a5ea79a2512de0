//! What a scripted server answers.

use mcp_fleet_core::Time;

use super::{Answer, Deed, Heard, Meaning, ScriptedServer, is_greeting};
use crate::{client::REPEATABLE, fault::Fault, plan::Faults};

/// The annotation of a tool that changes nothing.
pub(crate) const VOUCHER: &str = "readOnlyHint";
const CAPABILITIES: &str =
    r#"{"tools":{"listChanged":true},"resources":{},"prompts":{"listChanged":true}}"#;

impl ScriptedServer {
    pub(super) fn reply(&mut self, now: Time, heard: Heard, faults: &mut Faults) {
        let id = heard.id;
        self.answered.push(id);
        if is_greeting(&heard.method) && self.greets_oddly(&heard, faults) {
            return;
        }
        match (self.modern, heard.method.as_str()) {
            (true, "server/discover") => self.say_result(
                id,
                format!(
                    r#"{{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{CAPABILITIES}}}"#
                ),
            ),
            (false, "initialize") => {
                let revision = self.revision;
                self.say_result(
                    id,
                    format!(
                        r#"{{"protocolVersion":"{revision}","capabilities":{CAPABILITIES},"serverInfo":{{"name":"n","version":"1"}}}}"#
                    ),
                );
            }
            (true, "initialize") | (false, "server/discover") => self.say_error(id, -32601),
            (_, list) if list.ends_with("/list") => self.say_page(&heard, faults),
            (_, "subscriptions/listen" | "ping") => self.say_result(id, "{}".to_owned()),
            _ if heard.tool.is_some() => self.answer_probe(id, faults),
            _ if now < self.sick_until => self.say_error(id, -32603),
            _ => self.answer_call(now, heard, faults),
        }
    }

    /// `true` where it spoiled the greeting.
    fn greets_oddly(&mut self, heard: &Heard, faults: &Faults) -> bool {
        let id = heard.id;
        if faults.have_stopped() {
            return false;
        }
        if self.habits.strange_revision {
            let text = if heard.method == "initialize" {
                r#"{"protocolVersion":"1999-01-01","capabilities":{}}"#
            } else {
                r#"{"supportedVersions":["1999-01-01"],"capabilities":{}}"#
            };
            self.say_result(id, text.to_owned());
            return true;
        }
        if !self.habits.odd_handshake {
            return false;
        }
        match self.dice.below(6) {
            0 => self.say_result(id, "[1]".to_owned()),
            1 => self.say_error(id, -32600),
            2 => self.say_version_error(id, r#"["2026-07-28","2025-06-18"]"#),
            3 => self.say_version_error(id, r#"["2025-06-18"]"#),
            4 => self.say_result(id + 1000, "{}".to_owned()),
            _ => self.say_broken(id),
        }
        true
    }

    fn say_page(&mut self, heard: &Heard, faults: &mut Faults) {
        let id = heard.id;
        if faults.strikes(Fault::ListFails, &mut self.dice) {
            return self.say_error(id, -32603);
        }
        let endless = faults.strikes(Fault::EndlessPages, &mut self.dice);
        let member = match heard.method.as_str() {
            "tools/list" => "tools",
            "prompts/list" => "prompts",
            "resources/list" => "resources",
            _ => "resourceTemplates",
        };
        let changed = faults.strikes(Fault::ListChanges, &mut self.dice);
        let name = if changed { self.dice.below(4) } else { 0 };
        self.said += 1;
        let next = match (endless, self.dice.below(3)) {
            (true, 0) => r#","nextCursor":"round""#.to_owned(),
            (true, _) => format!(r#","nextCursor":"c{}""#, self.said),
            (false, _) => String::new(),
        };
        let entry = if changed || member != "tools" {
            format!(r#"{{"name":"t{name}"}}"#)
        } else {
            let name = serde_json::Value::from(REPEATABLE);
            format!(r#"{{"name":{name},"annotations":{{"{VOUCHER}":true}}}}"#)
        };
        self.say_result(id, format!(r#"{{"{member}":[{entry}]{next}}}"#));
    }

    fn answer_probe(&mut self, id: u64, faults: &mut Faults) {
        let lines = [
            r#"{"content":[],"isError":true}"#,
            r#"{"content":[],"isError":false}"#,
        ];
        if faults.strikes(Fault::Unwell, &mut self.dice) {
            self.unwell = 1 + self.dice.below(5);
        }
        if self.unwell == 0 || faults.have_stopped() {
            return self.say_result(id, lines[1].to_owned());
        }
        self.unwell -= 1;
        match self.dice.below(5) {
            0 => self.say_error(id, -32601),
            1 => self.say_broken(id),
            2 if self.modern => self.need_input(id),
            _ => self.say_result(id, lines[0].to_owned()),
        }
    }

    fn answer_call(&mut self, now: Time, heard: Heard, faults: &mut Faults) {
        let id = heard.id;
        if faults.strikes(Fault::BothOutcomes, &mut self.dice) {
            return self.say_broken(id);
        }
        if self.dice.one_in(8) {
            return self.say_error(id, -32000);
        }
        if self.modern && self.dice.one_in(6) {
            return self.need_input(id);
        }
        self.said += 1;
        let (call, said) = (heard.call.unwrap_or_default(), self.said);
        let padding = "p".repeat(self.dice.pick(&[0, 0, 10, 300]));
        let result = format!(r#"{{"content":[],"n":{call},"said":{said},"p":"{padding}"}}"#);
        self.say_result(id, result);
        if faults.strikes(Fault::DoubleAnswer, &mut self.dice) {
            if self.dice.one_in(2) {
                self.say_result(id, format!(r#"{{"content":[],"n":{call},"again":{said}}}"#));
            } else {
                self.open.push(heard.clone());
                let wait = self.some_time();
                self.agenda.add(now.after(wait), Deed::Answer(heard));
            }
        }
    }

    fn need_input(&mut self, id: u64) {
        let (round, text) = match self.dice.below(4) {
            0 => (
                Answer::Round {
                    asks: 0,
                    settled: false,
                },
                r#"{"resultType":"input_required","requestState":"s"}"#,
            ),
            1 => (Answer::Vain, r#"{"resultType":"input_required"}"#),
            2 => (
                Answer::Round {
                    asks: 0,
                    settled: true,
                },
                r#"{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list"}}}"#,
            ),
            _ => (
                Answer::Round {
                    asks: 2,
                    settled: false,
                },
                r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{}},"b":{"method":"sampling/createMessage"}},"requestState":"s"}"#,
            ),
        };
        self.say_answer(id, &format!(r#""result":{text}"#), round);
    }

    fn say_answer(&mut self, request: u64, member: &str, answer: Answer) {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{request},{member}}}"#);
        self.say(line, Meaning::Answer { request, answer });
    }

    fn say_result(&mut self, id: u64, text: String) {
        self.say_answer(id, &format!(r#""result":{text}"#), Answer::Result(text));
    }

    fn say_error(&mut self, id: u64, code: i64) {
        let member = format!(r#""error":{{"code":{code},"message":"sorry"}}"#);
        self.say_answer(id, &member, Answer::Error(code));
    }

    fn say_version_error(&mut self, id: u64, supported: &str) {
        let member = format!(
            r#""error":{{"code":-32022,"message":"v","data":{{"supported":{supported}}}}}"#
        );
        self.say_answer(id, &member, Answer::Error(-32022));
    }

    fn say_broken(&mut self, id: u64) {
        let member = self.dice.pick(&[
            r#""result":{},"error":{"code":1,"message":"m"}"#,
            r#""error":{"code":"one"}"#,
            r#""error":null"#,
        ]);
        self.say_answer(id, member, Answer::Broken);
    }
}
