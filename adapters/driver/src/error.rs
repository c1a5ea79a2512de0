//! Why an operation of the handle or the manager failed.

use std::fmt;

use mcp_fleet_core::{CallError, CommandError, InvalidName, config::ConfigErrors};

/// Why a call has no result.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The fleet took the call, or refused it, and says why there is no result.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The arguments cannot be written as a JSON object.
    #[error("the arguments cannot be sent: {message}")]
    Arguments {
        /// What is wrong with them.
        message: String,
    },
    /// The fleet was shut down, or its async runtime was.
    #[error("the fleet does not run any more")]
    RuntimeGone,
}

/// Why a command other than a call failed.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// The fleet could not do it.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// No server can have that name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The fleet was shut down, or its async runtime was.
    #[error("the fleet does not run any more")]
    RuntimeGone,
    /// The machine answered with a reply of another kind: a fault of this crate.
    #[error("the reply does not fit the command")]
    OtherReply,
}

/// Why a fleet could not be started from its configuration.
///
/// Its `Debug` is its `Display`: a `main` that returns it prints what a person can read.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration file could not be read.
    #[error("cannot read {path}: {message}")]
    Unreadable {
        /// Where it was looked for.
        path: String,
        /// What the system said.
        message: String,
    },
    /// The configuration file is wrong.
    #[error("{0}")]
    Invalid(ConfigErrors),
    /// The fleet was shut down, or its async runtime was.
    #[error("the fleet does not run any more")]
    RuntimeGone,
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
