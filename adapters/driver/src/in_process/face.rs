//! What a server answers from what it said of itself, with no tool involved.

use std::collections::HashSet;

use bytes::Bytes;
use mcp_fleet_core::{
    Era, Implementation, RawJson, Revision, RpcError,
    wire::{Id, frame},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

use super::{InProcessServer, Tool, ToolOutput, call::Progress};

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
pub(super) const INTERNAL_ERROR: i64 = -32603;
const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// How long a client may keep what the server says of itself: it does not change on a link.
const TTL_MS: u64 = 3_600_000;

/// The server's description of itself, read once.
#[derive(Debug)]
pub(super) struct Face {
    implementation: Value,
    instructions: Option<String>,
    tools: Vec<Tool>,
    names: HashSet<String>,
}

/// What is to be done about a request.
#[derive(Debug)]
pub(super) enum Action {
    /// Answer with these members of a result.
    Answer(Era, Map<String, Value>),
    /// Answer, and speak this revision from here on.
    Initialize(Revision, Map<String, Value>),
    /// Run a tool.
    Call(Box<Invocation>),
}

/// A call that may be made.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) era: Era,
    pub(super) name: String,
    pub(super) arguments: RawJson,
    pub(super) meta: Option<RawJson>,
    pub(super) token: Option<Id>,
}

#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(rename = "_meta", borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
    #[serde(rename = "protocolVersion", borrow)]
    protocol_version: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ClientInfo {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "version")]
    _version: String,
}

impl Face {
    pub(super) fn of(server: &dyn InProcessServer) -> Self {
        let Implementation {
            name,
            version,
            title,
        } = server.implementation();
        let mut implementation = json!({ "name": name, "version": version });
        if let (Some(title), Some(members)) = (title, implementation.as_object_mut()) {
            members.insert("title".to_owned(), title.into());
        }
        let tools = server.tools();
        let names = tools.iter().map(|tool| tool.name.clone()).collect();
        Self {
            implementation,
            instructions: server.instructions(),
            tools,
            names,
        }
    }

    /// Decides about one request. `legacy` is what `initialize` agreed on, if it came.
    ///
    /// # Errors
    /// What the request is refused with.
    pub(super) fn action(
        &self,
        legacy: Option<Revision>,
        method: &str,
        params: Option<&RawJson>,
    ) -> Result<Action, RpcError> {
        // Derived readers take arrays for objects.
        if params.is_some_and(|params| !params.is_object()) {
            return Err(invalid_params("`params` is not an object"));
        }
        let text = params.map_or("{}", RawJson::as_str);
        let params: Params<'_> =
            serde_json::from_str(text).map_err(|error| invalid_params(error.to_string()))?;
        let meta: Map<String, Value> = match params.meta {
            Some(meta) => serde_json::from_str(meta.get())
                .map_err(|_| invalid_params("`_meta` is not an object"))?,
            None => Map::new(),
        };
        let era = if meta.contains_key(PROTOCOL_VERSION) {
            check_envelope(&meta)?;
            Era::Modern
        } else {
            match (method, legacy) {
                ("initialize", _) => return self.initialize(&params),
                ("ping", _) => return Ok(Action::Answer(Era::Legacy, Map::new())),
                (_, Some(_)) => Era::Legacy,
                // MCP 2026-07-28, basic: a request without its envelope is malformed.
                (_, None) => return Err(missing(PROTOCOL_VERSION)),
            }
        };
        match (method, era) {
            ("server/discover", Era::Modern) => Ok(Action::Answer(era, self.discover())),
            ("tools/list", _) if self.has_tools() => {
                if params.cursor.is_some() {
                    return Err(invalid_params("no such `cursor`: the list has one page"));
                }
                Ok(Action::Answer(era, self.list(era)))
            }
            ("tools/call", _) if self.has_tools() => self
                .invocation(era, &params)
                .map(|call| Action::Call(Box::new(call))),
            (_, _) => Err(RpcError {
                code: METHOD_NOT_FOUND,
                message: format!("no method {method:?} here"),
                data: None,
            }),
        }
    }

    /// A line that answers `id` with a result.
    pub(super) fn answer(&self, id: &Id, era: Era, mut members: Map<String, Value>) -> Bytes {
        if era == Era::Modern {
            members.insert("resultType".to_owned(), "complete".into());
            members.insert(
                "_meta".to_owned(),
                json!({ SERVER_INFO: self.implementation }),
            );
        }
        let result = RawJson::of(&members).map_err(|error| RpcError {
            code: INTERNAL_ERROR,
            message: error.to_string(),
            data: None,
        });
        frame::answer(id, result.as_ref())
    }

    /// A line that answers `id` with what came of a call.
    pub(super) fn outcome(
        &self,
        id: &Id,
        era: Era,
        outcome: Result<ToolOutput, RpcError>,
    ) -> Bytes {
        match outcome {
            Ok(output) => self.answer(id, era, output.into_members(era == Era::Legacy)),
            Err(error) => refusal(Some(id), &error),
        }
    }

    const fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    fn capabilities(&self) -> Value {
        if self.has_tools() {
            json!({ "tools": {} })
        } else {
            json!({})
        }
    }

    fn discover(&self) -> Map<String, Value> {
        let mut members = cacheable();
        members.insert("supportedVersions".to_owned(), supported());
        members.insert("capabilities".to_owned(), self.capabilities());
        if let Some(instructions) = &self.instructions {
            members.insert("instructions".to_owned(), instructions.as_str().into());
        }
        members
    }

    fn initialize(&self, params: &Params<'_>) -> Result<Action, RpcError> {
        let requested: String = params
            .protocol_version
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .ok_or_else(|| invalid_params("`protocolVersion` is not a string"))?;
        // MCP 2025-11-25, lifecycle: echo the revision, or offer the newest of that era.
        let revision = Revision::from_wire(&requested)
            .filter(|revision| revision.era() == Era::Legacy)
            .unwrap_or(Revision::LEGACY_NEWEST);
        let mut members = Map::new();
        members.insert("protocolVersion".to_owned(), revision.as_str().into());
        members.insert("capabilities".to_owned(), self.capabilities());
        members.insert("serverInfo".to_owned(), self.implementation.clone());
        if let Some(instructions) = &self.instructions {
            members.insert("instructions".to_owned(), instructions.as_str().into());
        }
        Ok(Action::Initialize(revision, members))
    }

    fn list(&self, era: Era) -> Map<String, Value> {
        let mut members = match era {
            Era::Modern => cacheable(),
            Era::Legacy => Map::new(),
        };
        let tools = self.tools.iter().map(|tool| entry(tool, era)).collect();
        members.insert("tools".to_owned(), Value::Array(tools));
        members
    }

    fn invocation(&self, era: Era, params: &Params<'_>) -> Result<Invocation, RpcError> {
        let name: String = params
            .name
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .ok_or_else(|| invalid_params("`name` is not a string"))?;
        if !self.names.contains(&name) {
            return Err(invalid_params(format!("no tool named {name:?}")));
        }
        let arguments = match params.arguments {
            None => RawJson::empty_object(),
            Some(raw) if raw.get().starts_with('{') => raw_json(raw)?,
            Some(_) => return Err(invalid_params("`arguments` is not an object")),
        };
        let token = token(params.meta)?;
        let meta = params.meta.map(raw_json).transpose()?;
        Ok(Invocation {
            era,
            name,
            arguments,
            meta,
            token,
        })
    }
}

/// A line that answers with an error; without an id where the request's could not be read.
pub(super) fn refusal(id: Option<&Id>, error: &RpcError) -> Bytes {
    let Some(id) = id else {
        let error = json!({ "code": error.code, "message": error.message });
        let message = json!({ "jsonrpc": "2.0", "error": error });
        return Bytes::from(format!("{message}\n"));
    };
    frame::answer(id, Err(error))
}

/// A line that reports progress.
pub(super) fn progress(token: &Id, report: Progress) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        progress_token: &'a Id,
        progress: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    }
    let Progress {
        progress,
        total,
        message,
    } = report;
    let total = total.filter(|total| total.is_finite());
    let params = RawJson::of(&Params {
        progress_token: token,
        progress,
        total,
        message,
    });
    frame::notification(
        "notifications/progress",
        params.ok().as_ref().map(RawJson::as_str),
    )
}

/// The request that `notifications/cancelled` names, if it names one.
pub(super) fn cancelled_id(params: Option<&RawJson>) -> Option<Id> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled {
        request_id: Id,
    }
    params
        .filter(|params| params.is_object())?
        .read()
        .ok()
        .map(|cancelled: Cancelled| cancelled.request_id)
}

fn token(meta: Option<&RawValue>) -> Result<Option<Id>, RpcError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta<'a> {
        #[serde(borrow)]
        progress_token: Option<&'a RawValue>,
    }
    let Some(meta) = meta else { return Ok(None) };
    serde_json::from_str(meta.get())
        .and_then(|meta: Meta<'_>| {
            meta.progress_token
                .map(|token| serde_json::from_str(token.get()))
                .transpose()
        })
        .map_err(|_| invalid_params("`progressToken` is neither a string nor an integer"))
}

fn check_envelope(meta: &Map<String, Value>) -> Result<(), RpcError> {
    let Some(Value::String(version)) = meta.get(PROTOCOL_VERSION) else {
        return Err(missing(PROTOCOL_VERSION));
    };
    let Some(Value::Object(_)) = meta.get(CLIENT_CAPABILITIES) else {
        return Err(missing(CLIENT_CAPABILITIES));
    };
    let info = meta.get(CLIENT_INFO);
    if info.is_some_and(|info| ClientInfo::deserialize(info).is_err()) {
        return Err(invalid_params(format!(
            "malformed `_meta[\"{CLIENT_INFO}\"]`"
        )));
    }
    if version != Revision::MODERN_NEWEST.as_str() {
        let data = json!({ "supported": supported(), "requested": version });
        return Err(RpcError {
            code: UNSUPPORTED_PROTOCOL_VERSION,
            message: format!("protocol version {version:?} is not supported"),
            data: RawJson::of(&data).ok(),
        });
    }
    Ok(())
}

fn supported() -> Value {
    json!([Revision::MODERN_NEWEST.as_str()])
}

fn cacheable() -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("ttlMs".to_owned(), TTL_MS.into());
    members.insert("cacheScope".to_owned(), "public".into());
    members
}

fn entry(tool: &Tool, era: Era) -> Value {
    let mut entry = serde_json::to_value(tool).unwrap_or_default();
    let object = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "object");
    // MCP 2025-06-18, tools: only 2026-07-28 allows other roots than objects.
    if era == Era::Legacy
        && !tool.output_schema.as_ref().is_none_or(object)
        && let Some(members) = entry.as_object_mut()
    {
        members.remove("outputSchema");
    }
    entry
}

fn raw_json(raw: &RawValue) -> Result<RawJson, RpcError> {
    RawJson::parse(raw.get()).map_err(|error| invalid_params(error.to_string()))
}

fn missing(key: &str) -> RpcError {
    invalid_params(format!("missing or malformed `_meta[\"{key}\"]`"))
}

fn invalid_params(message: impl Into<String>) -> RpcError {
    RpcError {
        code: INVALID_PARAMS,
        message: message.into(),
        data: None,
    }
}
