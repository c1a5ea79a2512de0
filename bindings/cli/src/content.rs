//! The content of a tool result, for people.

use mcp_fleet_core::RawJson;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::output;

/// A result, as far as it is shown.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolResult {
    #[serde(default)]
    content: Vec<Value>,
    #[serde(default)]
    structured_content: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) is_error: bool,
}

impl ToolResult {
    /// Reads what a server answered.
    ///
    /// # Errors
    /// Where it is no result of a tool.
    pub(crate) fn read(result: &RawJson) -> Result<Self, serde_json::Error> {
        // Derived readers take arrays for objects.
        if !result.is_object() {
            return Err(serde::de::Error::custom("not an object"));
        }
        result.read()
    }

    /// Every block in lines of its own: text as it is, anything else in one line. Structured
    /// content is shown where there is nothing else.
    pub(crate) fn render(&self, terminal: bool) -> String {
        let mut text = String::new();
        for block in &self.content {
            let shown = shown(block);
            text.push_str(&if terminal {
                output::plain(&shown)
            } else {
                shown
            });
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        if let (true, Some(structured)) = (self.content.is_empty(), &self.structured_content) {
            text.push_str(structured.get());
            text.push('\n');
        }
        text
    }
}

fn shown(block: &Value) -> String {
    let field = |name: &str| block.get(name).and_then(Value::as_str);
    let kind = field("type").unwrap_or("content without a type");
    match kind {
        "text" => field("text").unwrap_or_default().to_owned(),
        "image" | "audio" => {
            let mime = field("mimeType").unwrap_or("unknown type");
            format!(
                "[{kind} {mime}, {}]",
                size(field("data").map_or(0, decoded_bytes))
            )
        }
        "resource_link" => {
            let name = field("name").unwrap_or_default();
            format!(
                "[resource link {name} {}]",
                field("uri").unwrap_or("without an address")
            )
        }
        "resource" => {
            let resource = block.get("resource").unwrap_or(&Value::Null);
            let field = |name: &str| resource.get(name).and_then(Value::as_str);
            if let Some(text) = field("text") {
                return text.to_owned();
            }
            let mime = field("mimeType").unwrap_or("unknown type");
            let uri = field("uri").unwrap_or("without an address");
            format!(
                "[resource {uri} {mime}, {}]",
                size(field("blob").map_or(0, decoded_bytes))
            )
        }
        other => format!("[{other}, {}]", size(block.to_string().len())),
    }
}

/// How many bytes a base64 text stands for.
fn decoded_bytes(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => output::count(bytes, "byte"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(json: &str) -> String {
        ToolResult::read(&RawJson::parse(json).unwrap())
            .unwrap()
            .render(false)
    }

    #[test]
    fn text_is_text_and_the_rest_is_one_line_each() {
        let text = rendered(
            r#"{"content":[
                {"type":"text","text":"one\ntwo\n"},
                {"type":"image","mimeType":"image/png","data":"AAAA"},
                {"type":"audio","data":"AA=="},
                {"type":"resource_link","name":"notes","uri":"file:///n"},
                {"type":"resource","resource":{"uri":"file:///t","text":"inside"}},
                {"type":"resource","resource":{"uri":"file:///b","mimeType":"a/b","blob":"AAAAAAAA"}},
                {"type":"hologram"}
            ],"structuredContent":{"ignored":1}}"#,
        );
        let expected = "\
one
two
[image image/png, 3 bytes]
[audio unknown type, 1 byte]
[resource link notes file:///n]
inside
[resource file:///b a/b, 6 bytes]
[hologram, 19 bytes]
";
        assert_eq!(text, expected);
    }

    #[test]
    fn structured_content_stands_in_for_missing_content() {
        assert_eq!(
            rendered(r#"{"structuredContent":{"n":1e400}}"#),
            "{\"n\":1e400}\n"
        );
        assert_eq!(rendered("{}"), "");
    }

    #[test]
    fn a_terminal_is_not_played_tricks_on() {
        let json = r#"{"content":[{"type":"text","text":"\u001b[2Jgone"}],"isError":true}"#;
        let result = ToolResult::read(&RawJson::parse(json).unwrap()).unwrap();
        assert!(result.is_error);
        assert_eq!(result.render(true), "\u{fffd}[2Jgone\n");
        assert_eq!(result.render(false), "\u{1b}[2Jgone\n");
    }

    #[test]
    fn what_is_no_result_is_refused() {
        assert!(ToolResult::read(&RawJson::parse("[]").unwrap()).is_err());
        assert!(ToolResult::read(&RawJson::parse(r#"{"content":3}"#).unwrap()).is_err());
    }
}
