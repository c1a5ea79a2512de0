//! Frames of the machine, read by another parser than its own.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is kept of one frame.
#[derive(Clone, Default, Debug)]
pub(crate) struct Frame {
    /// The id of a request.
    pub(crate) id: Option<u64>,
    /// The id, as it stands, of an answer.
    pub(crate) answers: Option<String>,
    pub(crate) method: Option<String>,
    /// The call whose arguments it holds.
    pub(crate) call: Option<u64>,
    /// The tool that is called by a probe, without arguments.
    pub(crate) tool: Option<String>,
    /// The request that it takes back.
    pub(crate) cancels: Option<u64>,
    /// The page it asks for is not the first.
    pub(crate) cursor: bool,
}

impl Frame {
    /// Reads a frame, which is one line and one message; anything else is the machine's fault.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Message<'a> {
            jsonrpc: &'a str,
            #[serde(borrow)]
            id: Option<&'a RawValue>,
            method: Option<&'a str>,
            #[serde(borrow)]
            params: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Tool {
            name: String,
        }
        let line = bytes
            .strip_suffix(b"\n")
            .ok_or("no line break at its end")?;
        if line.contains(&b'\n') {
            return Err("a line break inside".to_owned());
        }
        let message: Message<'_> =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if message.jsonrpc != "2.0" {
            return Err(format!("jsonrpc {:?}", message.jsonrpc));
        }
        let params = message.params.map_or("", RawValue::get);
        let call = number_after(params, "\"n\":");
        let tool = (message.method == Some("tools/call") && call.is_none())
            .then(|| serde_json::from_str::<Tool>(params).ok())
            .flatten();
        let id = message.id.map(RawValue::get);
        let request = message.method.and(id);
        Ok(Self {
            id: request
                .map(str::parse)
                .transpose()
                .map_err(|_| "an id that is no number")?,
            answers: id.filter(|_| message.method.is_none()).map(str::to_owned),
            method: message.method.map(str::to_owned),
            call,
            tool: tool.map(|tool| tool.name),
            cancels: number_after(params, "\"requestId\":"),
            cursor: params.contains("\"cursor\":"),
        })
    }
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    let (_, rest) = text.split_once(mark)?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}
