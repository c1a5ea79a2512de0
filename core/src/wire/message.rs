//! The JSON-RPC envelope.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    id::{Id, string_content},
    integer::Integer,
    json::RawJson,
    members::{Members, Name},
    violation::Violation,
};
use crate::error::RpcError;

/// One message, its payload unread.
///
/// Payloads share the bytes of the line they came in. The id of a request does not, so that it can
/// be kept until the answer without keeping the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// The other side asks and wants an answer.
    Request {
        /// To be echoed exactly.
        id: Id,
        /// What it asks.
        method: ByteString,
        /// An object or array.
        params: Option<RawJson>,
    },
    /// The other side tells, and wants no answer.
    Notification {
        /// What it tells.
        method: ByteString,
        /// An object or array.
        params: Option<RawJson>,
    },
    /// The other side answers.
    Response {
        /// The id of the request, as the other side writes it.
        id: Id,
        /// Any JSON value, or an error.
        outcome: Result<RawJson, RpcError>,
    },
}

/// A line that is no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{violation}")]
pub struct Malformed {
    /// Its id, where it has a valid one.
    pub id: Option<Id>,
    /// Whether it looks like a response: the request of that id is to fail, and nothing is to be
    /// answered.
    pub answer: bool,
    /// What is wrong with it.
    #[source]
    pub violation: Violation,
}

/// Reads one line.
///
/// Strict where a message could be read in two ways: members of the envelope that stand there
/// twice, an outcome beside a method, both outcomes. Liberal where the meaning is plain: unknown
/// members are skipped, `"params":null` and `"data":null` are as good as absent, `"error":null`
/// beside a result is skipped (servers of the JSON-RPC 1.0 habit write it), and integers may be
/// written with a fraction of zero. Payloads may nest to any depth, since nothing descends into
/// them.
///
/// # Errors
/// What is wrong with the line, and whom it concerns.
pub fn read(line: Bytes) -> Result<Message, Malformed> {
    let line = text_of(line)?;
    if first_token(&line) != Some(b'{') {
        return Err(nobody(no_object(&line)));
    }
    let members: Members<'_> =
        serde_json::from_str(&line).map_err(|error| nobody(not_json(&error)))?;
    let broken = memchr::memchr2(b'\n', b'\r', line.as_bytes()).is_some();
    Envelope {
        line: &line,
        broken,
        members,
    }
    .judge()
}

/// Takes a batch apart; the entries share the bytes of the line.
///
/// # Errors
/// [`Violation::NotJson`], [`Violation::NotABatch`], [`Violation::EmptyBatch`] and
/// [`Violation::BatchTooLong`]: of such a batch nothing is to be read.
pub fn split_batch(line: &Bytes, entries_max: usize) -> Result<Vec<Bytes>, Violation> {
    let text = std::str::from_utf8(line).map_err(|_invalid| Violation::NotUtf8)?;
    if first_token(text) != Some(b'[') {
        return Err(match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => Violation::NotABatch,
            Err(error) => not_json(&error),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let entries = deserializer
        .deserialize_seq(Entries { line, entries_max })
        .map_err(|error| not_json(&error))?
        .ok_or(Violation::BatchTooLong { entries_max })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    if entries.is_empty() {
        Err(Violation::EmptyBatch)
    } else {
        Ok(entries)
    }
}

struct Envelope<'a> {
    line: &'a ByteString,
    /// Whether there are raw line breaks between its tokens.
    broken: bool,
    members: Members<'a>,
}

impl Envelope<'_> {
    fn judge(self) -> Result<Message, Malformed> {
        let Members {
            jsonrpc,
            id,
            method,
            params,
            result,
            error,
            duplicate,
        } = &self.members;
        if jsonrpc.is_none() && id.is_none() {
            return Err(nobody(Violation::NotRpc));
        }
        let outcome = result.is_some() || error.is_some();
        let answer = outcome || (method.is_none() && params.is_none());
        let identity = if *duplicate == Some(Name::Id) {
            None
        } else {
            self.id()
        };
        let malformed = |violation| Malformed {
            id: identity.clone(),
            answer,
            violation,
        };
        if let Some(name) = duplicate {
            return Err(malformed(Violation::DuplicateMember(
                name.as_str().to_owned(),
            )));
        }
        if jsonrpc
            .and_then(|version| string_content(version.get()))
            .as_deref()
            != Some("2.0")
        {
            return Err(malformed(Violation::Version));
        }
        if method.is_some() && outcome {
            return Err(malformed(Violation::RequestAndResponse));
        }
        if answer {
            return self.response(identity.clone()).map_err(malformed);
        }
        if id.is_some() && identity.is_none() {
            return Err(malformed(Violation::BadId));
        }
        let method = self
            .method()
            .ok_or_else(|| malformed(Violation::BadMethod))?;
        let params = self.params().map_err(malformed)?;
        Ok(match identity {
            Some(id) => Message::Request {
                id: id.detached(),
                method,
                params,
            },
            None => Message::Notification { method, params },
        })
    }

    fn response(&self, id: Option<Id>) -> Result<Message, Violation> {
        let outcome = match (self.members.result, self.members.error) {
            (Some(result), None) => Ok(self.slice(result)),
            (Some(result), Some(error)) if error.get() == "null" => Ok(self.slice(result)),
            (Some(_), Some(_)) => return Err(Violation::ResultAndError),
            (None, Some(error)) if error.get() != "null" => Err(self.error(error)?),
            (None, Some(_) | None) => return Err(Violation::NeitherResultNorError),
        };
        match (id, outcome) {
            (Some(id), outcome) => Ok(Message::Response { id, outcome }),
            (None, Err(error)) if self.members.id.is_none_or(|id| id.get() == "null") => {
                Err(Violation::ErrorWithoutId(error))
            }
            (None, _) => Err(Violation::BadId),
        }
    }

    fn id(&self) -> Option<Id> {
        Id::of(self.slice(self.members.id?))
    }

    fn method(&self) -> Option<ByteString> {
        let content = string_content(self.members.method?.get())?;
        Some(match content {
            Cow::Borrowed(slice) => self.line.slice_ref(slice),
            Cow::Owned(text) => text.into(),
        })
    }

    fn params(&self) -> Result<Option<RawJson>, Violation> {
        match self.members.params {
            None => Ok(None),
            Some(params) if params.get() == "null" => Ok(None),
            Some(params) if params.get().starts_with(['{', '[']) => Ok(Some(self.slice(params))),
            Some(_) => Err(Violation::BadParams),
        }
    }

    fn error(&self, error: &RawValue) -> Result<RpcError, Violation> {
        if !error.get().starts_with('{') {
            return Err(Violation::BadError("not an object".to_owned()));
        }
        let body: ErrorBody<'_> = serde_json::from_str(error.get())
            .map_err(|error| Violation::BadError(error.to_string()))?;
        let code = Integer::read(body.code.get())
            .and_then(Integer::to_i64)
            .ok_or_else(|| Violation::BadError("`code` is not an integer".to_owned()))?;
        Ok(RpcError {
            code,
            message: body.message,
            data: body.data.map(|data| self.slice(data)),
        })
    }

    fn slice(&self, value: &RawValue) -> RawJson {
        if self.broken {
            return RawJson::from_valid(value.get().replace(['\n', '\r'], " "));
        }
        RawJson::slice_of(self.line, value)
    }
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    code: &'a RawValue,
    message: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

struct Entries<'a> {
    line: &'a Bytes,
    entries_max: usize,
}

impl<'de> Visitor<'de> for Entries<'_> {
    /// Nothing where there are too many.
    type Value = Option<Vec<Bytes>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut slices = Some(Vec::new());
        while let Some(entry) = entries.next_element::<&RawValue>()? {
            slices = slices.filter(|slices| slices.len() < self.entries_max);
            if let Some(slices) = &mut slices {
                slices.push(self.line.slice_ref(entry.get().as_bytes()));
            }
        }
        Ok(slices)
    }
}

fn text_of(line: Bytes) -> Result<ByteString, Malformed> {
    ByteString::try_from(line).map_err(|_invalid| nobody(Violation::NotUtf8))
}

/// The first byte that is not JSON white space.
fn first_token(text: &str) -> Option<u8> {
    text.bytes()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// What a text is that does not begin like an object.
fn no_object(text: &str) -> Violation {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) if value.get().starts_with('[') => Violation::Batch,
        Ok(_) => Violation::NotAnObject,
        Err(error) => not_json(&error),
    }
}

fn not_json(error: &serde_json::Error) -> Violation {
    Violation::NotJson(error.to_string())
}

/// A line without a valid envelope concerns nobody.
fn nobody(violation: Violation) -> Malformed {
    Malformed {
        id: None,
        answer: false,
        violation,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::wire::frame;

    fn message(line: &str) -> Message {
        read(Bytes::copy_from_slice(line.as_bytes()))
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn malformed(line: impl AsRef<[u8]>) -> Malformed {
        read(Bytes::copy_from_slice(line.as_ref())).unwrap_err()
    }

    fn violation(line: impl AsRef<[u8]>) -> Violation {
        malformed(line).violation
    }

    /// A response whose other members are these: the violation, and that its call is to fail.
    fn failed_answer(rest: &str) -> Violation {
        let malformed = malformed(format!("{{\"jsonrpc\":\"2.0\",\"id\":7{rest}}}"));
        assert_eq!(
            (malformed.id, malformed.answer),
            (Some(Id::from_number(7)), true),
            "{rest}"
        );
        malformed.violation
    }

    fn json(text: &str) -> RawJson {
        RawJson::parse(text).unwrap()
    }

    #[test]
    fn p1_requests_notifications_and_responses_are_told_apart() {
        assert_eq!(
            message(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            Message::Request {
                id: Id::from_number(1),
                method: "ping".into(),
                params: None
            },
        );
        assert_eq!(
            message(r#" { "method" : "n/x" , "params" : { "a" : [ ] } , "jsonrpc" : "2.0" } "#),
            Message::Notification {
                method: "n/x".into(),
                params: Some(json(r#"{ "a" : [ ] }"#))
            },
        );
        assert_eq!(
            message(r#"{"jsonrpc":"2.0","id":1,"result":{"ok":1e400}}"#),
            Message::Response {
                id: Id::from_number(1),
                outcome: Ok(json(r#"{"ok":1e400}"#))
            },
        );
        assert_eq!(
            message(
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no","data":[1]}}"#
            ),
            Message::Response {
                id: Id::from_number(1),
                outcome: Err(RpcError {
                    code: -32601,
                    message: "no".to_owned(),
                    data: Some(json("[1]")),
                }),
            },
        );
    }

    #[test]
    fn payloads_are_slices_of_the_line_and_request_ids_are_not() {
        let line =
            Bytes::from_static(br#"{"jsonrpc":"2.0","id":"a","method":"m","params":{"b":1}}"#);
        let Ok(Message::Request { id, method, params }) = read(line.clone()) else {
            panic!("no request")
        };
        let inside = |text: &str| line.as_ptr_range().contains(&text.as_ptr());
        assert!(inside(&method) && inside(params.unwrap().as_str()));
        assert!(!inside(id.as_str()));
    }

    #[test]
    fn p2_ids_that_are_no_string_or_integer_are_refused() {
        for id in ["null", "true", "{}", "[1]", "1.5"] {
            let request = malformed(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
            assert_eq!((request.id, request.answer), (None, false));
            assert_eq!(request.violation, Violation::BadId);
            let response = malformed(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
            assert_eq!((response.id, response.answer), (None, true));
            assert_eq!(response.violation, Violation::BadId);
        }
        assert_eq!(
            violation(r#"{"jsonrpc":"2.0","result":{}}"#),
            Violation::BadId
        );
    }

    #[test]
    fn p5_f29_ids_of_any_size_and_notation_are_echoed_exactly() {
        for token in [
            "-0",
            "9223372036854775808",
            "18446744073709551617",
            "1e400",
            "1.0",
            "\"1\"",
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":{token},"method":"ping"}}"#);
            let Message::Request { id, .. } = message(&line) else {
                panic!("{token}")
            };
            let frame = frame::answer(&id, Ok(&RawJson::empty_object()));
            assert_eq!(
                std::str::from_utf8(&frame).unwrap(),
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{token},\"result\":{{}}}}\n"),
            );
        }
    }

    #[test]
    fn p1_another_version_is_refused() {
        assert_eq!(
            failed_answer(r#","result":1,"jsonrpc":"2.0""#),
            duplicate("jsonrpc")
        );
        for version in [
            r#""jsonrpc":"1.0","#,
            r#""jsonrpc":2.0,"#,
            r#""jsonrpc":null,"#,
            "",
        ] {
            let malformed = malformed(format!(r#"{{{version}"id":7,"result":1}}"#));
            assert_eq!(malformed.violation, Violation::Version, "{version}");
            assert_eq!(
                (malformed.id, malformed.answer),
                (Some(Id::from_number(7)), true)
            );
        }
        assert!(matches!(
            message(r#"{"jsonrpc":"\u0032.0","method":"m"}"#),
            Message::Notification { .. }
        ));
    }

    fn duplicate(name: &str) -> Violation {
        Violation::DuplicateMember(name.to_owned())
    }

    #[test]
    fn p6_members_that_stand_twice_are_refused() {
        assert_eq!(
            failed_answer(r#","result":1,"result":1"#),
            duplicate("result")
        );
        assert_eq!(
            failed_answer(r#","error":null,"result":1,"error":null"#),
            duplicate("error")
        );
        assert_eq!(
            failed_answer(r#","result":1,"re\u0073ult":2"#),
            duplicate("result")
        );
        let twice = |member: &str| {
            malformed(format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{}},{member}}}"#
            ))
        };
        assert_eq!(twice(r#""method":"n""#).violation, duplicate("method"));
        assert_eq!(twice(r#""params":null"#).violation, duplicate("params"));
        let ids = twice(r#""id":1"#);
        assert_eq!((ids.violation, ids.id), (duplicate("id"), None));
        assert!(matches!(
            message(r#"{"jsonrpc":"2.0","method":"m","x":1,"x":2}"#),
            Message::Notification { .. }
        ));
    }

    #[test]
    fn p6_f22_a_response_has_either_result_or_error() {
        assert_eq!(
            failed_answer(r#","result":{},"error":{"code":1,"message":""}"#),
            Violation::ResultAndError,
        );
        assert_eq!(
            failed_answer(r#","result":null,"error":{"code":1,"message":""}"#),
            Violation::ResultAndError,
        );
        assert_eq!(failed_answer(""), Violation::NeitherResultNorError);
        assert_eq!(
            failed_answer(r#","error":null"#),
            Violation::NeitherResultNorError
        );
    }

    #[test]
    fn p17_a_null_error_beside_a_result_is_skipped_and_null_is_a_result() {
        let result = |rest: &str| match message(&format!(r#"{{"jsonrpc":"2.0","id":"1",{rest}}}"#))
        {
            Message::Response { outcome, .. } => outcome.unwrap(),
            Message::Request { .. } | Message::Notification { .. } => panic!("{rest}"),
        };
        assert_eq!(result(r#""result":{},"error":null"#), json("{}"));
        assert_eq!(result(r#""result":null"#), json("null"));
        assert_eq!(result(r#""error":null,"result":null"#), json("null"));
    }

    #[test]
    fn p6_an_error_has_an_integer_code_and_a_string_message() {
        for error in [
            "1",
            "[1,\"x\"]",
            "\"x\"",
            "{}",
            r#"{"code":1}"#,
            r#"{"message":"x"}"#,
            r#"{"code":1.5,"message":"x"}"#,
            r#"{"code":"1","message":"x"}"#,
            r#"{"code":1e40,"message":"x"}"#,
            r#"{"code":1,"message":null}"#,
            r#"{"code":1,"code":1,"message":"x"}"#,
        ] {
            let violation = failed_answer(&format!(",\"error\":{error}"));
            assert!(
                matches!(violation, Violation::BadError(_)),
                "{error}: {violation}"
            );
        }
        let line =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-3.0,"message":"x","data":null,"y":[]}}"#;
        let Message::Response { outcome, .. } = message(line) else {
            panic!("no response")
        };
        let error = RpcError {
            code: -3,
            message: "x".to_owned(),
            data: None,
        };
        assert_eq!(outcome, Err(error));
    }

    #[test]
    fn f21_an_error_without_an_id_keeps_what_it_says() {
        let error = RpcError {
            code: -32700,
            message: "what?".to_owned(),
            data: None,
        };
        for id in ["", r#""id":null,"#] {
            let line =
                format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":-32700,"message":"what?"}}}}"#);
            let expected = Malformed {
                id: None,
                answer: true,
                violation: Violation::ErrorWithoutId(error.clone()),
            };
            assert_eq!(malformed(line), expected);
        }
        let line = r#"{"jsonrpc":"2.0","id":true,"error":{"code":1,"message":""}}"#;
        assert_eq!(violation(line), Violation::BadId);
    }

    #[test]
    fn p1_methods_and_params_of_the_wrong_type_are_refused() {
        for method in ["1", "null", "{}", r#""\ud800""#] {
            let malformed = malformed(format!(r#"{{"jsonrpc":"2.0","id":7,"method":{method}}}"#));
            assert_eq!(
                (malformed.id, malformed.answer),
                (Some(Id::from_number(7)), false)
            );
            assert_eq!(malformed.violation, Violation::BadMethod, "{method}");
        }
        let missing = malformed(r#"{"jsonrpc":"2.0","id":7,"params":{}}"#);
        assert_eq!(
            (missing.violation, missing.answer),
            (Violation::BadMethod, false)
        );
        for params in ["1", "true", r#""x""#] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"m","params":{params}}}"#);
            assert_eq!(violation(line), Violation::BadParams, "{params}");
        }
        for (params, read) in [("null", None), ("[1]", Some(json("[1]")))] {
            let line = format!(r#"{{"jsonrpc":"2.0","method":"\u006d","params":{params}}}"#);
            let expected = Message::Notification {
                method: "m".into(),
                params: read,
            };
            assert_eq!(message(&line), expected);
        }
    }

    #[test]
    fn p17_a_message_that_asks_and_answers_is_refused() {
        let outcome = r#","method":"m","result":{}"#;
        assert_eq!(failed_answer(outcome), Violation::RequestAndResponse);
    }

    #[test]
    fn p19_unknown_members_are_skipped_and_payloads_kept_byte_for_byte() {
        let params = r#"{ "_meta":{"x/y":1,"x/y":2}, "n":1.0e+2,"s":"\ud800\u0000" }"#;
        let line = format!(r#"{{"x":{{"id":2}},"jsonrpc":"2.0","method":"m","params":{params}}}"#);
        let Message::Notification { params: read, .. } = message(&line) else {
            panic!("{line}")
        };
        assert_eq!(read.unwrap().as_str(), params);
    }

    #[test]
    fn f23_p59_output_that_is_no_message_is_noise() {
        for line in [
            "Server listening on port 3000",
            "[INFO] ready",
            "\u{1b}[32mok\u{1b}[0m",
            "{not json}",
            r#"{"jsonrpc":"2.0","id":1,"result":"#,
            r#"{"jsonrpc":"2.0","method":"m"} trailing"#,
        ] {
            let violation = violation(line);
            assert!(
                matches!(violation, Violation::NotJson(_)) && violation.is_noise(),
                "{line}"
            );
        }
        for line in ["42", "null", "\"text\"", " true "] {
            assert_eq!(violation(line), Violation::NotAnObject);
        }
        for line in ["{}", r#"{"level":"error","error":"x","msg":"boom"}"#] {
            assert_eq!(violation(line), Violation::NotRpc);
        }
        assert!(Violation::NotAnObject.is_noise() && Violation::NotRpc.is_noise());
        assert!(!Violation::Batch.is_noise() && !Violation::Version.is_noise());
    }

    #[test]
    fn f27_invalid_utf8_bom_and_nul_are_refused() {
        let invalid = malformed(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}");
        assert_eq!(invalid.violation, Violation::NotUtf8);
        assert!(invalid.violation.is_noise());
        for line in [
            "\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"method\":\"\0\"}",
            "{\"jsonrpc\":\"2.0\",\0\"method\":\"m\"}",
        ] {
            assert!(matches!(violation(line), Violation::NotJson(_)), "{line:?}");
        }
    }

    #[test]
    fn p55_raw_line_breaks_between_tokens_never_reach_a_payload() {
        let pretty = "{\n\"jsonrpc\":\"2.0\",\r\n\"id\":1,\n\"result\":{\n\"a\":\r1\n}\n}\n";
        let Message::Response { outcome, .. } = message(pretty) else {
            panic!("{pretty}")
        };
        assert_eq!(outcome.unwrap().as_str(), "{ \"a\": 1 }");
        assert!(matches!(
            violation("{\"jsonrpc\":\"2.\n0\"}"),
            Violation::NotJson(_)
        ));
    }

    #[test]
    fn f28_nesting_of_any_depth_needs_no_stack() {
        let depth = 100_000;
        let read_all = move || {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                for line in [
                    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{deep}}}"#),
                    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{deep}}}"#),
                    format!(r#"{{"jsonrpc":"2.0","method":"m","unknown":{deep}}}"#),
                    format!(
                        r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":1,"message":"","data":{deep}}}}}"#
                    ),
                ] {
                    let _message = message(&line);
                }
                assert!(!failed_answer(&format!(",\"error\":{deep}")).is_noise());
                let cut = format!("{{\"a\":{}", open.repeat(depth));
                assert!(matches!(violation(cut), Violation::NotJson(_)));
                let entries = split_batch(&format!("[{deep},{deep}]").into(), 2).unwrap();
                assert_eq!(entries, [deep.clone(), deep]);
            }
        };
        small_stack(read_all);
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "only a thread of its own has a small stack"
    )]
    fn small_stack(test: impl FnOnce() + Send + 'static) {
        let thread = thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(test)
            .unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn f30_a_batch_is_told_apart_and_taken_apart_within_bounds() {
        let line = Bytes::from_static(br#" [ {"a":[1]} , 2 ,"x"] "#);
        assert_eq!(violation(&line), Violation::Batch);
        let entries = split_batch(&line, 3).unwrap();
        assert_eq!(entries, [&b"{\"a\":[1]}"[..], b"2", b"\"x\""]);
        assert!(line.as_ptr_range().contains(&entries[2].as_ptr()));
        let too_long = Violation::BatchTooLong { entries_max: 2 };
        assert_eq!(split_batch(&line, 2), Err(too_long));
        let split = |text: &'static str| split_batch(&Bytes::from_static(text.as_bytes()), 9);
        assert_eq!(split("[]"), Err(Violation::EmptyBatch));
        assert_eq!(split("{}"), Err(Violation::NotABatch));
        assert_eq!(
            split_batch(&Bytes::from_static(b"[\"\xff\"]"), 9),
            Err(Violation::NotUtf8)
        );
        for text in ["[1", "[1] 2", "[1,]", "", "text"] {
            assert!(matches!(split(text), Err(Violation::NotJson(_))), "{text}");
        }
    }
}
