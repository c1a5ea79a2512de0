//! The result of a tool.

use mcp_fleet_core::RawJson;
use serde::Deserialize;

/// A `CallToolResult` as it stood on the wire. It is read as far as it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToolResult(RawJson);

impl ToolResult {
    /// Whether the tool itself says that it failed.
    pub fn is_error(&self) -> bool {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default, rename = "isError")]
            is_error: bool,
        }
        self.0.read().is_ok_and(|body: Body| body.is_error)
    }

    /// The text of all text blocks, one below the other.
    pub fn text(&self) -> String {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            content: Vec<Block>,
        }
        #[derive(Deserialize)]
        struct Block {
            #[serde(rename = "type")]
            kind: String,
            text: Option<String>,
        }
        let blocks = self
            .0
            .read()
            .map(|body: Body| body.content)
            .unwrap_or_default();
        let texts = blocks.into_iter().filter(|block| block.kind == "text");
        texts
            .filter_map(|block| block.text)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The structured content, where the tool gave some.
    pub fn structured(&self) -> Option<RawJson> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default, rename = "structuredContent")]
            structured: Option<RawJson>,
        }
        self.0.read().ok().and_then(|body: Body| body.structured)
    }

    /// The whole result.
    pub const fn raw(&self) -> &RawJson {
        &self.0
    }

    /// The whole result.
    pub fn into_raw(self) -> RawJson {
        self.0
    }
}

impl From<RawJson> for ToolResult {
    fn from(raw: RawJson) -> Self {
        Self(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(json: &str) -> ToolResult {
        RawJson::parse(json).unwrap().into()
    }

    #[test]
    fn texts_stand_one_below_the_other_and_other_blocks_are_left_out() {
        let result = result(
            r#"{"content":[{"type":"text","text":"a"},{"type":"image","data":"","mimeType":"x/y"},
            {"type":"text","text":"b"}],"structuredContent":{"n":1.50},"isError":true}"#,
        );
        assert_eq!(result.text(), "a\nb");
        assert!(result.is_error());
        assert_eq!(result.structured().unwrap().as_str(), r#"{"n":1.50}"#);
    }

    #[test]
    fn what_is_absent_or_malformed_is_empty() {
        for json in ["{}", r#"{"content":7}"#, "[]"] {
            let result = result(json);
            assert_eq!((result.text(), result.structured()), (String::new(), None));
            assert!(!result.is_error());
        }
    }
}
