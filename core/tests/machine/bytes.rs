//! A whole session, however its bytes are cut, and whatever stands between its messages.

use std::time::Duration;

use bytes::Bytes;
use mcp_fleet_core::{
    CallId, CallOptions, CatalogKind, Effect, Event, LinkId, McpCommand, Signal,
    config::{ClientCapabilities, FleetConfig, Root},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use crate::world::{World, answer, discovered, error, initialized, server};

/// Lines that are no message of any session. None of them may end one.
const HOSTILE: [&[u8]; 18] = [
    b"Server listening on port 3000",
    b"\x1b[32mready\x1b[0m",
    b"\xff\xfe\x00{",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"method\":\"x\"}",
    b"{\"jsonrpc\":\"2.0\",\0\"method\":\"x\"}",
    b"{\"jsonrpc\":\"2.0\",\"id\":\"\\ud800\",\"result\":{}}",
    b"{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\",\"result\":{}}",
    b"{\"jsonrpc\":\"2.0\",\"id\":1e400,\"result\":{}}",
    b"{\"jsonrpc\":\"2.0\",\"id\":-0,\"result\":{}}",
    b"{\"jsonrpc\":\"2.0\",\"id\":9223372036854775808,\"result\":{}}",
    b"{\"jsonrpc\":\"2.0\",\"id\":18446744073709551617,\"error\":{\"code\":1,\"message\":\"\"}}",
    b"{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}",
    b"{\"jsonrpc\":\"1.0\",\"id\":77,\"result\":{}}",
    b"[{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}},{\"jsonrpc\":\"2.0\",\"method\":\"x\"}]",
    b"[]",
    b"{",
    b"null",
];

/// What a server says in a session: at each step the answer to what it was asked, as bytes.
struct Talk {
    world: World,
    link: LinkId,
    era: &'static str,
    calls: Vec<CallId>,
    asked: Vec<Value>,
    /// Effects that were looked at.
    heard: usize,
}

impl Talk {
    fn begin(era: &'static str) -> Self {
        let mut config = FleetConfig::default();
        let root = Root {
            uri: "file:///srv".into(),
            name: None,
        };
        config.client.capabilities = ClientCapabilities {
            roots: Some(vec![root]),
            ..ClientCapabilities::default()
        };
        let mut world = World::with(config);
        let mut config = server("a");
        // Hostile lines are looked at here, their number elsewhere.
        config.limits.noise_lines = 1_000_000;
        let (link, _) = world.deploy_config(config);
        Self {
            world,
            link,
            era,
            calls: Vec::new(),
            asked: Vec::new(),
            heard: 0,
        }
    }

    /// What the server says at a step; `None` after the last.
    fn lines(&mut self, step: usize) -> Option<Vec<String>> {
        self.listen();
        let lists = json!({"tools": {"listChanged": true}});
        Some(match step {
            0 if self.era == "modern" => vec![self.reply("server/discover", discovered(lists))],
            0 => {
                let probe = self.take("server/discover");
                vec![error(&probe, -32601, "what?").to_string()]
            }
            1 if self.era == "modern" => Vec::new(),
            1 => vec![self.reply("initialize", initialized("2025-11-25", lists))],
            2 => {
                self.world.command(|id| McpCommand::ListCatalog {
                    id,
                    server: "a".into(),
                    kind: CatalogKind::Tools,
                });
                Vec::new()
            }
            3 => vec![self.reply("tools/list", page("caf\u{e9}", Some("\u{1f44b}")))],
            4 => vec![self.reply("tools/list", page("t", None))],
            5 => {
                let options = CallOptions {
                    progress: true,
                    ..CallOptions::default()
                };
                for _ in 0..4 {
                    let call = self.world.call_with("a", "t", options.clone());
                    self.calls.push(call);
                }
                Vec::new()
            }
            6 => self.answers(),
            _ => return None,
        })
    }

    /// Progress, notifications, questions, and answers of all kinds, the last asked first.
    fn answers(&mut self) -> Vec<String> {
        let calls: Vec<Value> = (0..4).map(|_| self.take("tools/call")).collect();
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {
            "progressToken": calls[0]["params"]["_meta"]["progressToken"], "progress": 1,
            "message": "h\u{e9}",
        }});
        let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "info", "data": "\u{1f44b}\u{2028}"}});
        let mut lines = vec![progress.to_string(), note.to_string()];
        if self.era == "legacy" {
            for id in ["18446744073709551617", "\"\\u00e4\"", "-0", "1.50"] {
                let method = "roots/list";
                lines.push(format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}"
                ));
            }
        }
        let text = json!({"content": [{"type": "text", "text": "na\u{ef}ve \u{1f980}\u{0}\r\n"}]});
        lines.push(answer(&calls[3], text.clone()).to_string());
        // Twice, which is once too often.
        lines.push(answer(&calls[3], json!({"second": true})).to_string());
        lines.push(error(&calls[2], -32000, "\u{fc}ber").to_string());
        let id = &calls[1]["id"];
        lines.push(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}}}"));
        lines.push(answer(&calls[0], text).to_string());
        lines
    }

    fn listen(&mut self) {
        for effect in &self.world.effects[self.heard..] {
            if let Effect::Send { bytes, .. } = effect {
                self.asked.push(serde_json::from_slice(bytes).unwrap());
            }
        }
        self.heard = self.world.effects.len();
    }

    fn take(&mut self, method: &str) -> Value {
        let place = self
            .asked
            .iter()
            .position(|asked| asked["method"] == method);
        self.asked
            .remove(place.unwrap_or_else(|| panic!("{method} among {:?}", self.asked)))
    }

    fn reply(&mut self, method: &str, result: Value) -> String {
        let asked = self.take(method);
        answer(&asked, result).to_string()
    }

    fn say(&mut self, bytes: &[u8]) {
        let (link, bytes) = (self.link, Bytes::copy_from_slice(bytes));
        self.world.feed(Signal::Bytes { link, bytes });
    }
}

fn page(name: &str, next: Option<&str>) -> Value {
    let mut page = json!({"tools": [{"name": name}], "ttlMs": 0, "cacheScope": "private"});
    if let Some(next) = next {
        page["nextCursor"] = json!(next);
    }
    page
}

/// All that came of a session: what was done and told, in order.
#[derive(PartialEq)]
struct Story {
    effects: Vec<Effect>,
    events: Vec<Event>,
    tolerated: Vec<Event>,
}

/// Both stories in full are too long to find the difference.
fn assert_same(told: &Story, expected: &Story, how: &str) {
    for (told, expected) in told.effects.iter().zip(&expected.effects) {
        assert_eq!(told, expected, "{how}");
    }
    for (told, expected) in told.events.iter().zip(&expected.events) {
        assert_eq!(told, expected, "{how}");
    }
    assert!(told == expected, "{how}: one of them is longer");
}

/// Lives a session whose lines end in `ending`, with `between` lines, cut as `cut` says.
fn story(era: &'static str, ending: &str, mut cut: impl FnMut(&mut Talk, &[u8])) -> Story {
    let mut talk = Talk::begin(era);
    let mut step = 0;
    while let Some(lines) = talk.lines(step) {
        let text: String = lines.iter().map(|line| format!("{line}{ending}")).collect();
        cut(&mut talk, text.as_bytes());
        step += 1;
    }
    talk.world.pass(Duration::from_millis(1));
    // Within a turn, what was tolerated is told before what came of the calls.
    let violation = |event: &Event| matches!(event, Event::Violation { .. });
    let (tolerated, events) = talk.world.events.into_iter().partition(violation);
    Story {
        effects: talk.world.effects,
        events,
        tolerated,
    }
}

fn whole(era: &'static str) -> Story {
    let story = story(era, "\n", |talk, bytes| talk.say(bytes));
    let ended = story.events.iter().filter_map(|event| match event {
        Event::CallEnded { outcome, .. } => Some(outcome.is_ok()),
        _ => None,
    });
    let ended: Vec<bool> = ended.collect();
    assert_eq!(ended, [true, false, false, true], "{era}");
    story
}

const ERAS: [&str; 2] = ["modern", "legacy"];

#[test]
fn f26_single_bytes_tell_the_same_story() {
    for era in ERAS {
        let expected = whole(era);
        for ending in ["\n", "\r\n"] {
            let single = story(era, ending, |talk, bytes| {
                bytes.iter().for_each(|byte| talk.say(&[*byte]));
            });
            assert_same(&single, &expected, &format!("{era} {ending:?}"));
        }
    }
}

#[test]
fn f25_f26_every_cut_into_two_tells_the_same_story() {
    for era in ERAS {
        let expected = whole(era);
        let mut longest = 0;
        story(era, "\r\n", |talk, bytes| {
            longest = longest.max(bytes.len());
            talk.say(bytes);
        });
        for place in 1..longest {
            let cut = story(era, "\r\n", |talk, bytes| {
                let (first, second) = bytes.split_at(place.min(bytes.len()));
                talk.say(first);
                talk.say(second);
            });
            assert_same(&cut, &expected, &format!("{era} at {place}"));
        }
    }
}

/// The calls' outcomes, and the answers to the server's questions.
fn outcomes(story: &Story) -> (Vec<&Event>, Vec<String>) {
    let ended = |event: &&Event| matches!(event, Event::CallEnded { .. });
    let sent = story.effects.iter().filter_map(|effect| match effect {
        Effect::Send { bytes, .. } => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        _ => None,
    });
    (story.events.iter().filter(ended).collect(), sent.collect())
}

fn hostile_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(HOSTILE.to_vec()).prop_map(<[u8]>::to_vec),
        2 => vec(any::<u8>(), 0..40),
        1 => (100_000..200_000_usize, prop::bool::ANY).prop_map(|(depth, open)| {
            let nested = "[".repeat(depth);
            let close = if open { String::new() } else { "]".repeat(depth) };
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{nested}{close}}}").into()
        }),
    ]
    .prop_filter("one line", |line| !line.contains(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn f25_f26_any_cut_into_pieces_tells_the_same_story(
        modern in any::<bool>(),
        sizes in vec(1..60_usize, 1..40),
    ) {
        let era = ERAS[usize::from(!modern)];
        let mut sizes = sizes.iter().cycle();
        let cut = story(era, "\r\n", |talk, mut bytes| {
            while !bytes.is_empty() {
                let size = sizes.next().map_or(1, |size| *size);
                let (piece, rest) = bytes.split_at(size.min(bytes.len()));
                talk.say(piece);
                bytes = rest;
            }
        });
        assert_same(&cut, &whole(era), era);
    }

    #[test]
    fn f23_f27_f28_f29_f30_hostile_lines_between_messages_change_no_outcome(
        modern in any::<bool>(),
        lines in vec(hostile_line(), 1..12),
    ) {
        let era = ERAS[usize::from(!modern)];
        let mut hostile = lines.iter().cycle();
        let story = story(era, "\n", |talk, bytes| {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let mut joined = hostile.next().cloned().unwrap_or_default();
                joined.push(b'\n');
                joined.extend_from_slice(line);
                talk.say(&joined);
            }
        });
        let quiet = whole(era);
        prop_assert_eq!(outcomes(&story), outcomes(&quiet));
    }
}
