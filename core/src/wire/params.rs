//! Params composed as text, so that what the user wrote passes through unread.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{RawJson, frame::push_string, id::string_content};

/// Why members cannot be added to params.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// Params are an array or no container at all.
    #[error("params are not an object")]
    NotAnObject,
    /// `_meta` in params is not an object.
    #[error("`_meta` in params is not an object")]
    MetaNotAnObject,
    /// A member stands there twice, so that it can be read in two ways.
    #[error("member {0:?} of params stands there twice")]
    DuplicateMember(String),
}

/// The params of `tools/call`: `{"name":..,"arguments":..}`.
pub fn tool_call(name: &str, arguments: Option<&RawJson>) -> String {
    let arguments = arguments.map(RawJson::as_str);
    let length = name
        .len()
        .saturating_add(arguments.map_or(0, str::len))
        .saturating_add(32);
    let mut params = String::with_capacity(length);
    params.push_str("{\"name\":");
    push_string(&mut params, name);
    if let Some(arguments) = arguments {
        params.push_str(",\"arguments\":");
        params.push_str(arguments);
    }
    params.push('}');
    params
}

/// Adds members to params, which are `{}` where absent; values are JSON text.
///
/// `meta` goes into `_meta`, whose other members stay; `extra` goes beside it. A member of the same
/// name is replaced where it stands, others are appended. All else stays byte for byte.
///
/// # Errors
/// Where `params` or its `_meta` is no object, or one of the two has a member twice.
pub fn with_members(
    params: Option<&RawJson>,
    meta: &[(&str, &str)],
    extra: &[(&str, &str)],
) -> Result<String, ParamsError> {
    let object = Object::read(
        params.map_or("{}", RawJson::as_str),
        ParamsError::NotAnObject,
    )?;
    if meta.is_empty() {
        return Ok(object.with(extra));
    }
    let own = match object.value("_meta") {
        None | Some("null") => "{}",
        Some(own) => own,
    };
    let meta = Object::read(own, ParamsError::MetaNotAnObject)?.with(meta);
    let mut members = Vec::with_capacity(extra.len().saturating_add(1));
    members.extend(extra.iter().copied().filter(|(name, _)| *name != "_meta"));
    members.push(("_meta", meta.as_str()));
    Ok(object.with(&members))
}

/// An object of which only the names are read.
struct Object<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    fn read(text: &'a str, otherwise: ParamsError) -> Result<Self, ParamsError> {
        let Ok(Members(members)) = serde_json::from_str(text) else {
            return Err(otherwise);
        };
        let mut seen = BTreeSet::new();
        for (name, _) in &members {
            if !seen.insert(name.as_ref()) {
                return Err(ParamsError::DuplicateMember(name.clone().into_owned()));
            }
        }
        Ok(Self { text, members })
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.members
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| *value)
    }

    /// Its text with these members replaced or appended.
    fn with(&self, added: &[(&str, &str)]) -> String {
        let length = added.iter().fold(self.text.len(), |length, (name, value)| {
            length
                .saturating_add(name.len())
                .saturating_add(value.len())
                .saturating_add(8)
        });
        let mut out = String::with_capacity(length);
        let mut rest = self.text;
        for (own, old) in &self.members {
            let Some((_, new)) = added.iter().rfind(|(name, _)| own == name) else {
                continue;
            };
            let (before, after) = split_around(rest, old);
            out.push_str(before);
            out.push_str(new);
            rest = after;
        }
        let (body, close) = rest.rsplit_once('}').unwrap_or((rest, ""));
        out.push_str(body);
        let mut separator = if self.members.is_empty() { "" } else { "," };
        for (place, (name, value)) in added.iter().enumerate() {
            let again = added
                .iter()
                .skip(place.saturating_add(1))
                .any(|(later, _)| later == name);
            if again || self.value(name).is_some() {
                continue;
            }
            out.push_str(separator);
            push_string(&mut out, name);
            out.push(':');
            out.push_str(value);
            separator = ",";
        }
        out.push('}');
        out.push_str(close);
        out
    }
}

/// What stands before and after `part`, which is a slice of `whole`.
fn split_around<'a>(whole: &'a str, part: &str) -> (&'a str, &'a str) {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    let end = start.saturating_add(part.len());
    (
        whole.get(..start).unwrap_or_default(),
        whole.get(end..).unwrap_or_default(),
    )
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            // A name with half a surrogate pair is no Unicode text, and equal to no name but itself.
            let name = string_content(name.get()).unwrap_or(Cow::Borrowed(name.get()));
            members.push((name, value.get()));
        }
        Ok(Members(members))
    }
}
