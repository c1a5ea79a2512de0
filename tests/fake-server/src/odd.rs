//! Answers that no server should give.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    message::{Answer, Request, RpcError, response, set, text},
    server::Server,
};

/// How an answer departs from the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Odd {
    Normal,
    WrongId,
    UnknownIdFirst,
    StringId,
    FloatId,
    NullId,
    NoId,
    Duplicate,
    ResultAndError,
    Neither,
    Array,
    Scalar,
    DuplicateKeys,
    UnknownResultType,
    NoResultType,
    NoContent,
    Deep,
    LoneSurrogate,
    InvalidUtf8,
    FloatCode,
    Half,
    NoNewline,
    Silence,
}

/// Answers `request` as `odd` wants it.
pub(crate) fn reply(server: &Arc<Server>, request: &Request, odd: Odd, answer: Answer) {
    let frame = server.response(request, answer);
    match odd {
        Odd::Normal => server.output.frame(frame.to_string()),
        Odd::WrongId => server
            .output
            .frame(with(frame, "id", json!(4_000_000_000_u64)).to_string()),
        Odd::UnknownIdFirst => {
            let stray = response(&json!("nobody-asked"), Ok(text("stray")));
            server
                .output
                .frames(&[stray.to_string(), frame.to_string()]);
        }
        Odd::StringId => {
            let id = request
                .id
                .as_str()
                .map_or_else(|| request.id.to_string(), str::to_owned);
            server
                .output
                .frame(with(frame, "id", json!(id)).to_string());
        }
        Odd::FloatId => {
            let id = request
                .id
                .as_f64()
                .map_or_else(|| request.id.clone(), |id| json!(id));
            server.output.frame(with(frame, "id", id).to_string());
        }
        Odd::NullId => server
            .output
            .frame(with(frame, "id", Value::Null).to_string()),
        Odd::NoId => server.output.frame(without(frame, "id").to_string()),
        Odd::Duplicate => server
            .output
            .frames(&[frame.to_string(), frame.to_string()]),
        Odd::ResultAndError => {
            let error = json!({"code": -32603, "message": "and yet"});
            server.output.frame(with(frame, "error", error).to_string());
        }
        Odd::Neither => {
            server
                .output
                .frame(without(without(frame, "result"), "error").to_string());
        }
        Odd::Array => server.output.frame(json!([frame]).to_string()),
        Odd::Scalar => server.output.frame("42"),
        Odd::DuplicateKeys => {
            let text = frame.to_string();
            let rest = text.strip_prefix('{').unwrap_or(&text);
            server.output.frame(format!(r#"{{"id":"another",{rest}"#));
        }
        Odd::UnknownResultType => {
            server.reply(
                request,
                Ok(with(text("what is it?"), "resultType", json!("zebra"))),
            );
        }
        Odd::NoResultType => server
            .output
            .frame(response(&request.id, Ok(text("bare"))).to_string()),
        Odd::NoContent => server.reply(request, Ok(json!({"structuredContent": null}))),
        Odd::Deep => {
            let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
            splice(server, request, &deep);
        }
        Odd::LoneSurrogate => splice(server, request, r#"{"content":[],"note":"\ud800"}"#),
        Odd::InvalidUtf8 => {
            server
                .output
                .frame(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/\xff\"}");
            server.output.frame(frame.to_string());
        }
        Odd::FloatCode => {
            let error = json!({"code": 1.5, "message": "between two codes"});
            server
                .output
                .frame(with(without(frame, "result"), "error", error).to_string());
        }
        Odd::Half => {
            let text = frame.to_string();
            server
                .output
                .raw(text.as_bytes().get(..text.len() / 2).unwrap_or_default());
            std::process::exit(0);
        }
        Odd::NoNewline => {
            server.output.raw(frame.to_string().as_bytes());
            std::process::exit(0);
        }
        Odd::Silence => {}
    }
}

/// Answers with a result that stands in the frame exactly as given.
pub(crate) fn splice(server: &Server, request: &Request, result: &str) {
    let id = &request.id;
    server.output.frame(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ));
}

/// The kind that a call of the tool `odd` names.
pub(crate) fn named(request: &Request) -> Result<Odd, RpcError> {
    serde_json::from_value(request.argument("kind").clone())
        .map_err(|error| RpcError::new(-32602, error.to_string()))
}

fn with(mut frame: Value, member: &str, value: Value) -> Value {
    set(&mut frame, member, value);
    frame
}

fn without(mut frame: Value, member: &str) -> Value {
    if let Value::Object(members) = &mut frame {
        members.remove(member);
    }
    frame
}
