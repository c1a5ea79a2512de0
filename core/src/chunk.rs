//! Bytes in a journal: readable where they are text, numbers where they are not.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Chunk<'a> {
    Text(std::borrow::Cow<'a, str>),
    Bytes(std::borrow::Cow<'a, [u8]>),
}

pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    let chunk = std::str::from_utf8(bytes).map_or_else(
        |_| Chunk::Bytes(std::borrow::Cow::Borrowed(bytes)),
        |text| Chunk::Text(std::borrow::Cow::Borrowed(text)),
    );
    chunk.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    Ok(match Chunk::deserialize(deserializer)? {
        Chunk::Text(text) => Bytes::from(text.into_owned()),
        Chunk::Bytes(bytes) => Bytes::from(bytes.into_owned()),
    })
}
