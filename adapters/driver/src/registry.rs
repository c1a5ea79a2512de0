//! What the application brought along: in-process servers and attached streams, by server name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures::io::{AsyncRead, AsyncWrite};
use mcp_fleet_core::ServerName;

use crate::in_process::InProcessServer;

/// In-process servers and attached byte streams by the name under which they are deployed.
///
/// An entry replaces the one of the same name; a link that is open already keeps what it has.
#[derive(Default)]
pub struct Registry {
    servers: BTreeMap<ServerName, Arc<dyn InProcessServer>>,
    streams: BTreeMap<ServerName, Streams>,
}

/// Both directions of an attached server.
pub(crate) struct Streams {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Registry {
    /// Keeps `server` for every [`mcp_fleet_core::config::Kind::InProcess`] link of `name`.
    pub fn register(&mut self, name: ServerName, server: Arc<dyn InProcessServer>) {
        self.servers.insert(name, server);
    }

    /// Keeps a pair of streams for the next [`mcp_fleet_core::config::Kind::Attached`] link of
    /// `name`, which consumes it.
    pub fn attach(
        &mut self,
        name: ServerName,
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) {
        let streams = Streams {
            reader: Box::new(reader),
            writer: Box::new(writer),
        };
        self.streams.insert(name, streams);
    }

    /// Forgets whatever is kept under `name`.
    pub fn forget(&mut self, name: &str) {
        self.servers.remove(name);
        self.streams.remove(name);
    }

    pub(crate) fn server(&self, name: &ServerName) -> Option<Arc<dyn InProcessServer>> {
        self.servers.get(name).cloned()
    }

    pub(crate) fn take_streams(&mut self, name: &ServerName) -> Option<Streams> {
        self.streams.remove(name)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("servers", &self.servers.keys())
            .field("streams", &self.streams.keys())
            .finish()
    }
}
