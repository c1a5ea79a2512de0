//! Request ids, kept as they were written.

use std::{borrow::Cow, cmp::Ordering, fmt};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{integer::Integer, json::RawJson};

/// The id of a request: a string or an integer, as the JSON token it was on the wire.
///
/// An answer must echo an id exactly, so `1`, `1.0`, `"1"` and `18446744073709551617` are four
/// different ids; none of them is rounded or respelled. Ids are equal where their tokens are.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Id(RawJson);

impl Id {
    /// The id that the machine writes for its own request of this number.
    pub fn from_number(number: u64) -> Self {
        Self(RawJson::from_valid(number.to_string()))
    }

    /// Takes a value that is a string or a number without a fractional part.
    pub(crate) fn of(token: RawJson) -> Option<Self> {
        let valid = token.as_str().starts_with('"') || Integer::read(token.as_str()).is_some();
        valid.then_some(Self(token))
    }

    /// A copy that shares no bytes with the line it came from, so that it can be kept for long.
    pub(crate) fn detached(&self) -> Self {
        Self(RawJson::from_valid(self.as_str()))
    }

    /// The JSON token.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The number it stands for, liberally: `7`, `7.0` and `"7"` are all 7.
    ///
    /// Some servers send the ids of their requests back in another type or notation; this is how
    /// the machine recognises its own.
    pub fn number(&self) -> Option<u64> {
        let token = self.as_str();
        if !token.starts_with('"') {
            return Integer::read(token)?.to_u64();
        }
        let text = string_content(token)?;
        let canonical = text.bytes().all(|digit| digit.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        if canonical { text.parse().ok() } else { None }
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let token = Box::<RawValue>::deserialize(deserializer)?;
        let token = RawJson::parse(Box::<str>::from(token)).map_err(serde::de::Error::custom)?;
        Self::of(token).ok_or_else(|| serde::de::Error::custom("an id is a string or an integer"))
    }
}

/// The text of a valid JSON string token; nothing where it is no string, or no Unicode text.
pub(crate) fn string_content(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(token).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(token: &str) -> Id {
        serde_json::from_str(token).unwrap()
    }

    #[test]
    fn p5_f29_an_id_survives_exactly_as_it_was_written() {
        for token in [
            "1",
            "1.0",
            "-0",
            "9223372036854775808",
            "18446744073709551617",
            "1e400",
            "\"1\"",
            "\"\"",
            "\"\\u0031\"",
            "\"\\ud800\"",
            "\"\u{1f980}\"",
        ] {
            assert_eq!(serde_json::to_string(&id(token)).unwrap(), token);
            assert_eq!(id(token).detached(), id(token));
        }
    }

    #[test]
    fn p5_ids_of_different_type_or_value_differ() {
        let ids = [
            "1",
            "\"1\"",
            "1.0",
            "18446744073709551616",
            "18446744073709551617",
        ]
        .map(id);
        for (place, one) in ids.iter().enumerate() {
            for other in &ids[..place] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn p17_own_numbers_are_recognised_in_any_notation() {
        for token in ["7", "7.0", "7e0", "\"7\"", "\"\\u0037\""] {
            assert_eq!(id(token).number(), Some(7), "{token}");
        }
        for token in [
            "-7",
            "\"07\"",
            "\"7.0\"",
            "\" 7\"",
            "\"\"",
            "\"seven\"",
            "18446744073709551617",
        ] {
            assert_eq!(id(token).number(), None, "{token}");
        }
        assert_eq!(id("\"0\"").number(), Some(0));
        assert_eq!(Id::from_number(u64::MAX).number(), Some(u64::MAX));
        assert_eq!(Id::from_number(7), id("7"));
    }

    #[test]
    fn p2_only_strings_and_integers_are_ids() {
        for token in ["null", "true", "1.5", "{}", "[1]", "1e-1"] {
            assert!(serde_json::from_str::<Id>(token).is_err(), "{token}");
        }
    }
}
