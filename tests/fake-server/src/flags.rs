//! The command line: every flag is a field of the script.

use serde_json::{Map, Value};

use crate::script::Script;

/// The manual.
pub(crate) const HELP: &str = include_str!("help.txt");

/// Reads the script out of the command line: `--some-field value`, a bare `--some-field` for
/// `true`, and `--script JSON` for many fields at once. Values are JSON where they parse as JSON,
/// text otherwise; a later flag wins.
pub(crate) fn script(arguments: &[String]) -> Result<Script, String> {
    let mut fields = Map::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix("--") else {
            return Err(format!("{argument:?} is not a flag; see --help"));
        };
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (
                flag,
                rest.next_if(|next| !next.starts_with("--"))
                    .map(|value| value.as_str()),
            ),
        };
        let value = value.map_or(Value::Bool(true), read);
        match (flag, value) {
            ("script", Value::Object(more)) => fields.extend(more),
            ("script", other) => return Err(format!("--script needs a JSON object, not {other}")),
            (_, value) => {
                fields.insert(camel_case(flag), value);
            }
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn camel_case(flag: &str) -> String {
    let mut words = flag.split('-');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Handshake, NamedHandshake};

    fn read_flags(flags: &[&str]) -> Result<Script, String> {
        script(
            &flags
                .iter()
                .map(|flag| (*flag).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn flags_and_json_fill_the_same_fields() {
        let flags = [
            "--page-size",
            "3",
            "--crlf",
            "--discover",
            "-32602",
            "--tools=4",
        ];
        let script = read_flags(&flags).unwrap();
        assert_eq!((script.page_size, script.crlf, script.tools), (3, true, 4));
        assert_eq!(script.discover, Some(Handshake::Code(-32602)));
        let json = read_flags(&["--script", r#"{"discover":"silence","crlf":true}"#]).unwrap();
        assert_eq!(
            json.discover,
            Some(Handshake::Named(NamedHandshake::Silence))
        );
        assert!(json.crlf);
    }

    #[test]
    fn a_misspelt_flag_is_an_error_that_names_it() {
        assert!(
            read_flags(&["--page-sise", "3"])
                .unwrap_err()
                .contains("pageSise")
        );
        assert!(
            read_flags(&["page-size"])
                .unwrap_err()
                .contains("page-size")
        );
    }

    #[test]
    fn the_manual_names_every_field() {
        let source = include_str!("script.rs");
        let fields = source
            .lines()
            .skip_while(|line| !line.contains("pub(crate) struct Script"));
        let mut seen = 0;
        for line in fields.skip(1).take_while(|line| *line != "}") {
            let Some(field) = line.trim().strip_prefix("pub(crate) ") else {
                continue;
            };
            let flag = format!("--{}", field.split(':').next().unwrap().replace('_', "-"));
            assert!(HELP.contains(&flag), "{flag} is missing from help.txt");
            seen += 1;
        }
        assert!(seen > 30);
    }
}
