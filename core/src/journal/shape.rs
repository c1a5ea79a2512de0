//! Which parts of a message are its shape, which the machine reads, and which are payload.

/// What a JSON value is within a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// A message, or a batch of them.
    Message,
    /// `params` of a request or notification.
    Params,
    /// `result` of a response, or an answer within `inputResponses`.
    Outcome,
    /// `error` of a response.
    Error,
    /// `error.data`.
    ErrorData,
    /// `_meta`.
    Meta,
    /// A list of tools or prompts, and each of them.
    Named,
    /// `inputRequests`: an object of questions.
    Questions,
    /// One of them.
    Question,
    /// `inputResponses`: an object of answers.
    Answers,
    /// Stays as it is, with all that is in it.
    Kept,
    /// Only its structure and the names of its members stay.
    Payload,
}

impl Shape {
    /// What the member `name` of an object of this shape is.
    pub(super) fn member(self, name: &str) -> Self {
        match self {
            Self::Message => match name {
                "jsonrpc" | "id" | "method" => Self::Kept,
                "params" => Self::Params,
                "result" => Self::Outcome,
                "error" => Self::Error,
                _ => Self::Payload,
            },
            Self::Params => match name {
                "name" | "protocolVersion" | "clientInfo" | "capabilities" | "cursor"
                | "progressToken" | "progress" | "total" | "requestId" | "reason" | "level"
                | "logger" | "mode" | "includeContext" | "notifications" => Self::Kept,
                "_meta" => Self::Meta,
                "inputResponses" => Self::Answers,
                _ => Self::Payload,
            },
            Self::Outcome => match name {
                "protocolVersion" | "supportedVersions" | "capabilities" | "serverInfo"
                | "instructions" | "resultType" | "nextCursor" | "isError" | "ttlMs"
                | "cacheScope" | "action" | "roots" => Self::Kept,
                "_meta" => Self::Meta,
                "tools" | "prompts" => Self::Named,
                "inputRequests" => Self::Questions,
                _ => Self::Payload,
            },
            Self::Error => match name {
                "code" => Self::Kept,
                "data" => Self::ErrorData,
                _ => Self::Payload,
            },
            Self::ErrorData => match name {
                "supported" | "requested" => Self::Kept,
                _ => Self::Payload,
            },
            Self::Meta => match name {
                "progressToken" => Self::Kept,
                name if name.starts_with("io.modelcontextprotocol/") => Self::Kept,
                _ => Self::Payload,
            },
            Self::Named => match name {
                "name" => Self::Kept,
                _ => Self::Payload,
            },
            Self::Questions => Self::Question,
            Self::Question => match name {
                "method" => Self::Kept,
                "params" => Self::Params,
                _ => Self::Payload,
            },
            Self::Answers => Self::Outcome,
            Self::Kept => Self::Kept,
            Self::Payload => Self::Payload,
        }
    }

    /// What an element of an array of this shape is.
    pub(super) const fn element(self) -> Self {
        match self {
            Self::Message => Self::Message,
            Self::Named => Self::Named,
            Self::Kept => Self::Kept,
            Self::Params
            | Self::Outcome
            | Self::Error
            | Self::ErrorData
            | Self::Meta
            | Self::Questions
            | Self::Question
            | Self::Answers
            | Self::Payload => Self::Payload,
        }
    }

    /// The same of a frame that the machine sends: the words of its errors are its own.
    pub(super) fn sent_member(self, name: &str) -> Self {
        match (self, name) {
            (Self::Error, "message") => Self::Kept,
            _ => self.member(name),
        }
    }
}
