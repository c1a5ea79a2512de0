//! The arguments of a tool, from the command line, a file or standard input.

use std::{fs, io::Read as _};

use mcp_fleet_core::RawJson;

use crate::exit::Problem;

/// Reads `JSON`, `@file` or `-`.
///
/// # Errors
/// Where it cannot be read, or is no JSON object.
pub(crate) fn read(argument: &str) -> Result<RawJson, Problem> {
    let (text, origin) = if argument == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| {
                Problem::usage(format!(
                    "cannot read arguments from standard input: {error}"
                ))
            })?;
        (text, "standard input".to_owned())
    } else if argument == "@" {
        let problem = Problem::usage("the name of a file is missing after `@`");
        return Err(problem.hint("write `@arguments.json`, or `-` for standard input"));
    } else if let Some(path) = argument.strip_prefix('@') {
        let text = fs::read_to_string(path).map_err(|error| {
            Problem::usage(format!("cannot read arguments from {path}: {error}"))
        })?;
        (text, path.to_owned())
    } else {
        (argument.to_owned(), "the command line".to_owned())
    };
    let example = "write them like '{\"path\": \"notes.txt\"}'";
    let json = RawJson::parse(text.trim_start_matches('\u{feff}')).map_err(|error| {
        let message = format!("the arguments from {origin} are not JSON: {error}");
        Problem::usage(message).hint(format!("{example}, in single quotes for most shells"))
    })?;
    if !json.is_object() {
        let message = format!("the arguments from {origin} are not a JSON object");
        return Err(Problem::usage(message).hint(example));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_are_arguments() {
        assert_eq!(
            read("{ \"a\":\n 1e400 }").unwrap().as_str(),
            "{ \"a\":  1e400 }"
        );
        for wrong in ["[]", "3", "\"{}\"", "{", "", "null"] {
            let problem = read(wrong).unwrap_err();
            assert_eq!(problem.exit.code(), 2, "{wrong}");
            assert!(problem.hint.is_some());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(
            read("@/no/such/file")
                .unwrap_err()
                .message
                .contains("/no/such/file")
        );
        assert!(read("@").unwrap_err().message.contains("missing"));
    }
}
