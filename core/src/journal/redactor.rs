//! A journal as it may be shown to others.

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, de::Error as _};

use super::{
    Entry, Header, Line, Redaction,
    payload::Payloads,
    secrets::Secrets,
    shape::Shape,
    streams::{Decided, Side, Streams},
};
use crate::{
    config::{FleetConfig, ServerConfig},
    effect::Effect,
    error::RpcError,
    ids::LinkId,
    input::{Input, McpCommand, Request, Signal},
    wire::RawJson,
};

/// The most entries that are held back.
pub const HELD_ENTRIES_MAX: usize = 1024;
/// The most bytes of them.
pub const HELD_BYTES_MAX: usize = 4 << 20;

/// Takes out of a journal what others must not see, so that it is replayed byte for byte all the
/// same.
///
/// In the configuration each secret becomes `<secret 1>` and so on: the same number for the same
/// value. In what is said each of its bytes becomes `*`, or `9` where all are digits, so that
/// everything keeps its length; with [`Redaction::Payloads`] so do the strings of payloads, and the
/// digits of their numbers become `1` (zeros stay, as do names of members and exponents). An entry
/// is held back while it ends in what may be the beginning of a secret.
///
/// # What is found
/// A secret of [`SECRET_BYTES_MIN`](super::SECRET_BYTES_MIN) bytes or more (8 where all are digits):
/// as it is, escaped within JSON or within a string of JSON that holds JSON, percent-encoded, within
/// base64; each line of it, each string of it where it is JSON, the credential after `Bearer` and
/// the like, the password within an address; also where a stream was cut within it. Not found is
/// what was turned into anything else, such as a hash, hexadecimal digits or other case. Words of
/// the protocol and names of servers are no secrets.
#[derive(Debug)]
pub struct Redactor {
    level: Redaction,
    secrets: Secrets,
    streams: Streams,
    held: VecDeque<Held>,
    /// The number of the first that is held; every entry has the next.
    first: u64,
    held_bytes: usize,
}

#[derive(Debug)]
struct Held {
    turn: u64,
    entry: Entry,
    /// How many bytes of what a server said are not decided.
    missing: usize,
    /// Those that are.
    said: Vec<u8>,
    weight: usize,
}

impl Redactor {
    /// Leaves out what `level` says.
    pub fn new(level: Redaction) -> Self {
        Self {
            level,
            secrets: Secrets::default(),
            streams: Streams::new(level),
            held: VecDeque::new(),
            first: 0,
            held_bytes: 0,
        }
    }

    /// Takes a secret that no configuration of a server has as such.
    pub fn know(&mut self, secret: &str) {
        self.secrets.know(secret);
    }

    /// The header of the journal.
    pub fn header(&mut self, header: Header) -> Header {
        if self.level == Redaction::Nothing {
            return header;
        }
        let Header {
            version,
            config,
            seed,
            redaction: _,
        } = header;
        for server in &config.servers {
            self.secrets.know_config(server);
        }
        self.secrets.refresh();
        Header {
            version,
            config: self.fleet(config),
            seed,
            redaction: self.level,
        }
    }

    /// Takes the entry of the turn of this number.
    pub fn push(&mut self, turn: u64, entry: Entry) {
        let weight = weigh(&entry);
        let number = self
            .first
            .saturating_add(u64::try_from(self.held.len()).unwrap_or(u64::MAX));
        self.held_bytes = self.held_bytes.saturating_add(weight);
        self.held.push_back(Held {
            turn,
            entry: Entry {
                at: entry.at,
                input: None,
                effects: Vec::new(),
            },
            missing: 0,
            said: Vec::new(),
            weight,
        });
        let input = entry.input.map(|input| self.input(number, input));
        let effects = entry
            .effects
            .into_iter()
            .map(|effect| self.effect(effect))
            .collect();
        if let Some(held) = self.held.back_mut() {
            held.entry.input = input;
            held.entry.effects = effects;
        }
        if self.held.len() > HELD_ENTRIES_MAX || self.held_bytes > HELD_BYTES_MAX {
            self.settle();
        }
    }

    /// The next entry with the number of its turn, where all of it is decided.
    pub fn pop(&mut self) -> Option<(u64, Entry)> {
        if self.held.front()?.missing > 0 {
            return None;
        }
        let held = self.held.pop_front()?;
        self.first = self.first.saturating_add(1);
        self.held_bytes = self.held_bytes.saturating_sub(held.weight);
        let Held {
            turn,
            mut entry,
            said,
            ..
        } = held;
        if let Some(Input::Signal(Signal::Bytes { bytes, .. } | Signal::Stderr { bytes, .. })) =
            &mut entry.input
            && self.level != Redaction::Nothing
        {
            *bytes = Bytes::from(said);
        }
        Some((turn, entry))
    }

    /// Whether entries are held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Decides all that is held back: what may be the beginning of a secret is taken for one.
    pub fn settle(&mut self) {
        let decided = self.streams.settle_all();
        self.give(decided);
    }

    /// Entries are missing from here on. What goes on in the middle of a line is taken for a
    /// secret.
    pub fn lose(&mut self) {
        let decided = self.streams.lose_all();
        self.give(decided);
    }

    /// Whether there are more secrets than it can look for, so that nothing more may be shown.
    pub fn is_overwhelmed(&self) -> bool {
        self.level != Redaction::Nothing && self.secrets.is_full()
    }

    /// A line of the journal, with its line break. Whatever secret is still in it is covered.
    ///
    /// # Errors
    /// Where it would be no line of a journal any more.
    pub fn line(&self, value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(value)?;
        if self.level != Redaction::Nothing && self.secrets.texts().is_in(&line) {
            line = self.secrets.texts().cover(&line);
            let text = str::from_utf8(&line).map_err(serde_json::Error::custom)?;
            Line::parse(text)?;
        }
        line.push(b'\n');
        Ok(line)
    }

    fn give(&mut self, decided: Vec<Decided>) {
        for (number, bytes) in decided {
            let place = number
                .checked_sub(self.first)
                .and_then(|place| usize::try_from(place).ok());
            if let Some(held) = place.and_then(|place| self.held.get_mut(place)) {
                held.missing = held.missing.saturating_sub(bytes.len());
                held.said.extend(bytes);
            }
        }
    }

    fn input(&mut self, number: u64, input: Input) -> Input {
        if self.level == Redaction::Nothing {
            return input;
        }
        match input {
            Input::Command(command) => self.command(command).into(),
            Input::Signal(signal) => self.signal(number, signal).into(),
        }
    }

    fn command(&mut self, command: McpCommand) -> McpCommand {
        match command {
            McpCommand::Deploy { id, config } => McpCommand::Deploy {
                id,
                config: Box::new(self.server(*config)),
            },
            McpCommand::UpdateConfig { id, config } => McpCommand::UpdateConfig {
                id,
                config: Box::new(self.server(*config)),
            },
            McpCommand::Reload { id, config } => McpCommand::Reload {
                id,
                config: Box::new(self.fleet(*config)),
            },
            McpCommand::Execute {
                call,
                server,
                request,
                options,
            } => McpCommand::Execute {
                call,
                server: self.text(&server),
                request: self.request(request),
                options,
            },
            McpCommand::Cancel { call, reason } => McpCommand::Cancel {
                call,
                reason: reason.map(|reason| self.text(&reason)),
            },
            McpCommand::Answer { id, input, answer } => McpCommand::Answer {
                id,
                input,
                answer: match answer {
                    Ok(answer) => Ok(self.json(Shape::Outcome, &answer)),
                    Err(RpcError {
                        code,
                        message,
                        data,
                    }) => Err(RpcError {
                        code,
                        message: self.text(&message),
                        data: data.map(|data| self.json(Shape::ErrorData, &data)),
                    }),
                },
            },
            // Names, and nothing that was said.
            McpCommand::Undeploy { .. }
            | McpCommand::Restart { .. }
            | McpCommand::HealthCheck { .. }
            | McpCommand::ListServers { .. }
            | McpCommand::ListCatalog { .. }
            | McpCommand::GetMetrics { .. }
            | McpCommand::ClientGone { .. }
            | McpCommand::Shutdown { .. } => command,
        }
    }

    fn request(&self, request: Request) -> Request {
        match request {
            Request::Tool { name, arguments } => Request::Tool {
                name: self.text(&name),
                arguments: arguments.map(|arguments| self.json(Shape::Payload, &arguments)),
            },
            Request::Method { method, params } => Request::Method {
                method: self.text(&method),
                params: params.map(|params| self.json(Shape::Params, &params)),
            },
        }
    }

    fn signal(&mut self, number: u64, signal: Signal) -> Signal {
        match signal {
            Signal::Opened { link, pid } => {
                self.streams.open(link);
                Signal::Opened { link, pid }
            }
            Signal::Bytes { link, bytes } => {
                self.hear(number, link, Side::Output, &bytes);
                Signal::Bytes { link, bytes }
            }
            Signal::Stderr {
                link,
                bytes,
                dropped,
            } => {
                if dropped > 0 {
                    let decided = self.streams.lose(link, Side::Errors);
                    self.give(decided);
                }
                self.hear(number, link, Side::Errors, &bytes);
                Signal::Stderr {
                    link,
                    bytes,
                    dropped,
                }
            }
            Signal::Eof { link } => {
                let decided = self.streams.settle(link, Side::Output);
                self.give(decided);
                Signal::Eof { link }
            }
            Signal::Closed { link } => {
                let decided = self.streams.close(link);
                self.give(decided);
                Signal::Closed { link }
            }
            Signal::OpenFailed {
                link,
                message,
                transient,
            } => Signal::OpenFailed {
                link,
                message: self.text(&message),
                transient,
            },
            Signal::WriteFailed { link, message } => Signal::WriteFailed {
                link,
                message: self.text(&message),
            },
            Signal::Wrote { .. } | Signal::Exited { .. } => signal,
        }
    }

    /// Takes what a server said in the entry of this number, the newest.
    fn hear(&mut self, number: u64, link: LinkId, side: Side, bytes: &[u8]) {
        if let Some(held) = self.held.back_mut() {
            held.missing = bytes.len();
        }
        let patterns = self.secrets.patterns();
        let decided = self.streams.push(patterns, link, side, number, bytes);
        self.give(decided);
    }

    fn effect(&mut self, effect: Effect) -> Effect {
        if self.level == Redaction::Nothing {
            return effect;
        }
        match effect {
            Effect::Open {
                link,
                server,
                replica,
                kind,
            } => Effect::Open {
                link,
                server,
                replica,
                kind: Arc::new(self.secrets.kind(&kind)),
            },
            Effect::Send { link, bytes } => {
                let mut bytes = bytes.to_vec();
                if self.level == Redaction::Payloads {
                    Payloads::sent().cover(&mut bytes);
                }
                let bytes = self.secrets.patterns().cover(&bytes).into();
                Effect::Send { link, bytes }
            }
            Effect::CloseInput { .. }
            | Effect::Terminate { .. }
            | Effect::Kill { .. }
            | Effect::Abandon { .. } => effect,
        }
    }

    fn fleet(&mut self, config: FleetConfig) -> FleetConfig {
        let mut config = config;
        let servers = mem::take(&mut config.servers);
        config.servers = servers
            .into_iter()
            .map(|server| self.server(server))
            .collect();
        let client = &mut config.client;
        let program = &mut client.implementation;
        program.name = self.text(&program.name);
        program.version = self.text(&program.version);
        program.title = program.title.as_deref().map(|title| self.text(title));
        for root in client.capabilities.roots.iter_mut().flatten() {
            root.uri = self.text(&root.uri);
            root.name = root.name.as_deref().map(|name| self.text(name));
        }
        config
    }

    fn server(&mut self, mut config: ServerConfig) -> ServerConfig {
        self.secrets.know_config(&config);
        self.secrets.refresh();
        config.kind = self.secrets.kind(&config.kind);
        config
    }

    /// A text that may come to stand in a frame. It is covered as it would be there.
    fn text(&self, text: &str) -> String {
        let Ok(quoted) = serde_json::to_vec(text) else {
            return text.to_owned();
        };
        let covered = self.secrets.patterns().cover(&quoted);
        serde_json::from_slice(&covered).unwrap_or_else(|_| "*".repeat(text.len()))
    }

    /// A value that comes to stand in a frame. Where it is a secret itself, and not only has one,
    /// nothing is left of it.
    fn json(&self, shape: Shape, value: &RawJson) -> RawJson {
        let bytes = match self.level {
            Redaction::Payloads => Payloads::cover_value(shape, value.as_str()),
            Redaction::Nothing | Redaction::Secrets => value.as_str().as_bytes().to_vec(),
        };
        String::from_utf8(self.secrets.patterns().cover(&bytes))
            .ok()
            .and_then(|text| RawJson::parse(text).ok())
            .unwrap_or_else(RawJson::empty_object)
    }
}

/// How many bytes an entry holds, about.
fn weigh(entry: &Entry) -> usize {
    let input = match &entry.input {
        Some(Input::Signal(Signal::Bytes { bytes, .. } | Signal::Stderr { bytes, .. })) => {
            bytes.len()
        }
        Some(Input::Command(McpCommand::Execute { request, .. })) => match request {
            Request::Tool {
                arguments: value, ..
            }
            | Request::Method { params: value, .. } => {
                value.as_ref().map_or(0, |value| value.as_str().len())
            }
        },
        Some(_) | None => 0,
    };
    let effects = entry.effects.iter().map(|effect| match effect {
        Effect::Send { bytes, .. } => bytes.len(),
        Effect::Open { .. }
        | Effect::CloseInput { .. }
        | Effect::Terminate { .. }
        | Effect::Kill { .. }
        | Effect::Abandon { .. } => 0,
    });
    effects.fold(input, usize::saturating_add)
}
