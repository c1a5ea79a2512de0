//! What can be wrong with a message.

use crate::error::RpcError;

/// How a line breaks the protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It is no text.
    #[error("not UTF-8")]
    NotUtf8,
    /// It is text, but no JSON: mostly a log line or banner on standard output.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// It is a JSON value that is neither an object nor an array.
    #[error("a JSON value that is no object")]
    NotAnObject,
    /// It is an object with neither `jsonrpc` nor `id`: mostly a structured log line.
    #[error("an object that is no JSON-RPC message")]
    NotRpc,
    /// It is an array of messages, which only revision 2025-03-26 has.
    #[error("a batch")]
    Batch,
    /// It should be an array of messages, and is something else.
    #[error("not a batch")]
    NotABatch,
    /// It is an array without messages.
    #[error("an empty batch")]
    EmptyBatch,
    /// It is an array of too many messages.
    #[error("a batch of more than {entries_max} messages")]
    BatchTooLong {
        /// How many there may be.
        entries_max: usize,
    },
    /// A member of the envelope stands there twice, so that it can be read in two ways.
    #[error("member {0:?} stands there twice")]
    DuplicateMember(String),
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("`jsonrpc` is not \"2.0\"")]
    Version,
    /// `id` is neither a string nor an integer, or missing where it must be.
    #[error("`id` is neither a string nor an integer")]
    BadId,
    /// `method` is not a string of Unicode text, or missing where it must be.
    #[error("`method` is not a string")]
    BadMethod,
    /// `params` is neither an object nor an array.
    #[error("`params` is neither an object nor an array")]
    BadParams,
    /// It has a method like a request and an outcome like a response.
    #[error("both a request and a response")]
    RequestAndResponse,
    /// It has both a result and an error.
    #[error("both `result` and `error`")]
    ResultAndError,
    /// It has an id and nothing else: no method, no result, no error.
    #[error("neither `result` nor `error`")]
    NeitherResultNorError,
    /// `error` has no integer `code`, no string `message`, or is no object.
    #[error("`error` is no error object: {0}")]
    BadError(String),
    /// It is an error about a request whose id the sender could not read.
    #[error("an error without an id: {0}")]
    ErrorWithoutId(#[source] RpcError),
}

impl Violation {
    /// Whether the line is probably no attempt at a message at all, but output that strayed onto
    /// the channel.
    pub const fn is_noise(&self) -> bool {
        match self {
            Self::NotUtf8 | Self::NotJson(_) | Self::NotAnObject | Self::NotRpc => true,
            Self::Batch
            | Self::NotABatch
            | Self::EmptyBatch
            | Self::BatchTooLong { .. }
            | Self::DuplicateMember(_)
            | Self::Version
            | Self::BadId
            | Self::BadMethod
            | Self::BadParams
            | Self::RequestAndResponse
            | Self::ResultAndError
            | Self::NeitherResultNorError
            | Self::BadError(_)
            | Self::ErrorWithoutId(_) => false,
        }
    }
}
