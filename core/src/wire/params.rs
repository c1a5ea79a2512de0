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
/// name is replaced where it stands, others are appended. All else stays byte for byte. A `_meta`
/// in `extra` counts only where `meta` is empty; of a name given twice the last counts.
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
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    /// Nothing where it is no Unicode text, as with half a surrogate pair: it equals no name.
    name: Option<Cow<'a, str>>,
    value: &'a str,
}

impl Member<'_> {
    fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

impl<'a> Object<'a> {
    fn read(text: &'a str, otherwise: ParamsError) -> Result<Self, ParamsError> {
        let Ok(Members(members)) = serde_json::from_str(text) else {
            return Err(otherwise);
        };
        let mut seen = BTreeSet::new();
        for name in members.iter().filter_map(|member| member.name.as_ref()) {
            if !seen.insert(name.as_ref()) {
                return Err(ParamsError::DuplicateMember(name.clone().into_owned()));
            }
        }
        Ok(Self { text, members })
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.members
            .iter()
            .find(|own| own.is_named(name))
            .map(|own| own.value)
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
        for own in &self.members {
            let Some((_, new)) = added.iter().rfind(|(name, _)| own.is_named(name)) else {
                continue;
            };
            let (before, after) = split_around(rest, own.value);
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

struct Members<'a>(Vec<Member<'a>>);

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
            members.push(Member {
                name: string_content(name.get()),
                value: value.get(),
            });
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const META: &[(&str, &str)] = &[("progressToken", "7"), ("x/v", "\"1\"")];

    fn json(text: &str) -> RawJson {
        RawJson::parse(text).unwrap()
    }

    fn with(
        params: &str,
        meta: &[(&str, &str)],
        extra: &[(&str, &str)],
    ) -> Result<String, ParamsError> {
        with_members(Some(&json(params)), meta, extra)
    }

    #[test]
    fn a_tool_call_names_the_tool_and_keeps_the_arguments() {
        assert_eq!(tool_call("read", None), r#"{"name":"read"}"#);
        let arguments = json(r#"{ "a":1.0, "a":2 }"#);
        assert_eq!(
            tool_call("say \"\n\"", Some(&arguments)),
            r#"{"name":"say \"\n\"","arguments":{ "a":1.0, "a":2 }}"#,
        );
    }

    #[test]
    fn p21_meta_is_added_where_there_is_none() {
        let meta = r#""_meta":{"progressToken":7,"x/v":"1"}"#;
        assert_eq!(
            with_members(None, META, &[]).unwrap(),
            format!("{{{meta}}}")
        );
        assert_eq!(with("{ }", META, &[]).unwrap(), format!("{{ {meta}}}"));
        assert_eq!(
            with(r#"{"a":"}" }"#, META, &[]).unwrap(),
            format!(r#"{{"a":"}}" ,{meta}}}"#)
        );
        assert_eq!(
            with(r#"{"_meta":null,"a":1}"#, META, &[]).unwrap(),
            format!(r#"{{{meta},"a":1}}"#),
        );
    }

    #[test]
    fn p19_own_meta_stays_unless_it_has_the_same_name() {
        assert_eq!(
            with(
                r#"{"_meta":{ "mine": [1.0], "x\u002fv":0 }, "b" : "\ud800"}"#,
                META,
                &[]
            )
            .unwrap(),
            r#"{"_meta":{ "mine": [1.0], "x\u002fv":"1" ,"progressToken":7}, "b" : "\ud800"}"#,
        );
    }

    #[test]
    fn extra_members_replace_those_of_the_same_name_where_they_stand() {
        let extra = [("requestState", "\"s\""), ("inputResponses", "{}")];
        assert_eq!(
            with(r#"{"requestState": "old","name":"n"}"#, &[], &extra).unwrap(),
            r#"{"requestState": "s","name":"n","inputResponses":{}}"#,
        );
        assert_eq!(
            with(
                r#"{"_meta":{},"requestState":"old"}"#,
                &[("k", "1")],
                &extra
            )
            .unwrap(),
            r#"{"_meta":{"k":1},"requestState":"s","inputResponses":{}}"#,
        );
        assert_eq!(
            with("{}", &[], &[("a", "1"), ("a", "2")]).unwrap(),
            r#"{"a":2}"#
        );
    }

    #[test]
    fn a_name_that_is_no_text_equals_no_other_name() {
        let params = r#"{"\ud800":1,"\ud800":2,"\"\\ud800\"":3}"#;
        assert_eq!(
            with(params, &[], &[(r#""\ud800""#, "4")]).unwrap(),
            r#"{"\ud800":1,"\ud800":2,"\"\\ud800\"":4}"#,
        );
    }

    #[test]
    fn nothing_to_add_leaves_every_byte() {
        let params = r#"{ "_meta" : 5 , "a":[ ] }"#;
        assert_eq!(with(params, &[], &[]).unwrap(), params);
    }

    #[test]
    fn params_that_can_be_read_in_two_ways_are_refused() {
        for params in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(
                with(params, META, &[]),
                Err(ParamsError::NotAnObject),
                "{params}"
            );
        }
        for params in [r#"{"_meta":1}"#, r#"{"_meta":[]}"#] {
            assert_eq!(with(params, META, &[]), Err(ParamsError::MetaNotAnObject));
        }
        for params in [r#"{"a":1,"\u0061":1}"#, r#"{"_meta":{"a":1,"a":2}}"#] {
            let duplicate = ParamsError::DuplicateMember("a".to_owned());
            assert_eq!(with(params, META, &[]), Err(duplicate));
        }
    }

    proptest! {
        #[test]
        fn p19_composing_text_equals_composing_trees(
            own in members(), own_meta in prop::option::of(members()), meta in members(),
            extra in members(),
        ) {
            let mut tree = own;
            if let Some(own_meta) = own_meta {
                tree.insert("_meta".to_owned(), own_meta.into());
            }
            let pretty = serde_json::to_string_pretty(&tree).unwrap();
            let texts = |tree: &serde_json::Map<String, serde_json::Value>| -> Vec<(String, String)> {
                tree.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
            };
            let (meta_texts, extra_texts) = (texts(&meta), texts(&extra));
            let composed = with(&pretty, &pairs(&meta_texts), &pairs(&extra_texts)).unwrap();
            if !meta.is_empty() {
                let own_meta = tree.entry("_meta").or_insert_with(|| serde_json::json!({}));
                own_meta.as_object_mut().unwrap().extend(meta);
            }
            tree.extend(extra);
            let read: serde_json::Value = serde_json::from_str(&composed).unwrap();
            prop_assert_eq!(read, serde_json::Value::Object(tree));
        }
    }

    fn members() -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
        let value = prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            ".{0,6}".prop_map(serde_json::Value::from),
            prop::collection::vec(any::<u8>(), 0..3).prop_map(serde_json::Value::from),
            Just(serde_json::json!({"deep": {"}": "{"}})),
        ];
        prop::collection::vec(("[a-d\"\n/é]{0,2}", value), 0..5)
            .prop_map(|members| members.into_iter().collect())
    }

    fn pairs(members: &[(String, String)]) -> Vec<(&str, &str)> {
        members
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}
