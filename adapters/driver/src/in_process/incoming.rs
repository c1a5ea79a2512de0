//! What a client wrote, as far as a server must act on it.

use bytes::Bytes;
use mcp_fleet_core::{
    RawJson, RpcError,
    wire::{self, Id, Malformed, Message, Violation},
};

pub(super) const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_REQUEST: i64 = -32600;

/// Messages in one batch.
const BATCH_MAX: usize = 1024;

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
    Invalid {
        id: Option<Id>,
        error: RpcError,
    },
}

/// Reads one line. `batches` says whether the negotiated revision has them.
///
/// Answers are left out, since a server of tools asks nothing, and so are malformed notifications.
pub(super) fn read(line: &Bytes, batches: bool) -> Vec<Incoming> {
    match wire::read(line.clone()) {
        Err(Malformed {
            violation: Violation::Batch,
            ..
        }) if batches => match wire::split_batch(line, BATCH_MAX) {
            Ok(entries) => entries
                .into_iter()
                .map(wire::read)
                .filter_map(incoming)
                .collect(),
            Err(violation) => vec![invalid(None, &violation)],
        },
        message => incoming(message).into_iter().collect(),
    }
}

fn incoming(message: Result<Message, Malformed>) -> Option<Incoming> {
    match message {
        Ok(Message::Request { id, method, params }) => Some(Incoming::Request {
            id,
            method: method.to_string(),
            params,
        }),
        Ok(Message::Notification { method, params }) => Some(Incoming::Notification {
            method: method.to_string(),
            params,
        }),
        Ok(Message::Response { .. }) => None,
        Err(malformed) if malformed.answer => None,
        Err(Malformed {
            id: None,
            violation,
            ..
        }) if may_be_notification(&violation) => None,
        Err(Malformed { id, violation, .. }) => Some(invalid(id, &violation)),
    }
}

/// Whether what has no readable id may have none, and so wants no answer.
fn may_be_notification(violation: &Violation) -> bool {
    if let Violation::DuplicateMember(name) = violation {
        return name != "id";
    }
    matches!(
        violation,
        Violation::Version | Violation::BadMethod | Violation::BadParams
    )
}

fn invalid(id: Option<Id>, violation: &Violation) -> Incoming {
    let unreadable = matches!(violation, Violation::NotUtf8 | Violation::NotJson(_));
    let code = if unreadable {
        PARSE_ERROR
    } else {
        INVALID_REQUEST
    };
    Incoming::Invalid {
        id,
        error: RpcError {
            code,
            message: violation.to_string(),
            data: None,
        },
    }
}
