//! The redactor as a whole, turn by turn.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    RawJson,
    config::{Kind, ServerConfig, Stdio},
    error::RpcError,
    ids::{CallId, CommandId, InputId, LinkId, ServerId, ServerName},
    input::{CallOptions, McpCommand, Request, Signal},
};

const TOKEN: &str = "sk-live-0123456789";
const LINK: LinkId = LinkId {
    server: ServerId(0),
    incarnation: 1,
};

fn server(token: &str) -> ServerConfig {
    let stdio = Stdio {
        command: "serve".to_owned(),
        env: [("TOKEN".to_owned(), token.to_owned())].into(),
        ..Stdio::default()
    };
    ServerConfig::new(ServerName::new("files").unwrap(), Kind::Stdio(stdio))
}

fn entry(input: impl Into<Input>) -> Entry {
    Entry {
        at: Time::ZERO,
        input: Some(input.into()),
        effects: Vec::new(),
    }
}

fn deploy(config: ServerConfig) -> Entry {
    let config = Box::new(config);
    let id = CommandId(1);
    entry(McpCommand::Deploy { id, config })
}

fn says(bytes: &str) -> Entry {
    let bytes = bytes.to_owned().into();
    entry(Signal::Bytes { link: LINK, bytes })
}

fn logs(bytes: &str, dropped: u64) -> Entry {
    let bytes = bytes.to_owned().into();
    entry(Signal::Stderr {
        link: LINK,
        bytes,
        dropped,
    })
}

fn opened() -> Entry {
    entry(Signal::Opened {
        link: LINK,
        pid: None,
    })
}

/// A redactor that knows the token, after its server opened.
fn redactor(level: Redaction) -> Redactor {
    let mut redactor = Redactor::new(level);
    redactor.push(1, deploy(server(TOKEN)));
    redactor.push(2, opened());
    assert_eq!((0..3).filter_map(|_| redactor.pop()).count(), 2);
    redactor
}

/// All that is decided, as the bytes that were said or else the line.
fn shown(redactor: &mut Redactor) -> Vec<String> {
    let entries: Vec<_> = std::iter::from_fn(|| redactor.pop()).collect();
    entries
        .into_iter()
        .map(|(_, entry)| match &entry.input {
            Some(Input::Signal(Signal::Bytes { bytes, .. } | Signal::Stderr { bytes, .. })) => {
                String::from_utf8(bytes.to_vec()).unwrap()
            }
            _ => String::from_utf8(redactor.line(&entry).unwrap()).unwrap(),
        })
        .collect()
}

#[test]
fn a_secret_in_pieces_is_covered_in_all_of_them() {
    let mut redactor = redactor(Redaction::Secrets);
    redactor.push(3, says("{\"t\":\"sk-live"));
    redactor.push(4, logs("key sk-li", 0));
    redactor.push(5, says("-0123"));
    redactor.push(6, entry(McpCommand::ListServers { id: CommandId(9) }));
    assert_eq!(shown(&mut redactor), [""; 0], "held back in order");
    redactor.push(7, says("456789\"}\n"));
    assert_eq!(shown(&mut redactor), ["{\"t\":\"*******"]);
    redactor.push(8, logs("sten\n", 0));
    let rest = shown(&mut redactor);
    assert_eq!(rest[..2], ["key sk-li", "*****"]);
    assert!(rest[2].contains("list_servers"), "{rest:?}");
    assert_eq!(rest[3..], ["******\"}\n", "sten\n"]);
    assert!(!redactor.holds());
}

#[test]
fn the_end_of_a_stream_decides_what_was_held_back() {
    for end in [Signal::Eof { link: LINK }, Signal::Closed { link: LINK }] {
        let mut redactor = redactor(Redaction::Secrets);
        redactor.push(3, says("my sk-live"));
        assert_eq!(shown(&mut redactor), [""; 0]);
        redactor.push(4, entry(end));
        assert_eq!(shown(&mut redactor)[0], "my *******");
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut redactor = redactor(Redaction::Secrets);
    redactor.push(3, says("my sk-live"));
    for turn in 0..HELD_ENTRIES_MAX {
        redactor.push(4 + turn as u64, logs("x", 0));
    }
    assert_eq!(shown(&mut redactor).len(), HELD_ENTRIES_MAX + 1);
    redactor.push(2000, says("-0123456789 is it"));
    assert_eq!(shown(&mut redactor), ["*********** is it"]);

    redactor.push(2001, says("my sk-live"));
    redactor.push(2002, logs(&"x".repeat(HELD_BYTES_MAX), 0));
    assert_eq!(shown(&mut redactor).len(), 2);
}

#[test]
fn a_line_that_lost_bytes_is_covered_to_its_end() {
    let mut redactor = redactor(Redaction::Secrets);
    redactor.push(3, logs("key sk-live", 0));
    redactor.push(4, logs("23456789 is it\nnext\n", 700));
    assert_eq!(
        shown(&mut redactor),
        ["key *******", "******** ** **\nnext\n"]
    );
    redactor.lose();
    redactor.push(9, says("456789\",\"id\":3}\n{\"id\":4}\n"));
    let other = LinkId {
        incarnation: 2,
        ..LINK
    };
    let bytes = "89 x\ny\n".into();
    redactor.push(10, entry(Signal::Bytes { link: other, bytes }));
    assert_eq!(
        shown(&mut redactor),
        ["***************\n{\"id\":4}\n", "** *\ny\n"]
    );
}

#[test]
fn every_text_of_a_command_is_looked_through() {
    let text = || format!("a {TOKEN}");
    let json = || RawJson::of(&json!({"t": text(), "n": 5})).unwrap();
    let error = || RpcError {
        code: 5,
        message: text(),
        data: Some(json()),
    };
    let execute = |request| McpCommand::Execute {
        call: CallId(1),
        server: text(),
        request,
        options: CallOptions::default(),
    };
    let answer = |answer| McpCommand::Answer {
        id: CommandId(1),
        input: InputId(1),
        answer,
    };
    for command in [
        execute(Request::Tool {
            name: text(),
            arguments: Some(json()),
        }),
        execute(Request::Method {
            method: text(),
            params: Some(json()),
        }),
        McpCommand::Cancel {
            call: CallId(1),
            reason: Some(text()),
        },
        answer(Ok(json())),
        answer(Err(error())),
    ] {
        for level in [Redaction::Secrets, Redaction::Payloads] {
            let mut redactor = redactor(level);
            redactor.push(3, entry(command.clone()));
            let line = shown(&mut redactor).concat();
            assert!(line.contains(&"*".repeat(TOKEN.len())), "{line}");
            assert!(!line.contains("sk-live"), "{line}");
        }
    }
    let (link, message) = (LINK, text());
    for signal in [
        Signal::OpenFailed {
            link,
            message: message.clone(),
            transient: false,
        },
        Signal::WriteFailed { link, message },
    ] {
        let mut redactor = redactor(Redaction::Secrets);
        redactor.push(3, entry(signal));
        assert!(!shown(&mut redactor).concat().contains("sk-live"));
    }
}

#[test]
fn effects_have_no_secrets() {
    let mut redactor = redactor(Redaction::Secrets);
    let kind = Arc::new(server(TOKEN).kind);
    let bytes = format!("{{\"reason\":\"{TOKEN}\"}}\n").into();
    let mut turn = entry(Signal::Eof { link: LINK });
    turn.effects = vec![
        Effect::Open {
            link: LINK,
            server: ServerName::new("files").unwrap(),
            replica: 0,
            kind,
        },
        Effect::Send { link: LINK, bytes },
    ];
    redactor.push(3, turn);
    let line = shown(&mut redactor).concat();
    assert!(
        line.contains("<secret 1>") && line.contains("******\\\"}"),
        "{line}"
    );
    assert!(!line.contains("sk-live"), "{line}");
}

#[test]
fn a_secret_in_another_field_is_covered_in_the_finished_line() {
    let redactor = redactor(Redaction::Secrets);
    let line = redactor
        .line(&json!({"at": 3, "later_field": format!("x{TOKEN}")}))
        .unwrap();
    let stars = "*".repeat(TOKEN.len());
    let expected = format!("{{\"at\":3,\"later_field\":\"x{stars}\"}}\n");
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}

#[test]
fn a_value_that_is_itself_a_secret_leaves_nothing() {
    let mut redactor = Redactor::new(Redaction::Secrets);
    redactor.know("3.14159265");
    redactor.push(1, deploy(server(TOKEN)));
    let request = Request::Tool {
        name: "t".to_owned(),
        arguments: Some(RawJson::parse("{\"pi\":3.14159265}").unwrap()),
    };
    redactor.push(
        2,
        entry(McpCommand::Execute {
            call: CallId(1),
            server: "files".to_owned(),
            request,
            options: CallOptions::default(),
        }),
    );
    let lines = shown(&mut redactor);
    assert!(lines[1].contains("\"arguments\":{}"), "{lines:?}");
}

#[test]
fn nothing_is_changed_where_nothing_is_left_out() {
    let mut redactor = Redactor::new(Redaction::Nothing);
    let header = Header::new(FleetConfig::default(), 3);
    assert_eq!(redactor.header(header.clone()), header);
    let entries = [
        deploy(server(TOKEN)),
        opened(),
        says("sk-live"),
        logs("sk", 3),
    ];
    for (turn, entry) in entries.iter().enumerate() {
        redactor.push(turn as u64, entry.clone());
        assert_eq!(redactor.pop(), Some((turn as u64, entry.clone())));
    }
}

#[test]
fn a_header_says_what_is_left_out_and_has_no_secrets() {
    let mut config = FleetConfig::default();
    config.servers.push(server(TOKEN));
    config.client.implementation.name = format!("of {TOKEN}");
    let header = Redactor::new(Redaction::Payloads).header(Header::new(config, 3));
    let text = serde_json::to_string(&header).unwrap();
    assert!(text.contains("\"redaction\":\"payloads\""), "{text}");
    assert!(
        text.contains("<secret 1>") && !text.contains("sk-live"),
        "{text}"
    );
    // A journal of before.
    let old = text.replace(",\"redaction\":\"payloads\"", "");
    let old: Header = serde_json::from_str(&old).unwrap();
    assert_eq!(old.redaction, Redaction::Nothing);
}

#[test]
fn too_many_secrets_are_noticed() {
    let mut redactor = Redactor::new(Redaction::Secrets);
    for number in 0..SECRETS_MAX {
        assert!(!redactor.is_overwhelmed());
        redactor.know(&format!("secret-{number}"));
    }
    assert!(redactor.is_overwhelmed());
}
