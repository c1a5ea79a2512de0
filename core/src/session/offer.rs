//! What we tell servers of ourselves, written once.

use serde_json::{Value, json};

use crate::{
    config::{ClientCapabilities, ClientProfile},
    wire::{RawJson, Revision},
};

/// The parts of our messages that are the same in every session of a fleet, as JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// `clientInfo`.
    info: String,
    /// `capabilities` of `initialize`, and `clientCapabilities` of the modern envelope.
    capabilities: String,
    /// The whole answer to `roots/list`, where roots are declared.
    pub(crate) roots: Option<RawJson>,
    pub(crate) declared: ClientCapabilities,
}

impl Offer {
    pub(crate) fn new(profile: &ClientProfile) -> Self {
        let declared = profile.capabilities.clone();
        Self {
            info: json!(profile.implementation).to_string(),
            capabilities: capabilities(&declared).to_string(),
            roots: declared
                .roots
                .as_ref()
                .and_then(|roots| RawJson::of(&json!({ "roots": roots })).ok()),
            declared,
        }
    }

    /// The params of `initialize` (MCP 2025-11-25, basic/lifecycle, "Initialization").
    pub(crate) fn initialize_params(&self, revision: Revision) -> String {
        let (info, capabilities) = (&self.info, &self.capabilities);
        format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{capabilities},"clientInfo":{info}}}"#
        )
    }

    /// The members of `_meta` in every modern request (MCP 2026-07-28, basic, "_meta").
    pub(crate) fn envelope(&self) -> [(&'static str, &str); 3] {
        [
            ("io.modelcontextprotocol/protocolVersion", "\"2026-07-28\""),
            ("io.modelcontextprotocol/clientInfo", &self.info),
            (
                "io.modelcontextprotocol/clientCapabilities",
                &self.capabilities,
            ),
        ]
    }
}

fn capabilities(declared: &ClientCapabilities) -> Value {
    let mut all = serde_json::Map::new();
    if declared.roots.is_some() {
        all.insert("roots".into(), json!({}));
    }
    if let Some(sampling) = declared.sampling {
        let mut parts = serde_json::Map::new();
        if sampling.context {
            parts.insert("context".into(), json!({}));
        }
        if sampling.tools {
            parts.insert("tools".into(), json!({}));
        }
        all.insert("sampling".into(), parts.into());
    }
    if let Some(elicitation) = declared.elicitation {
        let mut modes = serde_json::Map::new();
        if elicitation.form {
            modes.insert("form".into(), json!({}));
        }
        if elicitation.url {
            modes.insert("url".into(), json!({}));
        }
        all.insert("elicitation".into(), modes.into());
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ElicitationCapability, Root, SamplingCapability};

    #[test]
    fn nothing_is_declared_by_default() {
        let offer = Offer::new(&ClientProfile::default());
        assert_eq!(offer.capabilities, "{}");
        assert!(offer.roots.is_none());
    }

    #[test]
    fn declared_capabilities_are_written_by_their_schema() {
        let capabilities = ClientCapabilities {
            roots: Some(vec![Root {
                uri: "file:///srv".into(),
                name: None,
            }]),
            sampling: Some(SamplingCapability {
                tools: true,
                context: false,
            }),
            elicitation: Some(ElicitationCapability {
                form: true,
                url: true,
            }),
        };
        let profile = ClientProfile {
            capabilities,
            ..ClientProfile::default()
        };
        let offer = Offer::new(&profile);
        let want = r#"{"elicitation":{"form":{},"url":{}},"roots":{},"sampling":{"tools":{}}}"#;
        assert_eq!(offer.capabilities, want);
        assert_eq!(
            offer.roots.unwrap().as_str(),
            r#"{"roots":[{"uri":"file:///srv"}]}"#
        );
    }
}
