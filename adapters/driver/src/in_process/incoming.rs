//! What a client wrote, as far as a server must read it.

use std::{borrow::Cow, fmt};

use mcp_fleet_core::{RawJson, RpcError};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub(super) const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_REQUEST: i64 = -32600;

/// One message.
#[derive(PartialEq, Debug)]
pub(super) enum Incoming {
    Request {
        id: Id,
        method: String,
        params: Option<RawJson>,
    },
    Notification {
        method: String,
        params: Option<RawJson>,
    },
    /// Nothing to act on: an answer, though a server of tools asks nothing, or a notification that
    /// is malformed.
    Ignored,
    Invalid {
        id: Option<Id>,
        error: RpcError,
    },
}

/// A request id as JSON text, so that the answer echoes its type and value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Id(String);

impl Id {
    /// Reads a string or an integer; other values are no ids.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        if text.starts_with('"') {
            // Written anew, so that equal strings with different escapes are one id.
            let string: Cow<'_, str> = serde_json::from_str(text).ok()?;
            return serde_json::to_string(&string).ok().map(Self);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let digits = digits.strip_suffix(".0").unwrap_or(digits);
        let integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        integer.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from an absent member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one line. `batches` says whether the negotiated revision has them.
pub(super) fn read(line: &[u8], batches: bool) -> Vec<Incoming> {
    let raw: &RawValue = match serde_json::from_slice(line) {
        Ok(raw) => raw,
        Err(error) => {
            return vec![invalid(None, PARSE_ERROR, format!("not JSON: {error}"))];
        }
    };
    if !raw.get().starts_with('[') {
        return vec![read_one(raw)];
    }
    if !batches {
        let message = "batches exist only in revision 2025-03-26".to_owned();
        return vec![invalid(None, INVALID_REQUEST, message)];
    }
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(messages) if !messages.is_empty() => messages.into_iter().map(read_one).collect(),
        Ok(_) | Err(_) => vec![invalid(None, INVALID_REQUEST, "empty batch".to_owned())],
    }
}

fn read_one(raw: &RawValue) -> Incoming {
    let envelope: Envelope<'_> = match serde_json::from_str(raw.get()) {
        Ok(envelope) => envelope,
        Err(error) => {
            return invalid(
                None,
                INVALID_REQUEST,
                format!("not a JSON-RPC message: {error}"),
            );
        }
    };
    let id = envelope.id.map(Id::read);
    let Some(method) = envelope.method else {
        if envelope.result.is_some() || envelope.error.is_some() {
            return Incoming::Ignored;
        }
        return invalid(id.flatten(), INVALID_REQUEST, "no `method`".to_owned());
    };
    let problem = if envelope.jsonrpc != "2.0" {
        Some("`jsonrpc` is not \"2.0\"")
    } else if matches!(id, Some(None)) {
        Some("`id` is neither a string nor an integer")
    } else if envelope
        .params
        .is_some_and(|params| !params.get().starts_with('{'))
    {
        Some("`params` is not an object")
    } else {
        None
    };
    let params = envelope
        .params
        .map(|params| RawJson::parse(params.get()))
        .transpose();
    match (id, problem, params) {
        // A notification is never answered, however wrong it is.
        (None, Some(_), _) | (None, None, Err(_)) => Incoming::Ignored,
        (None, None, Ok(params)) => Incoming::Notification {
            method: method.into_owned(),
            params,
        },
        (Some(id), Some(problem), _) => invalid(id, INVALID_REQUEST, problem.to_owned()),
        (Some(Some(id)), None, Ok(params)) => Incoming::Request {
            id,
            method: method.into_owned(),
            params,
        },
        (Some(id), None, Ok(_)) => invalid(id, INVALID_REQUEST, "no usable `id`".to_owned()),
        (Some(id), None, Err(error)) => invalid(id, INVALID_REQUEST, error.to_string()),
    }
}

fn invalid(id: Option<Id>, code: i64, message: String) -> Incoming {
    Incoming::Invalid {
        id,
        error: RpcError {
            code,
            message,
            data: None,
        },
    }
}
