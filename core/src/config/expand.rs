//! References to variables, put in their place.

use super::path::shown;

/// Why a text cannot be expanded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    /// Where the reference begins, in bytes from the start of the text.
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// Whether `~/` at the start stands for the home directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tilde {
    /// It does: the text is a path.
    Home,
    /// It is two characters like any other.
    Plain,
}

const FORMS: &str = "write `${NAME}`, `${NAME:-default}` or `${env:NAME}`; a literal `${` is `$${`";

/// Puts the values of variables in the place of their references.
///
/// # Errors
/// One refusal for each reference that has no value or no meaning.
pub(super) fn expand(
    text: &str,
    tilde: Tilde,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Vec<Refusal>> {
    let mut out = String::with_capacity(text.len());
    let mut refusals = Vec::new();
    let mut rest = text;
    if tilde == Tilde::Home
        && let Some(tail) = text.strip_prefix('~')
        && (tail.is_empty() || tail.starts_with('/'))
    {
        match home(variable) {
            Some(home) => {
                out.push_str(home.trim_end_matches('/'));
                rest = tail;
            }
            None => refusals.push(Refusal {
                offset: 0,
                message: "`~` needs the variable HOME, which is not set".to_owned(),
                remedy: "set HOME, or write the whole path".to_owned(),
            }),
        }
    }
    while let Some(dollar) = rest.find('$') {
        let (plain, reference) = rest.split_at(dollar);
        out.push_str(plain);
        let offset = text.len() - reference.len();
        if let Some(tail) = reference.strip_prefix("$${") {
            out.push_str("${");
            rest = tail;
        } else if let Some(tail) = reference.strip_prefix("${") {
            let Some((body, tail)) = tail.split_once('}') else {
                refusals.push(Refusal {
                    offset,
                    message: "a reference that begins with `${` has no closing `}`".to_owned(),
                    remedy: "add the `}`, or write `$${` for a literal `${`".to_owned(),
                });
                rest = "";
                break;
            };
            match resolve(body, variable) {
                Ok(value) => out.push_str(&value),
                Err((message, remedy)) => refusals.push(Refusal {
                    offset,
                    message,
                    remedy,
                }),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = reference.strip_prefix('$').unwrap_or_default();
        }
    }
    out.push_str(rest);
    if refusals.is_empty() {
        Ok(out)
    } else {
        Err(refusals)
    }
}

fn home(variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    variable("HOME").filter(|home| !home.is_empty())
}

/// The value of what stands between `${` and `}`, or a message and a remedy.
fn resolve(
    body: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (String, String)> {
    if body.contains("${") {
        let message = "references cannot stand inside one another".to_owned();
        return Err((message, "write the default as plain text".to_owned()));
    }
    let (name, from_environment) = match body.strip_prefix("env:") {
        Some(name) if !name.starts_with('-') => (name, true),
        Some(_) | None => (body, false),
    };
    let (name, default) = match name.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (name, None),
    };
    if !from_environment {
        match name {
            "pathSeparator" | "/" => return Ok("/".to_owned()),
            "userHome" => return known(home(variable), "HOME", default),
            "workspaceFolder" => {
                return default.map(str::to_owned).ok_or_else(|| {
                    let message = "`${workspaceFolder}` is known to editors only".to_owned();
                    (
                        message,
                        "write the path, or a variable that holds it".to_owned(),
                    )
                });
            }
            _ => {}
        }
        if let Some(id) = name.strip_prefix("input:") {
            let message = format!("`${{input:{}}}` is a prompt of an editor", shown(id));
            let remedy = "write `${NAME}` and set that environment variable".to_owned();
            return Err((message, remedy));
        }
        if let Some((prefix, _)) = name.split_once(':') {
            let message = format!(
                "`{}:` begins no reference that is known here",
                shown(prefix)
            );
            return Err((message, FORMS.to_owned()));
        }
    }
    if !is_variable_name(name, from_environment) {
        let message = if name.is_empty() {
            "a reference names no variable".to_owned()
        } else {
            format!("`{}` is not the name of a variable", shown(name))
        };
        return Err((message, FORMS.to_owned()));
    }
    known(variable(name), name, default)
}

/// As in a shell, `:-` gives its default for an empty variable too.
fn known(
    value: Option<String>,
    name: &str,
    default: Option<&str>,
) -> Result<String, (String, String)> {
    match (value, default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (Some(_) | None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let name = shown(name);
            let message = format!("the environment variable `{name}` is not set");
            Err((
                message,
                format!("set it, or give a default: `${{{name}:-default}}`"),
            ))
        }
    }
}

/// After `env:` any name the system could hold is taken: Windows has `ProgramFiles(x86)`.
fn is_variable_name(name: &str, from_environment: bool) -> bool {
    if from_environment {
        return !name.is_empty() && !name.contains(['=', '\0', '$', '{']);
    }
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "HOME" => "/home/ann",
            "TOKEN" => "s3cret",
            "LOOP" => "${TOKEN}",
            "EMPTY" => "",
            "ProgramFiles(x86)" => "C:/x86",
            "env" => "an odd name",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn plain(text: &str) -> Result<String, Vec<(usize, String, String)>> {
        expand(text, Tilde::Plain, &environment).map_err(|refusals| {
            refusals
                .into_iter()
                .map(|r| (r.offset, r.message, r.remedy))
                .collect()
        })
    }

    #[test]
    fn references_become_values() {
        for (text, value) in [
            ("", ""),
            ("plain", "plain"),
            ("${TOKEN}", "s3cret"),
            ("Bearer ${TOKEN}!", "Bearer s3cret!"),
            ("${TOKEN}${TOKEN}", "s3crets3cret"),
            ("${env:TOKEN}", "s3cret"),
            ("${env:ProgramFiles(x86)}/a", "C:/x86/a"),
            ("${NONE:-fallback}", "fallback"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${NONE:-http://h:80/p?q=1}", "http://h:80/p?q=1"),
            ("${env:NONE:-fallback}", "fallback"),
            ("${TOKEN:-fallback}", "s3cret"),
            ("${EMPTY}", ""),
            ("${EMPTY:-fallback}", "fallback"),
            ("${env:-x}", "an odd name"),
            ("${userHome}${pathSeparator}a${/}b", "/home/ann/a/b"),
            ("${workspaceFolder:-/w}", "/w"),
            // What a value holds is not read again.
            ("${LOOP}", "${TOKEN}"),
        ] {
            assert_eq!(plain(text), Ok(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_dollars_are_left_alone() {
        for text in [
            "$TOKEN",
            "$",
            "$$",
            "a$",
            "$ {TOKEN}",
            "%TOKEN%",
            "$$HOME",
            "~",
            "~/x",
        ] {
            assert_eq!(plain(text), Ok(text.to_owned()));
        }
        assert_eq!(plain("$${TOKEN}"), Ok("${TOKEN}".to_owned()));
        assert_eq!(plain("$$${TOKEN} $${"), Ok("$${TOKEN} ${".to_owned()));
    }

    #[test]
    fn a_tilde_is_the_home_of_a_path_only_at_its_start() {
        let path = |text| expand(text, Tilde::Home, &environment).unwrap();
        assert_eq!(path("~/bin/x"), "/home/ann/bin/x");
        assert_eq!(path("~"), "/home/ann");
        assert_eq!(path("~bob/x"), "~bob/x");
        assert_eq!(path("/a/~/x"), "/a/~/x");
        let homeless = expand("~/x", Tilde::Home, &|_| None).unwrap_err();
        assert_eq!(
            homeless[0].message,
            "`~` needs the variable HOME, which is not set"
        );
    }

    #[test]
    fn what_has_no_value_is_refused() {
        for (text, offset, message, remedy) in [
            (
                "a ${NONE}",
                2,
                "the environment variable `NONE` is not set",
                "set it, or give a default: `${NONE:-default}`",
            ),
            (
                "${env:NONE}",
                0,
                "the environment variable `NONE` is not set",
                "set it, or give a default: `${NONE:-default}`",
            ),
            (
                "x${TOKEN",
                1,
                "a reference that begins with `${` has no closing `}`",
                "add the `}`, or write `$${` for a literal `${`",
            ),
            (
                "${input:key}",
                0,
                "`${input:key}` is a prompt of an editor",
                "write `${NAME}` and set that environment variable",
            ),
            (
                "${workspaceFolder}/x",
                0,
                "`${workspaceFolder}` is known to editors only",
                "write the path, or a variable that holds it",
            ),
            (
                "${secret:x}",
                0,
                "`secret:` begins no reference that is known here",
                FORMS,
            ),
            (
                "${TOKEN:?no}",
                0,
                "`TOKEN:` begins no reference that is known here",
                FORMS,
            ),
            (
                "${TOKEN-x}",
                0,
                "`TOKEN-x` is not the name of a variable",
                FORMS,
            ),
            ("${1}", 0, "`1` is not the name of a variable", FORMS),
            ("${a\nb}", 0, "`a\\nb` is not the name of a variable", FORMS),
            ("${}", 0, "a reference names no variable", FORMS),
            ("${env:}", 0, "a reference names no variable", FORMS),
            ("${:-x}", 0, "a reference names no variable", FORMS),
            (
                "${A:-${B}}",
                0,
                "references cannot stand inside one another",
                "write the default as plain text",
            ),
        ] {
            let refusal = (offset, message.to_owned(), remedy.to_owned());
            assert_eq!(plain(text), Err(vec![refusal]), "{text}");
        }
    }

    #[test]
    fn every_bad_reference_is_refused_at_its_own_offset() {
        let offsets: Vec<usize> = plain("${A} ${TOKEN} ${B:-x} ${C}")
            .unwrap_err()
            .iter()
            .map(|r| r.0)
            .collect();
        assert_eq!(offsets, [0, 22]);
    }
}
