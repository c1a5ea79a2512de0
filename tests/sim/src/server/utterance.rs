//! A line of a server, and what it means to whoever reads it rightly.

/// One line, without its line break.
#[derive(Clone, Debug)]
pub(crate) struct Utterance {
    pub(crate) line: Vec<u8>,
    pub(crate) meaning: Meaning,
}

/// What a line means. The model knows this from the speaker, and parses nothing itself.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Meaning {
    /// The answer to a request, whether or not it waits for one.
    Answer { request: u64, answer: Answer },
    /// How far a request has come.
    Progress { request: u64, progress: f64 },
    /// Requests with these ids, as they stand.
    Asks(Vec<String>),
    /// No message at all.
    Noise,
    /// A notification, or a message that concerns nobody.
    Other,
}

/// What an answer says.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Answer {
    /// A result: this text.
    Result(String),
    /// An error of this code.
    Error(i64),
    /// Something that is no valid answer, to a request that it names.
    Broken,
    /// A sound answer that asks for input, and says for none.
    Vain,
    /// A modern server needs input first: `asks` questions for the application, and where
    /// `settled` some that the machine answers itself.
    Round { asks: usize, settled: bool },
}
