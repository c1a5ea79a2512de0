//! Outbound frames: one message, one line, no raw line break inside.

use bytes::Bytes;

use super::{Id, RawJson};
use crate::error::RpcError;

/// A request, with its line break. `params` is the text of a JSON object or array.
pub fn request(id: u64, method: &str, params: Option<&str>) -> Bytes {
    let mut frame = Frame::new(method.len().saturating_add(params.map_or(0, str::len)));
    frame.push("\"id\":");
    frame.push(&id.to_string());
    frame.push(",");
    frame.push_call(method, params);
    frame.end()
}

/// A notification, with its line break. `params` is the text of a JSON object or array.
pub fn notification(method: &str, params: Option<&str>) -> Bytes {
    let mut frame = Frame::new(method.len().saturating_add(params.map_or(0, str::len)));
    frame.push_call(method, params);
    frame.end()
}

/// The answer to the request of that id, with its line break. The id is echoed exactly.
pub fn answer(id: &Id, outcome: Result<&RawJson, &RpcError>) -> Bytes {
    let payload = match outcome {
        Ok(result) => result.as_str().len(),
        Err(error) => {
            let data = error.data.as_ref().map_or(0, |data| data.as_str().len());
            error.message.len().saturating_add(data)
        }
    };
    let mut frame = Frame::new(id.as_str().len().saturating_add(payload));
    frame.push("\"id\":");
    frame.push(id.as_str());
    match outcome {
        Ok(result) => {
            frame.push(",\"result\":");
            frame.push(result.as_str());
        }
        Err(error) => {
            frame.push(",\"error\":{\"code\":");
            frame.push(&error.code.to_string());
            frame.push(",\"message\":");
            push_string(&mut frame.0, &error.message);
            if let Some(data) = &error.data {
                frame.push(",\"data\":");
                frame.push(data.as_str());
            }
            frame.push("}");
        }
    }
    frame.end()
}

/// Appends `text` as a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

struct Frame(String);

impl Frame {
    fn new(payload: usize) -> Self {
        // What surrounds the payload is at most this long.
        let mut text = String::with_capacity(payload.saturating_add(96));
        text.push_str("{\"jsonrpc\":\"2.0\",");
        Self(text)
    }

    fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn push_call(&mut self, method: &str, params: Option<&str>) {
        self.push("\"method\":");
        push_string(&mut self.0, method);
        if let Some(params) = params {
            self.push(",\"params\":");
            if memchr::memchr2(b'\n', b'\r', params.as_bytes()).is_some() {
                // In JSON a raw line break stands between tokens only, where a space means the same.
                self.push(&params.replace(['\n', '\r'], " "));
            } else {
                self.push(params);
            }
        }
    }

    fn end(mut self) -> Bytes {
        self.push("}\n");
        Bytes::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Message, read};

    #[test]
    fn frames_are_spelled_as_the_specification_spells_them() {
        let text = |frame: Bytes| String::from_utf8(frame.to_vec()).unwrap();
        assert_eq!(
            text(request(7, "tools/list", Some("{}"))),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/list\",\"params\":{}}\n",
        );
        assert_eq!(
            text(notification("notifications/initialized", None)),
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n",
        );
        let error = RpcError {
            code: -32601,
            message: "no \"x\"".to_owned(),
            data: None,
        };
        assert_eq!(
            text(answer(&Id::from_number(1), Err(&error))),
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no \\\"x\\\"\"}}\n",
        );
    }

    fn object() -> impl Strategy<Value = String> {
        prop::collection::btree_map(".{0,4}", ".{0,8}", 0..4)
            .prop_map(|members| serde_json::to_string_pretty(&members).unwrap())
    }

    fn reread(frame: Bytes) -> Message {
        assert_eq!(
            frame.iter().position(|byte| b"\r\n".contains(byte)),
            Some(frame.len() - 1)
        );
        read(frame).unwrap()
    }

    proptest! {
        #[test]
        fn p55_calls_are_one_line_and_read_back(
            id: u64,
            method: String,
            params in prop::option::of(object()),
        ) {
            let raw = params.as_deref().map(|params| RawJson::parse(params).unwrap());
            let expected = Message::Request {
                id: Id::from_number(id),
                method: method.as_str().into(),
                params: raw.clone(),
            };
            prop_assert_eq!(reread(request(id, &method, params.as_deref())), expected);
            let expected =
                Message::Notification { method: method.as_str().into(), params: raw };
            prop_assert_eq!(reread(notification(&method, params.as_deref())), expected);
        }

        #[test]
        fn p5_p55_answers_are_one_line_and_read_back(
            id in prop_oneof!["-?[1-9][0-9]{0,30}(\\.0)?", ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap())],
            result in object(),
            code: i64,
            message: String,
            data in prop::option::of(object()),
        ) {
            let id: Id = serde_json::from_str(&id).unwrap();
            let result = RawJson::parse(result).unwrap();
            let data = data.map(|data| RawJson::parse(data).unwrap());
            let error = RpcError { code, message, data };
            for outcome in [Ok(result), Err(error)] {
                let frame = answer(&id, outcome.as_ref());
                prop_assert_eq!(reread(frame), Message::Response { id: id.clone(), outcome });
            }
        }
    }
}
