//! The published protocol revisions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A published revision of the protocol, in order of publication.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Revision {
    /// `2024-11-05`
    #[serde(rename = "2024-11-05")]
    V2024_11_05,
    /// `2025-03-26`; the only one with JSON-RPC batches.
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    /// `2025-06-18`
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    /// `2025-11-25`; the last with a handshake.
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    /// `2026-07-28`; stateless.
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

/// How a session begins and what every request carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// The `initialize` handshake; state belongs to the connection.
    Legacy,
    /// Every request carries its own envelope.
    Modern,
}

impl Revision {
    /// All, oldest first.
    pub const VALUES: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    /// The newest that begins with a handshake: what `initialize` offers.
    pub const LEGACY_NEWEST: Self = Self::V2025_11_25;
    /// The newest stateless one: what `server/discover` offers.
    pub const MODERN_NEWEST: Self = Self::V2026_07_28;

    /// The revision of that name, if it is one of the published.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::VALUES
            .into_iter()
            .find(|revision| revision.as_str() == name)
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Its era.
    pub const fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Legacy
            }
            Self::V2026_07_28 => Era::Modern,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
