//! What a fleet is made of: plain data, validated once, and the reading of it from a file.
//!
//! [`read()`] takes the `mcpServers` file of the ecosystem (Claude, Cursor, Windsurf, Cline and
//! many others), and the `servers` of VS Code. Comments and trailing commas are allowed.
//!
//! ```
//! let text = r#"{
//!   "mcpServers": {
//!     "files": { "command": "npx", "args": ["-y", "some-server", "${HOME}/notes"] },
//!     "search": { // reached over HTTP
//!       "url": "https://mcp.example.com/mcp",
//!       "headers": { "Authorization": "Bearer ${SEARCH_TOKEN:-none}" },
//!       "timeoutMs": 20000,
//!     },
//!   },
//!   "fleet": { "maxCalls": 1000, "defaults": { "maxInFlight": 16 } },
//! }"#;
//! let variable = |name: &str| (name == "HOME").then(|| "/home/ann".to_owned());
//! let loaded = mcp_fleet_core::config::read("mcp.json", text, &variable)?;
//! assert_eq!(loaded.config.servers.len(), 2);
//! # Ok::<(), mcp_fleet_core::config::ConfigErrors>(())
//! ```
//!
//! # Variables
//! In `command`, `args`, `cwd`, `url`, the values of `env` and `headers`, and the `uri` of a root:
//!
//! | written | becomes |
//! |---|---|
//! | `${NAME}`, `${env:NAME}` | the variable; an error where it is not set |
//! | `${NAME:-text}`, `${env:NAME:-text}` | the variable; the text where it is unset or empty |
//! | `${userHome}` | the variable `HOME` |
//! | `${pathSeparator}`, `${/}` | `/` |
//! | `~/` at the start of `command` or `cwd` | the variable `HOME` |
//! | `$${` | `${` itself |
//!
//! A bare `$NAME` is left as it is, and a value is never expanded again.
//!
//! # Keys
//! Unknown keys are warned of and have no effect. A key whose value is `null` counts as absent.
//! A `command` that is a relative path, and `cwd`, are taken as they are.
//!
#![doc = include_str!("keys.md")]

mod change;
mod draft;
mod expand;
mod idle;
mod keys;
mod limits;
pub(crate) mod near;
mod order;
mod path;
mod problem;
mod read;
mod server;
mod supervision;
mod syntax;
#[cfg(test)]
mod tests;
mod url;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    change::{Change, FleetChange, diff, diff_fleets},
    keys::{KEYS, Key, Place, keys_table},
    limits::{FleetLimits, ServerLimits},
    problem::{ConfigErrors, Problem},
    read::{Loaded, read},
    supervision::{Probe, Probes, Replace, Restart, Retry, Scope, Start, Strategy},
};
use crate::{event::Implementation, ids::ServerName};

/// A whole fleet.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FleetConfig {
    /// The servers to deploy.
    pub servers: Vec<ServerConfig>,
    /// Groups of servers, by name, and what the end of one means for the others.
    #[serde(default)]
    pub groups: BTreeMap<String, Strategy>,
    /// Bounds of the fleet as a whole.
    pub limits: FleetLimits,
    /// Who we are to servers, and what we offer them.
    pub client: ClientProfile,
}

/// One server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServerConfig {
    /// Its name, unique in the fleet ignoring case.
    pub name: ServerName,
    /// How it is reached.
    pub kind: Kind,
    /// Whether it is started at all.
    pub enabled: bool,
    /// When it is started again.
    #[serde(default)]
    pub restart: Restart,
    /// When it is started at first.
    #[serde(default)]
    pub start: Start,
    /// Who shares it.
    #[serde(default)]
    pub scope: Scope,
    /// Servers that are to be ready before it starts.
    #[serde(default)]
    pub after: Vec<ServerName>,
    /// The group, one of [`FleetConfig::groups`], that says what its end means for its neighbours.
    #[serde(default)]
    pub group: Option<String>,
    /// How its health is looked after.
    #[serde(default)]
    pub probes: Probes,
    /// Which calls that were lost are made again.
    #[serde(default)]
    pub retry: Retry,
    /// How it takes over from the one that it replaces.
    #[serde(default)]
    pub replace: Replace,
    /// Its bounds.
    pub limits: ServerLimits,
}

impl ServerConfig {
    /// An enabled server with default limits.
    pub fn new(name: ServerName, kind: Kind) -> Self {
        Self {
            name,
            kind,
            enabled: true,
            restart: Restart::default(),
            start: Start::default(),
            scope: Scope::default(),
            after: Vec::new(),
            group: None,
            probes: Probes::default(),
            retry: Retry::default(),
            replace: Replace::default(),
            limits: ServerLimits::default(),
        }
    }
}

/// How a server is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A child process that speaks over its standard input and output.
    Stdio(Stdio),
    /// A remote Streamable HTTP endpoint.
    Http(Http),
    /// A server of the application's own process, registered with the driver under the name.
    InProcess,
    /// A pair of byte streams that the application registered with the driver under the name.
    Attached,
}

impl Kind {
    /// The word for people and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Stdio(_) => "stdio",
            Self::Http(_) => "http",
            Self::InProcess => "in_process",
            Self::Attached => "attached",
        }
    }
}

/// A child process.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stdio {
    /// The program: a path, or a name to be found on `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside the few that every child gets.
    pub env: BTreeMap<String, String>,
    /// Its working directory; the host's own when absent.
    pub cwd: Option<String>,
}

/// A remote endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Http {
    /// The endpoint.
    pub url: String,
    /// Headers to send with every request.
    pub headers: BTreeMap<String, String>,
}

/// Who we are to servers, and what we offer them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClientProfile {
    /// The name and version sent as `clientInfo`.
    pub implementation: Implementation,
    /// The capabilities declared, and so the questions that reach the application.
    pub capabilities: ClientCapabilities,
}

impl Default for ClientProfile {
    fn default() -> Self {
        Self {
            implementation: Implementation {
                name: "mcp-fleet".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                title: None,
            },
            capabilities: ClientCapabilities::default(),
        }
    }
}

/// What servers may ask of us. All absent by default: such questions are refused by their codes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ClientCapabilities {
    /// The roots to answer `roots/list` with; the capability is not declared when absent.
    pub roots: Option<Vec<Root>>,
    /// Whether the application answers `sampling/createMessage`.
    pub sampling: Option<SamplingCapability>,
    /// Whether the application answers `elicitation/create`.
    pub elicitation: Option<ElicitationCapability>,
}

/// A directory that a server may work in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Root {
    /// A `file://` URI.
    pub uri: String,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
}

/// How much of sampling the application handles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SamplingCapability {
    /// Whether requests may bring tools.
    pub tools: bool,
    /// Whether requests may ask for the context of servers.
    pub context: bool,
}

/// How much of elicitation the application handles; one of the modes at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ElicitationCapability {
    /// Forms.
    pub form: bool,
    /// Addresses to open in a browser.
    pub url: bool,
}

impl Default for ElicitationCapability {
    fn default() -> Self {
        Self {
            form: true,
            url: false,
        }
    }
}
