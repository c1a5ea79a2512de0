//! Values of the tree, taken as what a key wants them to be.

use jsonc_parser::{
    ast::{Object, StringLit, Value},
    common::Ranged,
};

use super::{
    expand::{Tilde, expand},
    keys::{Key, Place, foreign},
    path::Path,
    problem::Report,
    syntax::Lines,
};

/// One reading of one file.
pub(super) struct Reader<'v> {
    pub(super) report: Report,
    pub(super) lines: Lines,
    variable: &'v dyn Fn(&str) -> Option<String>,
}

/// A key that was found, with its value.
pub(super) struct Entry<'n, 't> {
    pub(super) key: &'static Key,
    /// Where the key stands.
    pub(super) offset: usize,
    pub(super) value: &'n Value<'t>,
}

/// A value that was given, and where; the value is absent where it was reported as wrong.
#[derive(Clone, Copy)]
pub(super) struct Given<T> {
    pub(super) offset: usize,
    pub(super) value: Option<T>,
}

impl<'v> Reader<'v> {
    pub(super) fn new(text: &str, variable: &'v dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            report: Report::default(),
            lines: Lines::new(text),
            variable,
        }
    }

    /// The known keys of an object; warns of the others. A value of `null` is no value.
    pub(super) fn entries<'n, 't>(
        &mut self,
        place: Place,
        path: &Path<'_>,
        object: &'n Object<'t>,
    ) -> Vec<Entry<'n, 't>> {
        let mut entries = Vec::with_capacity(object.properties.len());
        for prop in &object.properties {
            let name = prop.name.as_str();
            let Some(key) = place.key(name) else {
                self.warn_of_unknown(place, &path.key(name), name, prop.start(), &prop.value);
                continue;
            };
            if prop.value.as_null_keyword().is_none() {
                entries.push(Entry {
                    key,
                    offset: prop.start(),
                    value: &prop.value,
                });
            }
        }
        entries
    }

    fn warn_of_unknown(
        &mut self,
        place: Place,
        path: &Path<'_>,
        name: &str,
        offset: usize,
        value: &Value<'_>,
    ) {
        let like_server = || {
            let object = value.as_object();
            object.is_some_and(|o| o.get("command").is_some() || o.get("url").is_some())
        };
        let remedy = if let Some(hint) = foreign(place, name) {
            hint.to_owned()
        } else if let Some(near) = place.near_miss(name) {
            format!("did you mean `{near}`?")
        } else if place == Place::Top && like_server() {
            "a server stands within `mcpServers`: move it there".to_owned()
        } else {
            "remove it, or leave it for the other programs that read this file".to_owned()
        };
        let message = format!("unknown key of {}; it has no effect", place.as_str());
        self.report.warning(offset, path, message, remedy);
    }

    pub(super) fn object<'n, 't>(
        &mut self,
        path: &Path<'_>,
        value: &'n Value<'t>,
    ) -> Option<&'n Object<'t>> {
        let object = value.as_object();
        if object.is_none() {
            self.mismatch(path, value, "an object", "write `{ \"key\": value }`");
        }
        object
    }

    pub(super) fn list<'n, 't>(
        &mut self,
        path: &Path<'_>,
        value: &'n Value<'t>,
    ) -> Option<&'n [Value<'t>]> {
        let list = value.as_array();
        if list.is_none() {
            self.mismatch(path, value, "a list", "write `[\"one\", \"two\"]`");
        }
        list.map(|list| list.elements.as_slice())
    }

    pub(super) fn text<'n, 't>(
        &mut self,
        path: &Path<'_>,
        value: &'n Value<'t>,
    ) -> Option<&'n StringLit<'t>> {
        let text = value.as_string_lit();
        if text.is_none() {
            let remedy = match value {
                Value::NumberLit(_) | Value::BooleanLit(_) => "put it in double quotes",
                Value::NullKeyword(_) => "remove it, or write `\"\"`",
                Value::StringLit(_) | Value::Object(_) | Value::Array(_) => {
                    "write one string in double quotes"
                }
            };
            self.mismatch(path, value, "a string", remedy);
        }
        text
    }

    pub(super) fn filled_text(&mut self, path: &Path<'_>, value: &Value<'_>) -> Option<String> {
        let text = self.text(path, value)?;
        if text.value.trim().is_empty() {
            self.report.error(
                text.start(),
                path,
                "the string is empty",
                "fill it, or remove the key",
            );
            return None;
        }
        Some(text.value.as_ref().to_owned())
    }

    /// A text with its references expanded.
    pub(super) fn expanded(
        &mut self,
        path: &Path<'_>,
        value: &Value<'_>,
        tilde: Tilde,
    ) -> Option<String> {
        let text = self.text(path, value)?;
        match expand(&text.value, tilde, self.variable) {
            Ok(expanded) if expanded.contains('\0') => {
                let message = "the string holds a NUL character";
                self.report
                    .error(text.start(), path, message, "remove the `\\u0000`");
                None
            }
            Ok(expanded) => Some(expanded),
            Err(refusals) => {
                // Behind an escape, offsets in the value are no longer offsets in the file.
                let verbatim = text.width() == text.value.len() + 2;
                for refusal in refusals {
                    let within = if verbatim { refusal.offset + 1 } else { 0 };
                    let offset = text.start() + within;
                    self.report
                        .error(offset, path, refusal.message, refusal.remedy);
                }
                None
            }
        }
    }

    /// The texts of a list, expanded; those that are wrong are left out.
    pub(super) fn expanded_list(&mut self, path: &Path<'_>, value: &Value<'_>) -> Vec<String> {
        let elements = self.list(path, value).unwrap_or_default();
        let expand = |(index, element): (usize, &Value<'_>)| {
            self.expanded(&path.element(index), element, Tilde::Plain)
        };
        elements.iter().enumerate().filter_map(expand).collect()
    }

    pub(super) fn flag(&mut self, path: &Path<'_>, value: &Value<'_>) -> Option<bool> {
        let flag = value.as_boolean_lit().map(|flag| flag.value);
        if flag.is_none() {
            self.mismatch(
                path,
                value,
                "true or false",
                "write `true` or `false`, without quotes",
            );
        }
        flag
    }

    /// A whole number within the range of its key.
    pub(super) fn number(&mut self, path: &Path<'_>, key: &Key, value: &Value<'_>) -> Option<u64> {
        let (least, most) = key.range.unwrap_or((0, u64::MAX));
        let unit = key.unit;
        let remedy = format!("write a whole number of {least} to {most} ({unit}), without quotes");
        let Some(literal) = value.as_number_lit() else {
            self.mismatch(path, value, "a whole number", &remedy);
            return None;
        };
        let digits = literal.value.trim_start_matches('-');
        let message = if !digits.chars().all(|c| c.is_ascii_digit()) {
            "expected a whole number, found a fraction or an exponent".to_owned()
        } else {
            match literal.value.parse() {
                Ok(number) if (least..=most).contains(&number) => return Some(number),
                Ok(number) if number < least => format!("{number} is too small"),
                Ok(number) => format!("{number} is too large"),
                Err(_) if literal.value.starts_with('-') => "the number is negative".to_owned(),
                Err(_) => "the number is too large".to_owned(),
            }
        };
        self.report.error(value.start(), path, message, remedy);
        None
    }

    fn mismatch(&mut self, path: &Path<'_>, value: &Value<'_>, wanted: &str, remedy: &str) {
        let found = match value {
            Value::StringLit(_) => "a string",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(flag) if flag.value => "true",
            Value::BooleanLit(_) => "false",
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            Value::NullKeyword(_) => "null",
        };
        let message = format!("expected {wanted}, found {found}");
        self.report.error(value.start(), path, message, remedy);
    }
}
