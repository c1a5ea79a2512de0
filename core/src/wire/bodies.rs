//! The few bodies that the machine must understand. Everything unknown in them is ignored.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::RawJson;
use crate::event::{CatalogKind, Implementation};

/// Which of the optional parts of the protocol a server offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ServerCapabilities {
    pub(crate) tools: bool,
    pub(crate) resources: bool,
    pub(crate) prompts: bool,
    pub(crate) tools_changed: bool,
    pub(crate) resources_changed: bool,
    pub(crate) prompts_changed: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CapabilitiesBody {
    tools: Option<CapabilityBody>,
    resources: Option<CapabilityBody>,
    prompts: Option<CapabilityBody>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CapabilityBody {
    list_changed: Option<bool>,
}

impl From<CapabilitiesBody> for ServerCapabilities {
    fn from(body: CapabilitiesBody) -> Self {
        let changed = |part: &Option<CapabilityBody>| {
            part.as_ref()
                .and_then(|part| part.list_changed)
                .unwrap_or_default()
        };
        Self {
            tools: body.tools.is_some(),
            resources: body.resources.is_some(),
            prompts: body.prompts.is_some(),
            tools_changed: changed(&body.tools),
            resources_changed: changed(&body.resources),
            prompts_changed: changed(&body.prompts),
        }
    }
}

/// What a server says of itself, in either era.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Introduction {
    /// `supportedVersions` of a modern server; the one `protocolVersion` of a legacy one.
    pub(crate) versions: Vec<String>,
    pub(crate) capabilities: ServerCapabilities,
    pub(crate) implementation: Option<Implementation>,
    pub(crate) instructions: Option<String>,
}

/// Reads the result of `server/discover`; `None` where it is not one.
pub(crate) fn discover(result: &RawJson) -> Option<Introduction> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        supported_versions: Vec<String>,
        capabilities: CapabilitiesBody,
        #[serde(default)]
        instructions: Option<String>,
        #[serde(default, rename = "_meta")]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "io.modelcontextprotocol/serverInfo", default)]
        server_info: Option<Box<RawValue>>,
    }
    let body: Body = result.read().ok()?;
    let info = body.meta.and_then(|meta| meta.server_info);
    Some(Introduction {
        versions: body.supported_versions,
        capabilities: body.capabilities.into(),
        // A malformed serverInfo is ignored: it is for display only.
        implementation: info.and_then(|info| serde_json::from_str(info.get()).ok()),
        instructions: body.instructions,
    })
}

/// Reads the result of `initialize`; `None` where it is not one.
pub(crate) fn initialized(result: &RawJson) -> Option<Introduction> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        protocol_version: String,
        #[serde(default)]
        capabilities: CapabilitiesBody,
        #[serde(default)]
        server_info: Option<Box<RawValue>>,
        #[serde(default)]
        instructions: Option<String>,
    }
    let body: Body = result.read().ok()?;
    Some(Introduction {
        versions: vec![body.protocol_version],
        capabilities: body.capabilities.into(),
        implementation: body
            .server_info
            .and_then(|info| serde_json::from_str(info.get()).ok()),
        instructions: body.instructions,
    })
}

/// Reads `data.supported` of a version error; empty where it has none.
pub(crate) fn supported_versions(data: Option<&RawJson>) -> Vec<String> {
    #[derive(Deserialize)]
    struct Body {
        supported: Vec<String>,
    }
    data.and_then(|data| data.read().ok())
        .map(|body: Body| body.supported)
        .unwrap_or_default()
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<RawJson>,
    pub(crate) next_cursor: Option<String>,
}

/// Reads one page of the list `kind`.
pub(crate) fn page(kind: CatalogKind, result: &RawJson) -> Result<Page, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        #[serde(borrow, default)]
        tools: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        resources: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        resource_templates: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        prompts: Option<Vec<&'a RawValue>>,
        #[serde(default)]
        next_cursor: Option<String>,
    }
    let body: Body<'_> =
        serde_json::from_str(result.as_str()).map_err(|error| error.to_string())?;
    let entries = match kind {
        CatalogKind::Tools => body.tools,
        CatalogKind::Resources => body.resources,
        CatalogKind::Templates => body.resource_templates,
        CatalogKind::Prompts => body.prompts,
    };
    let entries = entries.ok_or_else(|| format!("the answer has no `{}`", kind.member()))?;
    // Copied: the catalog outlives the read buffer that the page is a slice of.
    let entries = entries.into_iter().map(RawJson::copy_of).collect();
    Ok(Page {
        entries,
        next_cursor: body.next_cursor,
    })
}

/// What a tool says of itself that matters when a call of it was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ToolHints<'a> {
    pub(crate) name: Cow<'a, str>,
    /// It changes nothing, or nothing more when it is called again.
    pub(crate) repeatable: bool,
}

/// Reads one entry of `tools/list`. `None` where it cannot be read.
pub(crate) fn tool_hints(entry: &RawJson) -> Option<ToolHints<'_>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(default)]
        annotations: Option<Annotations>,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Annotations {
        read_only_hint: Option<bool>,
        idempotent_hint: Option<bool>,
    }
    let body: Body<'_> = serde_json::from_str(entry.as_str()).ok()?;
    let annotations = body.annotations.unwrap_or_default();
    Some(ToolHints {
        name: body.name,
        repeatable: annotations.read_only_hint == Some(true)
            || annotations.idempotent_hint == Some(true),
    })
}

/// A `notifications/progress`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress<'a> {
    #[serde(borrow)]
    pub(crate) progress_token: &'a RawValue,
    pub(crate) progress: f64,
    #[serde(default)]
    pub(crate) total: Option<f64>,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// The `requestId` of a `notifications/cancelled`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cancelled<'a> {
    #[serde(borrow)]
    pub(crate) request_id: &'a RawValue,
}

/// What kind of result a modern server gave.
#[derive(Debug)]
pub(crate) enum Outcome {
    Complete,
    InputRequired(Round),
    Unknown(String),
}

/// Questions that must be answered before a call can go on.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Round {
    /// By the server's keys, in order of the keys.
    pub(crate) questions: Vec<(String, Question)>,
    /// `requestState`, byte for byte.
    pub(crate) state: Option<RawJson>,
}

/// One thing a server asks of the client.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) params: Option<RawJson>,
}

/// Tells what kind of result this is (MCP 2026-07-28, basic, "resultType").
pub(crate) fn outcome(result: &RawJson) -> Result<Outcome, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        #[serde(borrow, default)]
        result_type: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        input_requests: Option<std::collections::BTreeMap<String, &'a RawValue>>,
        #[serde(borrow, default)]
        request_state: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Entry<'a> {
        method: String,
        #[serde(borrow, default)]
        params: Option<&'a RawValue>,
    }
    let body: Body<'_> =
        serde_json::from_str(result.as_str()).map_err(|error| error.to_string())?;
    match body.result_type.as_deref() {
        None | Some("complete") => Ok(Outcome::Complete),
        Some("input_required") => {
            let mut questions = Vec::new();
            for (key, value) in body.input_requests.into_iter().flatten() {
                let entry: Entry<'_> = serde_json::from_str(value.get())
                    .map_err(|error| format!("input request {key:?}: {error}"))?;
                let params = entry.params.map(RawJson::copy_of);
                questions.push((
                    key,
                    Question {
                        method: entry.method,
                        params,
                    },
                ));
            }
            let state = body.request_state.map(RawJson::copy_of);
            if questions.is_empty() && state.is_none() {
                return Err("input_required with neither inputRequests nor requestState".into());
            }
            Ok(Outcome::InputRequired(Round { questions, state }))
        }
        Some(other) => Ok(Outcome::Unknown(other.to_owned())),
    }
}

/// Whether the result of a tool says that the tool failed.
pub(crate) fn is_error(result: &RawJson) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        #[serde(default)]
        is_error: bool,
    }
    result.read().is_ok_and(|body: Body| body.is_error)
}

/// The parts of a question that decide whether it may be asked at all.
#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct QuestionParams<'a> {
    /// Of an elicitation; a form when absent.
    #[serde(borrow)]
    pub(crate) mode: Option<Cow<'a, str>>,
    /// Of a sampling request.
    #[serde(borrow)]
    pub(crate) tools: Option<&'a RawValue>,
    /// Of a sampling request.
    #[serde(borrow)]
    pub(crate) tool_choice: Option<&'a RawValue>,
}

/// The subscription a modern notification belongs to, and so the listen request's id.
pub(crate) fn subscription(params: Option<&RawJson>) -> Option<u64> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: Meta<'a>,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
        id: &'a RawValue,
    }
    let body: Body<'_> = serde_json::from_str(params?.as_str()).ok()?;
    body.meta.id.get().parse().ok()
}

impl CatalogKind {
    /// All lists, in the order in which they are read.
    pub const VALUES: [Self; 4] = [Self::Tools, Self::Resources, Self::Templates, Self::Prompts];

    /// The method that reads it.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
            Self::Prompts => "prompts/list",
        }
    }

    /// The member of the answer that holds the entries.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    /// Whether a server that declares these capabilities offers the list.
    pub(crate) const fn is_offered(self, by: ServerCapabilities) -> bool {
        match self {
            Self::Tools => by.tools,
            Self::Resources | Self::Templates => by.resources,
            Self::Prompts => by.prompts,
        }
    }
}
