//! A journal told again gives the same effects, byte for byte.

use std::time::Duration;

use mcp_fleet_core::{
    CallId, CallOptions, Effect, Exit, Fleet, Input, McpCommand, Request, Signal, Time,
    config::FleetConfig,
    journal::{Entry, Header, replay},
};
use serde_json::{Value, json};

use crate::world::{answer, discovered, server};

struct Recorder {
    fleet: Fleet,
    now: Time,
    lines: Vec<String>,
}

impl Recorder {
    fn feed(&mut self, input: Option<Input>) -> Vec<Effect> {
        let mut entry = Entry {
            at: self.now,
            input,
            effects: Vec::new(),
        };
        let (effects, _) = replay(&mut self.fleet, &entry);
        entry.effects.clone_from(&effects);
        self.lines.push(serde_json::to_string(&entry).unwrap());
        effects
    }
}

#[test]
fn a_journal_replays_byte_for_byte() {
    let config = FleetConfig::default();
    let header = serde_json::to_string(&Header::new(config.clone(), 99)).unwrap();
    let mut recorder = Recorder {
        fleet: Fleet::new(config, 99),
        now: Time::ZERO,
        lines: Vec::new(),
    };
    let mut small = server("a");
    small.limits.in_flight = 2;
    small.limits.queue = 4;
    let config = Box::new(small);
    let id = mcp_fleet_core::CommandId(1);
    let mut pending = recorder.feed(Some(McpCommand::Deploy { id, config }.into()));
    for step in 0..400_u64 {
        recorder.now = recorder.now.after(Duration::from_millis(7));
        let next = match pending.pop() {
            Some(Effect::Open { link, .. }) => Some(Signal::Opened { link, pid: None }.into()),
            Some(Effect::Send { link, bytes }) => {
                let frame: Value = serde_json::from_slice(&bytes).unwrap();
                let result = match frame["method"].as_str() {
                    Some("server/discover") => discovered(json!({"tools": {}})),
                    Some("tools/list") => json!({"tools": [{"name": "t\u{00e9}"}]}),
                    _ if step % 5 == 0 => continue,
                    _ => json!({"step": step}),
                };
                let bytes = format!("{}\n", answer(&frame, result)).into();
                Some(Signal::Bytes { link, bytes }.into())
            }
            Some(Effect::CloseInput { link }) => Some(
                Signal::Exited {
                    link,
                    exit: Exit::Code(0),
                }
                .into(),
            ),
            Some(Effect::Terminate { .. } | Effect::Kill { .. } | Effect::Abandon { .. }) => None,
            None if step % 11 == 0 => None,
            None => {
                let request = Request::Tool {
                    name: "t".into(),
                    arguments: None,
                };
                let options = CallOptions {
                    timeout: Some(Duration::from_millis(90)),
                    progress: true,
                    ..CallOptions::default()
                };
                let (call, server) = (CallId(step), "a".to_owned());
                Some(
                    McpCommand::Execute {
                        call,
                        server,
                        request,
                        options,
                    }
                    .into(),
                )
            }
        };
        pending.extend(recorder.feed(next));
    }
    let header: Header = serde_json::from_str(&header).unwrap();
    let mut again = Fleet::new(header.config, header.seed);
    assert!(recorder.lines.len() > 300);
    for line in &recorder.lines {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let (effects, _) = replay(&mut again, &entry);
        let told = Entry { effects, ..entry };
        assert_eq!(*line, serde_json::to_string(&told).unwrap());
    }
}
