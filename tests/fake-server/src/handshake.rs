//! How a session begins, in both eras.

use std::io;

use serde_json::{Value, json};

use crate::{
    message::{
        Answer, CLIENT_CAPABILITIES, PROTOCOL_VERSION, Request, RpcError, SUBSCRIPTION_ID, given,
        set,
    },
    process,
    script::{Eras, Handshake, NamedHandshake, Script},
};

/// What is to be done about `server/discover` or `initialize`.
pub(crate) enum Step {
    Answer(Answer),
    Silence,
    Exit,
    CannotClose(io::Error),
}

/// `server/discover`.
pub(crate) fn discover(script: &Script) -> Step {
    let legacy = script.era == Eras::Legacy;
    let default = if legacy {
        Handshake::Code(-32601)
    } else {
        Handshake::Named(NamedHandshake::Answer)
    };
    step(script, script.discover.unwrap_or(default), || {
        let mut result = json!({
            "supportedVersions": script.modern_revisions(),
            "capabilities": capabilities(script, true),
            "ttlMs": 0,
            "cacheScope": "private",
        });
        if let Some(instructions) = &script.instructions {
            set(&mut result, "instructions", json!(instructions));
        }
        Ok(result)
    })
}

/// `initialize`; beside the step, the revision agreed on.
pub(crate) fn initialize(script: &Script, request: &Request) -> (Step, Option<String>) {
    let revisions = script.legacy_revisions();
    let asked = request
        .param("protocolVersion")
        .as_str()
        .unwrap_or_default();
    let agreed = match (&script.answer_version, revisions.contains(&asked)) {
        (Some(version), _) => Some(version.clone()),
        (None, true) => Some(asked.to_owned()),
        (None, false) => revisions.last().map(|newest| (*newest).to_owned()),
    };
    let Some(version) = agreed else {
        return (
            Step::Answer(Err(unsupported(script, request, -32022))),
            None,
        );
    };
    let step = step(script, script.initialize, || {
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": capabilities(script, false),
            "serverInfo": info(script),
        });
        if let Some(instructions) = &script.instructions {
            set(&mut result, "instructions", json!(instructions));
        }
        Ok(result)
    });
    let open = matches!(step, Step::Answer(Ok(_)));
    (step, open.then_some(version))
}

/// Checks the envelope of a modern request.
pub(crate) fn envelope(script: &Script, request: &Request) -> Result<(), RpcError> {
    if script.lenient {
        return Ok(());
    }
    let version = request.meta(PROTOCOL_VERSION).as_str();
    let Some(version) = version.filter(|_| request.meta(CLIENT_CAPABILITIES).is_object()) else {
        return Err(RpcError::new(
            -32602,
            "the envelope is missing or incomplete",
        ));
    };
    if script.modern_revisions().contains(&version) {
        return Ok(());
    }
    Err(unsupported(script, request, -32022))
}

/// Who the server says it is.
pub(crate) fn info(script: &Script) -> Value {
    json!({"name": script.name, "version": env!("CARGO_PKG_VERSION")})
}

/// The acknowledgement that opens a `subscriptions/listen`.
pub(crate) fn acknowledgement(request: &Request) -> Value {
    let mut meta = json!({});
    set(&mut meta, SUBSCRIPTION_ID, request.id.clone());
    json!({"notifications": request.param("notifications"), "_meta": meta})
}

fn step(script: &Script, handshake: Handshake, answer: impl FnOnce() -> Answer) -> Step {
    match handshake {
        Handshake::Code(code) => Step::Answer(Err(RpcError::new(code, "refused by the script"))),
        Handshake::Named(NamedHandshake::Answer) => Step::Answer(answer()),
        Handshake::Named(NamedHandshake::Unsupported) => {
            let code = if script.era == Eras::Legacy {
                -32602
            } else {
                -32022
            };
            let supported = offered(script);
            let data = json!({"supported": supported, "requested": "what you asked"});
            Step::Answer(Err(RpcError::with_data(
                code,
                "unsupported protocol version",
                data,
            )))
        }
        Handshake::Named(NamedHandshake::Silence) => Step::Silence,
        Handshake::Named(NamedHandshake::Garbage) => Step::Answer(Ok(json!({"zebra": [1, 2, 3]}))),
        Handshake::Named(NamedHandshake::Exit) => Step::Exit,
        Handshake::Named(NamedHandshake::CloseStdout) => {
            Step::CannotClose(process::close_stdout(script))
        }
    }
}

fn unsupported(script: &Script, request: &Request, code: i64) -> RpcError {
    let asked =
        given(request.meta(PROTOCOL_VERSION)).unwrap_or_else(|| request.param("protocolVersion"));
    let data = json!({"supported": offered(script), "requested": asked});
    RpcError::with_data(code, "unsupported protocol version", data)
}

fn offered(script: &Script) -> Vec<&str> {
    let mut all = script.modern_revisions();
    all.extend(script.legacy_revisions());
    all
}

fn capabilities(script: &Script, modern: bool) -> Value {
    let mut all = json!({});
    for name in &script.capabilities {
        let value = match name.as_str() {
            "tools" | "prompts" => json!({"listChanged": true}),
            "resources" => json!({"listChanged": true, "subscribe": true}),
            _ => json!({}),
        };
        set(&mut all, name, value);
    }
    if modern {
        set(&mut all, "extensions", json!({}));
    }
    all
}
