//! What a scripted server says without being asked.

use mcp_fleet_core::Time;

use super::{Answer, Deed, Meaning, ScriptedServer};
use crate::{fault::Fault, plan::Faults};

/// Ids at the edge of what a number can be, and beyond.
const ODD_IDS: [&str; 10] = [
    "-0",
    "9223372036854775808",
    "18446744073709551617",
    "-9223372036854775809",
    "1e400",
    "0.5",
    "1.0",
    "\"\"",
    "\"\\u0031\"",
    "[1]",
];

impl ScriptedServer {
    /// Tells how far a request has come, and perhaps goes on telling.
    pub(super) fn report(&mut self, now: Time, id: u64, count: u64, faults: &mut Faults) {
        if !self.open.iter().any(|open| open.id == id) {
            return;
        }
        let bad = faults.strikes(Fault::BadProgress, &mut self.dice);
        let progress = if bad {
            self.dice.below(count + 2)
        } else {
            count
        };
        let request = if bad && self.dice.one_in(4) {
            id + 1
        } else {
            id
        };
        let meaning = Meaning::Progress {
            request,
            progress: precise(progress),
        };
        let line = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{request},"progress":{progress}}}}}"#
        );
        self.say(line, meaning);
        if bad || self.dice.one_in(3) {
            let pause = self.some_time();
            self.agenda
                .add(now.after(pause), Deed::Progress(id, count + 1));
        }
    }

    pub(super) fn chatter(&mut self, faults: &mut Faults) {
        if faults.strikes(Fault::Noise, &mut self.dice) {
            for _ in 0..self.dice.pick(&[1, 1, 2, 5]) {
                self.say("\u{1b}[32mServer running on stdio", Meaning::Noise);
            }
        }
        if faults.strikes(Fault::BadText, &mut self.dice) {
            let text = self.dice.pick(&[
                &b"\xff\xfe{\"jsonrpc\":"[..],
                b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"method\":\"x\"}",
                b"a\0b",
                b"{\"jsonrpc\":\"2.0\",\"method\":\"\\ud800",
            ]);
            self.say(text, Meaning::Noise);
        }
        if faults.strikes(Fault::StrangeAnswer, &mut self.dice) {
            self.answer_strangely();
        }
        if faults.strikes(Fault::DeepNesting, &mut self.dice) {
            let depth = self.line_bytes / 4;
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let line = format!(r#"{{"jsonrpc":"2.0","id":"d","result":{open}{close}}}"#);
            self.say(line, Meaning::Other);
        }
        if faults.strikes(Fault::OddNumbers, &mut self.dice) {
            let id = self.dice.pick(&ODD_IDS);
            self.ask(vec![id.to_owned()], "ping");
        }
        if faults.strikes(Fault::Batch, &mut self.dice) {
            self.questions += 1;
            let id = format!("\"b{}\"", self.questions);
            let line = format!(
                r#"[{{"jsonrpc":"2.0","id":77777,"result":{{}}}},{{"jsonrpc":"2.0","id":{id},"method":"ping"}}]"#
            );
            self.say(line, Meaning::Asks(vec![id]));
        }
        if faults.strikes(Fault::Flood, &mut self.dice) {
            for _ in 0..self.dice.pick(&[20, 100]) {
                self.say(
                    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"f"}}"#,
                    Meaning::Other,
                );
            }
        }
        if faults.strikes(Fault::Question, &mut self.dice) {
            self.questions += 1;
            let id = format!("\"q{}\"", self.questions);
            let method = self.dice.pick(&[
                "roots/list",
                "sampling/createMessage",
                "elicitation/create",
                "x",
            ]);
            self.ask(vec![id], method);
            if self.dice.one_in(3) {
                let line = format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":"q{}"}}}}"#,
                    self.questions
                );
                self.say(line, Meaning::Other);
            }
        }
        if faults.strikes(Fault::ListStorm, &mut self.dice) {
            for _ in 0..self.dice.pick(&[3, 50]) {
                self.say_list_changed();
            }
        }
        if faults.strikes(Fault::LongLine, &mut self.dice) {
            let line = "x".repeat(self.line_bytes + 1 + self.dice.index(self.line_bytes));
            self.say(line, Meaning::Noise);
        }
    }

    fn answer_strangely(&mut self) {
        let some = self.dice.below(12);
        match self.dice.below(4) {
            // An answer without a question, or one that comes before its time.
            0 => {
                let line = format!(r#"{{"jsonrpc":"2.0","id":{some},"result":{{"stray":true}}}}"#);
                let answer = Answer::Result(r#"{"stray":true}"#.to_owned());
                self.say(
                    line,
                    Meaning::Answer {
                        request: some,
                        answer,
                    },
                );
            }
            // Ids are recognised in other types and notations, but not by every digit in them.
            1 => {
                let id = self.dice.pick(&["\"{}\"", "{}.0", "\"0{}\""]);
                let line = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#,
                    id.replace("{}", &some.to_string())
                );
                let meaning = if id.contains('0') && id.starts_with('"') {
                    Meaning::Other
                } else {
                    Meaning::Answer {
                        request: some,
                        answer: Answer::Result("{}".to_owned()),
                    }
                };
                self.say(line, meaning);
            }
            2 => self.say(
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#,
                Meaning::Other,
            ),
            _ => {
                if let Some(request) = self.answered.last().copied() {
                    let line =
                        format!(r#"{{"jsonrpc":"2.0","id":{request},"result":{{"again":true}}}}"#);
                    let answer = Answer::Result(r#"{"again":true}"#.to_owned());
                    self.say(line, Meaning::Answer { request, answer });
                }
            }
        }
    }

    fn ask(&mut self, ids: Vec<String>, method: &str) {
        let id = ids.first().map_or("0", String::as_str);
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{}}}}"#);
        self.say(line, Meaning::Asks(ids));
    }

    fn say_list_changed(&mut self) {
        let what = self.dice.pick(&["tools", "resources", "prompts"]);
        let stamp = self
            .open
            .iter()
            .find(|open| open.method == "subscriptions/listen");
        let meta = stamp.map_or_else(String::new, |open| {
            format!(
                r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{}}}"#,
                open.id
            )
        });
        let line = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/{what}/list_changed","params":{{{meta}}}}}"#
        );
        self.say(line, Meaning::Other);
    }
}

fn precise(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
