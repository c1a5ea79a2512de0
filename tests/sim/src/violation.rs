//! What a life that went wrong says.

use std::fmt;

/// A promise of the machine that it did not keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which promise; the same for all ways to break it.
    pub promise: &'static str,
    /// How it was broken.
    pub message: String,
    /// Turns of the machine until then.
    pub turns: u64,
}

impl Violation {
    pub(crate) fn new(promise: &'static str, message: impl Into<String>) -> Self {
        Self {
            promise,
            message: message.into(),
            turns: 0,
        }
    }

    /// Says of which server.
    pub(crate) fn of(mut self, server: &str) -> Self {
        self.message = format!("{server}: {}", self.message);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (turn {})",
            self.promise, self.message, self.turns
        )
    }
}

impl std::error::Error for Violation {}

/// Breaks off with a [`Violation`] unless a promise is kept.
macro_rules! promise {
    ($kept:expr, $promise:expr, $($how:tt)+) => {
        if !$kept {
            return Err($crate::violation::Violation::new($promise, format!($($how)+)));
        }
    };
}
pub(crate) use promise;
