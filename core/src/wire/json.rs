//! JSON text that is relayed, not read.

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// One valid JSON value as text, free of raw line breaks, so that it can stand in a frame.
///
/// Cloning shares the bytes. A value that came from a peer is a slice of the buffer it was read
/// into; neither the machine nor the drivers parse it into a tree.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawJson(ByteString);

impl RawJson {
    /// Checks that `text` is exactly one JSON value, and takes it.
    ///
    /// Raw line breaks between tokens become spaces; inside strings JSON has none.
    ///
    /// # Errors
    /// What the JSON parser objects to, with line and column.
    pub fn parse(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        let text: String = text.into();
        let value: &RawValue = serde_json::from_str(&text)?;
        let trimmed = value.get();
        if memchr::memchr2(b'\n', b'\r', trimmed.as_bytes()).is_some() {
            return Ok(Self(trimmed.replace(['\n', '\r'], " ").into()));
        }
        if trimmed.len() == text.len() {
            return Ok(Self(text.into()));
        }
        Ok(Self(trimmed.into()))
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    /// Where `value` cannot be written as JSON, such as a map whose keys are not strings.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_string(value)?.into()))
    }

    /// The value `{}`.
    pub const fn empty_object() -> Self {
        Self(ByteString::from_static("{}"))
    }

    /// Takes text that is known to be one JSON value without raw line breaks.
    pub(crate) fn from_valid(text: impl Into<ByteString>) -> Self {
        let json = Self(text.into());
        debug_assert!(Self::parse(json.as_str()).is_ok_and(|again| again == json));
        json
    }

    /// The part of `line` that `value` covers, sharing its bytes.
    pub(crate) fn slice_of(line: &ByteString, value: &RawValue) -> Self {
        Self(line.slice_ref(value.get()))
    }

    /// A copy of `value`, for what must outlive the buffer that `value` lies in.
    pub(crate) fn copy_of(value: &RawValue) -> Self {
        Self(value.get().into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the text as a `T`.
    ///
    /// # Errors
    /// Where the text is not a `T`, or nests deeper than 128 levels.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// The text as bytes that are shared, not copied.
    pub fn into_bytes(self) -> bytes::Bytes {
        self.0.into_bytes()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RawJson {
    /// Writes the text itself into a JSON document, not a string that holds it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    /// Takes one value out of a JSON document as it stands there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(Box::<str>::from(value)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_line_breaks_never_reach_a_frame() {
        let json = RawJson::parse("{\n \"a\":\r\n \"x\\ny\" }\n").unwrap();
        assert_eq!(json.as_str(), "{  \"a\":   \"x\\ny\" }");
    }

    #[test]
    fn anything_but_one_value_is_refused() {
        for text in ["", "{", "1 2", "{\"a\":\u{0}}", "nul", "\"\n\""] {
            assert!(RawJson::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn text_survives_a_journal_unchanged() {
        let json = RawJson::parse("{\"n\":1e400,\"big\":18446744073709551617}").unwrap();
        let line = serde_json::to_string(&json).unwrap();
        assert_eq!(line, json.as_str());
        assert_eq!(serde_json::from_str::<RawJson>(&line).unwrap(), json);
    }
}
