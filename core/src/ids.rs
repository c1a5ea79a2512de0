//! Names and numbers of the things in a fleet.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize};

/// The slab key of one supervised server.
///
/// A key is used again after its server was undeployed; [`LinkId`] stays unique all the same,
/// because incarnations go on counting in a slot whoever lives there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(pub u32);

/// One incarnation of one server: the channel that signals and effects speak of.
///
/// A signal that names an older incarnation is counted and dropped, so no race between a restart
/// and the last words of the process before it can reach the new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId {
    /// The slot of the server.
    pub server: ServerId,
    /// Which life of the slot's server, counted from 1 and never repeated within the slot.
    pub incarnation: u32,
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.server.0, self.incarnation)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One call, from its acceptance to its single outcome. Chosen by the handle, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// One client: whoever makes calls through the application, such as one connection. Chosen by the
/// handle, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

/// One command other than a call. Chosen by the handle, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// One question of a server to the application (sampling, elicitation). Chosen by the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputId(pub u64);

/// The configured name of a server: 1 to 64 characters of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// The longest name, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Checks `name` and takes it.
    ///
    /// # Errors
    /// [`InvalidName`] where `name` is empty, too long, or holds another character.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > Self::LENGTH_MAX || !name.chars().all(plain) {
            return Err(InvalidName {
                name: name.to_owned(),
            });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl<'de> Deserialize<'de> for ServerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// A server name that breaks the rule of [`ServerName`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is not a server name: use 1 to 64 characters of A-Z a-z 0-9 _ -")]
pub struct InvalidName {
    /// What was found.
    pub name: String,
}
