//! What the machine wants done.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{chunk, config::Kind, ids::LinkId, ids::ServerName};

/// Work for the driver, in the order in which it must be begun.
///
/// Every [`Effect::Open`] is answered by exactly one terminal signal, [`crate::Signal::OpenFailed`]
/// or [`crate::Signal::Closed`]. Other effects for a link whose terminal signal is already on its
/// way are ignored by the driver.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Start the process, or make the connection.
    Open {
        /// The link to make.
        link: LinkId,
        /// The server's name: for logs, process markers and in-process look-up.
        server: ServerName,
        /// Which replica of it; 0 where there is one.
        #[serde(default)]
        replica: u32,
        /// How the server is reached.
        kind: Arc<Kind>,
    },
    /// Write these bytes, whole frames, after all that was sent on the link before.
    Send {
        /// The link.
        link: LinkId,
        /// What to write.
        #[serde(with = "chunk")]
        bytes: Bytes,
    },
    /// Close the write side (first rung of the close ladder): standard input, or its like.
    CloseInput {
        /// The link.
        link: LinkId,
    },
    /// Ask the whole process group to end (second rung): SIGTERM.
    Terminate {
        /// The link.
        link: LinkId,
    },
    /// End the whole process group (third rung): SIGKILL; stop reading, even if a process that
    /// escaped the group still holds the pipes.
    Kill {
        /// The link.
        link: LinkId,
    },
    /// Wait no longer for the end of what SIGKILL did not end, and answer with the terminal signal
    /// now.
    Abandon {
        /// The link.
        link: LinkId,
    },
}

impl Effect {
    /// The link it concerns.
    pub const fn link(&self) -> LinkId {
        match self {
            Self::Open { link, .. }
            | Self::Send { link, .. }
            | Self::CloseInput { link }
            | Self::Terminate { link }
            | Self::Kill { link }
            | Self::Abandon { link } => *link,
        }
    }
}
