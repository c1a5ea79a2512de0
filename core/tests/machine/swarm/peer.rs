//! The other end of a link: a server of some nature, and the pipes to it.

use bytes::Bytes;
use mcp_fleet_core::{Effect, Exit, LinkId, Signal};

use super::{
    Dice,
    book::{Book, frame_of},
};

#[derive(Clone, Copy, PartialEq)]
enum Nature {
    Modern,
    Legacy,
    /// Reads, and never says a word.
    Silent,
    /// Answers everything with an error.
    Cross,
    /// Dies of the first thing it hears.
    Dying,
}

/// One end of a link, as the driver would see it.
pub(super) struct Peer {
    nature: Nature,
    opened: bool,
    over: bool,
    ended: bool,
    eof: bool,
    write_failed: bool,
    /// Asked to end, by whatever rung.
    leaving: bool,
    killed: bool,
    unwritten: u64,
    /// Requests heard and not answered: id, method, call.
    heard: Vec<(u64, String, Option<u64>)>,
    answered: Vec<u64>,
    saying: Vec<u8>,
    questions: u64,
}

impl Peer {
    pub(super) fn new(dice: &mut Dice) -> Self {
        use Nature::{Cross, Dying, Legacy, Modern, Silent};
        Self {
            nature: dice.pick(&[
                Modern, Modern, Modern, Modern, Modern, Modern, Legacy, Legacy, Legacy, Legacy,
                Legacy, Legacy, Silent, Cross, Dying,
            ]),
            opened: false,
            over: false,
            ended: false,
            eof: false,
            write_failed: false,
            leaving: false,
            killed: false,
            unwritten: 0,
            heard: Vec::new(),
            answered: Vec::new(),
            saying: Vec::new(),
            questions: 0,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Nothing keeps it any longer.
    pub(super) const fn hurry(&mut self) {
        self.leaving = true;
        self.killed = true;
    }

    pub(super) fn obey(&mut self, effect: &Effect) {
        match effect {
            Effect::Send { bytes, .. } => {
                self.unwritten += bytes.len() as u64;
                let frame = frame_of(bytes);
                if let (Some(id), Some(method)) = (frame.id, frame.method) {
                    self.heard.push((id, method, frame.call));
                }
            }
            Effect::CloseInput { .. } | Effect::Terminate { .. } => self.leaving = true,
            Effect::Kill { .. } => self.hurry(),
            Effect::Open { .. } => {}
        }
    }

    /// Something the driver has to report, if anything happens.
    pub(super) fn act(&mut self, link: LinkId, dice: &mut Dice, book: &mut Book) -> Option<Signal> {
        if !self.opened {
            return self.open(link, dice);
        }
        let dies = self.nature == Nature::Dying && !self.heard.is_empty();
        let odds = if self.killed || dies {
            1
        } else if self.leaving {
            3
        } else {
            300
        };
        if dice.one_in(odds) {
            return Some(self.end(link, dice));
        }
        match dice.below(10) {
            0..=1 if self.unwritten > 0 && !self.write_failed => {
                let bytes = 1 + dice.below(self.unwritten);
                let bytes = if dice.one_in(3) {
                    bytes
                } else {
                    self.unwritten
                };
                self.unwritten -= bytes;
                Some(Signal::Wrote { link, bytes })
            }
            2 if dice.one_in(4) => Some(Signal::Stderr {
                link,
                bytes: Bytes::from_static(b"oh\xff no\n"),
                dropped: 0,
            }),
            _ if self.eof => None,
            _ => {
                if self.saying.len() < 200 || dice.one_in(2) {
                    self.speak(dice, book);
                }
                self.deliver(link, dice)
            }
        }
    }

    fn open(&mut self, link: LinkId, dice: &mut Dice) -> Option<Signal> {
        if dice.one_in(3) && !self.killed {
            return None;
        }
        if self.killed && dice.one_in(2) {
            self.over = true;
            return Some(Signal::Closed { link });
        }
        if dice.one_in(12) {
            self.over = true;
            let (message, transient) = ("not today".to_owned(), dice.one_in(2));
            return Some(Signal::OpenFailed {
                link,
                message,
                transient,
            });
        }
        self.opened = true;
        let pid = dice.one_in(2).then_some(7);
        Some(Signal::Opened { link, pid })
    }

    /// One more of the signs of an end, in any order; `Closed` is the last.
    fn end(&mut self, link: LinkId, dice: &mut Dice) -> Signal {
        match dice.below(4) {
            0 if !self.ended => {
                self.ended = true;
                let exit = dice.pick(&[Exit::Code(0), Exit::Signal(9), Exit::Unknown]);
                Signal::Exited { link, exit }
            }
            1 if !self.eof => {
                self.eof = true;
                Signal::Eof { link }
            }
            2 if !self.write_failed => {
                self.write_failed = true;
                let message = "broken pipe".to_owned();
                Signal::WriteFailed { link, message }
            }
            _ => {
                self.over = true;
                Signal::Closed { link }
            }
        }
    }

    fn deliver(&mut self, link: LinkId, dice: &mut Dice) -> Option<Signal> {
        if self.saying.is_empty() {
            return None;
        }
        let length = if dice.one_in(3) {
            1 + dice.index(self.saying.len())
        } else {
            self.saying.len()
        };
        let bytes: Vec<u8> = self.saying.drain(..length).collect();
        let bytes = Bytes::from(bytes);
        Some(Signal::Bytes { link, bytes })
    }

    fn say(&mut self, text: &str) {
        self.saying.extend_from_slice(text.as_bytes());
        self.saying.push(b'\n');
    }

    fn say_member(&mut self, id: u64, member: &str) {
        self.say(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{member}}}"));
    }

    fn speak(&mut self, dice: &mut Dice, book: &mut Book) {
        if self.nature == Nature::Silent {
            return;
        }
        if !self.heard.is_empty() && !dice.one_in(5) {
            let (id, method, call) = self.heard.remove(dice.index(self.heard.len()));
            self.answered.push(id);
            return self.reply(dice, book, id, &method, call);
        }
        let some = 1 + dice.below(12);
        match dice.below(14) {
            0 => self.say("Server running on stdio"),
            1 => self.saying.extend_from_slice(b"\xff\xfe{\"jsonrpc\":\n\r\n\n"),
            2 => self.say_member(some, "\"result\":{}"),
            3 => self.say_member(some, "\"result\":{},\"error\":{\"code\":1,\"message\":\"m\"}"),
            4 => self.say("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"\"}}"),
            5 => self.say(&format!(
                "[{{\"jsonrpc\":\"2.0\",\"id\":{some},\"result\":{{}}}},{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}]"
            )),
            6 => {
                if let Some(id) = self.answered.last().copied() {
                    self.say_member(id, "\"result\":{\"again\":true}");
                }
            }
            7 => {
                let what = dice.pick(&["tools", "resources", "prompts"]);
                let stamp = self.heard.iter().find(|(_, method, _)| method == "subscriptions/listen");
                let meta = stamp.map_or_else(String::new, |(id, ..)| {
                    format!("\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{id}}}")
                });
                self.say(&format!(
                    "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{what}/list_changed\",\"params\":{{{meta}}}}}"
                ));
            }
            8..=9 => self.ask(dice),
            10..=11 => {
                let token = self.heard.last().map_or(some, |(id, ..)| *id);
                let progress = dice.below(9);
                self.say(&format!(
                    "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":{progress}}}}}"
                ));
            }
            12 => self.say(&format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{some}}}}}"
            )),
            _ => self.say(&format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"data\":\"{}\"}}}}",
                "x".repeat(dice.index(700))
            )),
        }
    }

    fn ask(&mut self, dice: &mut Dice) {
        self.questions += 1;
        let id = self.questions;
        let method = dice.pick(&[
            "ping",
            "roots/list",
            "sampling/createMessage",
            "elicitation/create",
            "x",
        ]);
        self.say(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"method\":\"{method}\",\"params\":{{}}}}"
        ));
    }

    fn reply(
        &mut self,
        dice: &mut Dice,
        book: &mut Book,
        id: u64,
        method: &str,
        call: Option<u64>,
    ) {
        let capabilities = "{\"tools\":{\"listChanged\":true},\"resources\":{},\"prompts\":{\"listChanged\":true}}";
        let result = match (self.nature, method) {
            (Nature::Cross | Nature::Silent | Nature::Dying, _) => {
                return match dice.below(4) {
                    0 => self.say_member(id, "\"error\":{\"code\":-32022,\"message\":\"v\",\"data\":{\"supported\":[\"2026-07-28\",\"2025-06-18\"]}}"),
                    1 => self.say_member(id, "\"error\":{\"code\":-32022,\"message\":\"v\",\"data\":{\"supported\":[\"2025-06-18\"]}}"),
                    2 => self.say_member(id, "\"result\":[1]"),
                    _ => self.say_member(id, "\"error\":{\"code\":-32600,\"message\":\"what?\"}"),
                };
            }
            (Nature::Modern, "server/discover") => format!(
                "{{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{capabilities}}}"
            ),
            (Nature::Legacy, "initialize") => {
                let revision = dice.pick(&["2025-11-25", "2025-03-26", "2024-11-05"]);
                format!(
                    "{{\"protocolVersion\":\"{revision}\",\"capabilities\":{capabilities},\"serverInfo\":{{\"name\":\"n\",\"version\":\"1\"}}}}"
                )
            }
            (Nature::Modern, "initialize") | (Nature::Legacy, "server/discover") => {
                return self.say_member(id, "\"error\":{\"code\":-32601,\"message\":\"what?\"}");
            }
            (_, "subscriptions/listen") if !dice.one_in(8) => {
                // It stays open; perhaps it ends another time.
                return self.heard.push((id, method.to_owned(), call));
            }
            (_, list) if list.ends_with("/list") => {
                let member = match list {
                    "tools/list" => "tools",
                    "prompts/list" => "prompts",
                    "resources/list" => "resources",
                    _ => "resourceTemplates",
                };
                let next = match dice.below(4) {
                    0 => format!(",\"nextCursor\":\"{}\"", dice.below(3)),
                    _ => String::new(),
                };
                format!(
                    "{{\"{member}\":[{{\"name\":\"t{}\"}}]{next}}}",
                    dice.below(2)
                )
            }
            _ if dice.one_in(8) => {
                return self.say_member(id, "\"error\":{\"code\":-32000,\"message\":\"sorry\"}");
            }
            (Nature::Modern, _) if dice.one_in(3) => {
                if let Some(call) = call {
                    book.on_round(call);
                }
                match dice.below(4) {
                    0 => "{\"resultType\":\"input_required\",\"requestState\":\"s\"}".to_owned(),
                    1 => "{\"resultType\":\"input_required\"}".to_owned(),
                    2 => "{\"resultType\":\"input_required\",\"inputRequests\":{\"r\":{\"method\":\"roots/list\"}}}".to_owned(),
                    _ => "{\"resultType\":\"input_required\",\"inputRequests\":{\"a\":{\"method\":\"elicitation/create\",\"params\":{}},\"b\":{\"method\":\"sampling/createMessage\"}},\"requestState\":\"s\"}".to_owned(),
                }
            }
            _ => "{\"content\":[]}".to_owned(),
        };
        self.say_member(id, &format!("\"result\":{result}"));
    }
}
