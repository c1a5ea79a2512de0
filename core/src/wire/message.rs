//! The JSON-RPC envelope.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    id::{Id, string_content},
    integer::Integer,
    json::RawJson,
    members::{Members, Name},
    violation::Violation,
};
use crate::error::RpcError;

/// One message, its payload unread.
///
/// Payloads share the bytes of the line they came in. The id of a request does not, so that it can
/// be kept until the answer without keeping the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// The other side asks and wants an answer.
    Request {
        /// To be echoed exactly.
        id: Id,
        /// What it asks.
        method: ByteString,
        /// An object or array.
        params: Option<RawJson>,
    },
    /// The other side tells, and wants no answer.
    Notification {
        /// What it tells.
        method: ByteString,
        /// An object or array.
        params: Option<RawJson>,
    },
    /// The other side answers.
    Response {
        /// The id of the request, as the other side writes it.
        id: Id,
        /// Any JSON value, or an error.
        outcome: Result<RawJson, RpcError>,
    },
}

/// A line that is no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{violation}")]
pub struct Malformed {
    /// Its id, where it has a valid one.
    pub id: Option<Id>,
    /// Whether it looks like a response: the request of that id is to fail, and nothing is to be
    /// answered.
    pub answer: bool,
    /// What is wrong with it.
    #[source]
    pub violation: Violation,
}

/// Reads one line.
///
/// Strict where a message could be read in two ways: members of the envelope that stand there
/// twice, an outcome beside a method, both outcomes. Liberal where the meaning is plain: unknown
/// members are skipped, `"params":null` and `"data":null` are as good as absent, `"error":null`
/// beside a result is skipped (servers of the JSON-RPC 1.0 habit write it), and integers may be
/// written with a fraction of zero. Payloads may nest to any depth, since nothing descends into
/// them.
///
/// # Errors
/// What is wrong with the line, and whom it concerns.
pub fn read(line: Bytes) -> Result<Message, Malformed> {
    let line = text_of(line)?;
    if !first_token(&line).is_some_and(|token| token == b'{') {
        return Err(nobody(no_object(&line)));
    }
    let members: Members<'_> =
        serde_json::from_str(&line).map_err(|error| nobody(not_json(&error)))?;
    let broken = memchr::memchr2(b'\n', b'\r', line.as_bytes()).is_some();
    Envelope {
        line: &line,
        broken,
        members,
    }
    .judge()
}

/// Takes a batch apart; the entries share the bytes of the line.
///
/// # Errors
/// [`Violation::NotJson`], [`Violation::NotABatch`], [`Violation::EmptyBatch`] and
/// [`Violation::BatchTooLong`]: of such a batch nothing is to be read.
pub fn split_batch(line: &Bytes, entries_max: usize) -> Result<Vec<Bytes>, Violation> {
    let text = std::str::from_utf8(line).map_err(|_invalid| Violation::NotUtf8)?;
    if !first_token(text).is_some_and(|token| token == b'[') {
        return Err(match no_object(text) {
            Violation::NotJson(message) => Violation::NotJson(message),
            _ => Violation::NotABatch,
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let entries = deserializer
        .deserialize_seq(Entries { line, entries_max })
        .map_err(|error| not_json(&error))?
        .ok_or(Violation::BatchTooLong { entries_max })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    if entries.is_empty() {
        Err(Violation::EmptyBatch)
    } else {
        Ok(entries)
    }
}

struct Envelope<'a> {
    line: &'a ByteString,
    /// Whether there are raw line breaks between its tokens.
    broken: bool,
    members: Members<'a>,
}

impl Envelope<'_> {
    fn judge(self) -> Result<Message, Malformed> {
        let Members {
            jsonrpc,
            id,
            method,
            params,
            result,
            error,
            duplicate,
        } = &self.members;
        if jsonrpc.is_none() && id.is_none() {
            return Err(nobody(Violation::NotRpc));
        }
        let outcome = result.is_some() || error.is_some();
        let answer = outcome || (method.is_none() && params.is_none());
        let identity = if *duplicate == Some(Name::Id) {
            None
        } else {
            self.id()
        };
        let malformed = |violation| Malformed {
            id: identity.clone(),
            answer,
            violation,
        };
        if let Some(name) = duplicate {
            return Err(malformed(Violation::DuplicateMember(
                name.as_str().to_owned(),
            )));
        }
        if jsonrpc
            .and_then(|version| string_content(version.get()))
            .as_deref()
            != Some("2.0")
        {
            return Err(malformed(Violation::Version));
        }
        if method.is_some() && outcome {
            return Err(malformed(Violation::RequestAndResponse));
        }
        if answer {
            return self.response(identity.clone()).map_err(malformed);
        }
        if id.is_some() && identity.is_none() {
            return Err(malformed(Violation::BadId));
        }
        let method = self
            .method()
            .ok_or_else(|| malformed(Violation::BadMethod))?;
        let params = self.params().map_err(malformed)?;
        Ok(match identity {
            Some(id) => Message::Request {
                id: id.detached(),
                method,
                params,
            },
            None => Message::Notification { method, params },
        })
    }

    fn response(&self, id: Option<Id>) -> Result<Message, Violation> {
        let outcome = match (self.members.result, self.members.error) {
            (Some(result), None) => Ok(self.slice(result)),
            (Some(result), Some(error)) if error.get() == "null" => Ok(self.slice(result)),
            (Some(_), Some(_)) => return Err(Violation::ResultAndError),
            (None, Some(error)) if error.get() != "null" => Err(self.error(error)?),
            (None, Some(_) | None) => return Err(Violation::NeitherResultNorError),
        };
        match (id, outcome) {
            (Some(id), outcome) => Ok(Message::Response { id, outcome }),
            (None, Err(error)) if self.members.id.is_none_or(|id| id.get() == "null") => {
                Err(Violation::ErrorWithoutId(error))
            }
            (None, _) => Err(Violation::BadId),
        }
    }

    fn id(&self) -> Option<Id> {
        Id::of(self.slice(self.members.id?))
    }

    fn method(&self) -> Option<ByteString> {
        let content = string_content(self.members.method?.get())?;
        Some(match content {
            std::borrow::Cow::Borrowed(slice) => self.line.slice_ref(slice),
            std::borrow::Cow::Owned(text) => text.into(),
        })
    }

    fn params(&self) -> Result<Option<RawJson>, Violation> {
        match self.members.params {
            None => Ok(None),
            Some(params) if params.get() == "null" => Ok(None),
            Some(params) if params.get().starts_with(['{', '[']) => Ok(Some(self.slice(params))),
            Some(_) => Err(Violation::BadParams),
        }
    }

    fn error(&self, error: &RawValue) -> Result<RpcError, Violation> {
        if !error.get().starts_with('{') {
            return Err(Violation::BadError("not an object".to_owned()));
        }
        let body: ErrorBody<'_> = serde_json::from_str(error.get())
            .map_err(|error| Violation::BadError(error.to_string()))?;
        let code = Integer::read(body.code.get())
            .and_then(Integer::to_i64)
            .ok_or_else(|| Violation::BadError("`code` is not an integer".to_owned()))?;
        Ok(RpcError {
            code,
            message: body.message,
            data: body.data.map(|data| self.slice(data)),
        })
    }

    fn slice(&self, value: &RawValue) -> RawJson {
        if self.broken {
            return RawJson::from_valid(value.get().replace(['\n', '\r'], " ").into());
        }
        RawJson::slice_of(self.line, value)
    }
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    code: &'a RawValue,
    message: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

struct Entries<'a> {
    line: &'a Bytes,
    entries_max: usize,
}

impl<'de> Visitor<'de> for Entries<'_> {
    /// Nothing where there are too many.
    type Value = Option<Vec<Bytes>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut slices = Some(Vec::new());
        while let Some(entry) = entries.next_element::<&RawValue>()? {
            slices = slices.filter(|slices| slices.len() < self.entries_max);
            if let Some(slices) = &mut slices {
                slices.push(self.line.slice_ref(entry.get().as_bytes()));
            }
        }
        Ok(slices)
    }
}

fn text_of(line: Bytes) -> Result<ByteString, Malformed> {
    ByteString::try_from(line).map_err(|_invalid| nobody(Violation::NotUtf8))
}

/// The first byte that is not JSON white space.
fn first_token(text: &str) -> Option<u8> {
    text.bytes()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// What a text is that does not begin like an object.
fn no_object(text: &str) -> Violation {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) if value.get().starts_with('[') => Violation::Batch,
        Ok(_) => Violation::NotAnObject,
        Err(error) => not_json(&error),
    }
}

fn not_json(error: &serde_json::Error) -> Violation {
    Violation::NotJson(error.to_string())
}

/// A line without a valid envelope concerns nobody.
fn nobody(violation: Violation) -> Malformed {
    Malformed {
        id: None,
        answer: false,
        violation,
    }
}
