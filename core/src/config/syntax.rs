//! From text to a tree whose nodes know their positions.

use std::collections::BTreeMap;

use jsonc_parser::{
    CollectOptions, ParseOptions, ParseStringErrorKind, Scanner, ScannerOptions, ast::Value,
    common::Ranged, errors::ParseErrorKind, parse_to_ast, tokens::Token,
};

use super::{path::Path, problem::Report};

/// JSON as editors take it for settings: comments and trailing commas, and no more than that.
const GRAMMAR: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

const TOKENS: ScannerOptions = ScannerOptions {
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

const UNCLOSED: &str = "the string that begins here is not closed on its line";
const CLOSE_QUOTE: &str = "add the closing quote; a line break within a string is written `\\n`";

/// Parses the text, or reports the one place where it stops being JSON.
pub(super) fn parse<'t>(text: &'t str, report: &mut Report) -> Option<Value<'t>> {
    if let Some(offset) = open_quote(text) {
        report.error(offset, &Path::Top, UNCLOSED, CLOSE_QUOTE);
        return None;
    }
    match parse_to_ast(text, &CollectOptions::default(), &GRAMMAR) {
        Ok(result) => {
            if result.value.is_none() {
                report.error(
                    0,
                    &Path::Top,
                    "the file is empty",
                    "write at least `{ \"mcpServers\": {} }`",
                );
            }
            result.value
        }
        Err(error) => {
            let (message, remedy) = explain(error.kind());
            report.error(
                error.range().start.min(text.len()),
                &Path::Top,
                message,
                remedy,
            );
            None
        }
    }
}

/// Finds a text that runs over the end of its line. The parser would take the next quote, maybe
/// many lines below, for its end, and complain about what follows that.
fn open_quote(text: &str) -> Option<usize> {
    let mut scanner = Scanner::new(text, &TOKENS);
    while let Ok(Some(token)) = scanner.scan() {
        if let Token::String(_) = token {
            let raw = text
                .get(scanner.token_start()..scanner.token_end())
                .unwrap_or_default();
            if raw.contains(['\n', '\r']) {
                return Some(scanner.token_start());
            }
        }
    }
    None
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest of the parser's words need no help"
)]
fn explain(kind: &ParseErrorKind) -> (String, &'static str) {
    let plain = "only comments and commas before a closing bracket are allowed beyond plain JSON";
    let (message, remedy) = match kind {
        ParseErrorKind::ExpectedComma => ("expected a comma", "separate the values with `,`"),
        ParseErrorKind::ExpectedColonAfterObjectKey => {
            ("expected a colon after the key", "write `\"key\": value`")
        }
        ParseErrorKind::ExpectedObjectValue => {
            ("expected a value after the colon", "write `\"key\": value`")
        }
        ParseErrorKind::ExpectedStringObjectProperty | ParseErrorKind::UnexpectedTokenInObject => {
            ("expected a key in double quotes", "write `\"key\": value`")
        }
        ParseErrorKind::UnexpectedCloseBrace => (
            "expected a value, found `}`",
            "add the value, or close what is open with its own bracket",
        ),
        ParseErrorKind::UnexpectedCloseBracket => (
            "expected a value, found `]`",
            "add the value, or close what is open with its own bracket",
        ),
        ParseErrorKind::UnexpectedComma => (
            "expected a value, found a comma",
            "remove one of the commas",
        ),
        ParseErrorKind::UnexpectedColon => (
            "expected a value, found a colon",
            "write `\"key\": value`, within `{` and `}`",
        ),
        ParseErrorKind::UnexpectedWord => (
            "expected a value, found a bare word",
            "put strings in double quotes, and check the quotes before this place",
        ),
        ParseErrorKind::UnexpectedToken => (
            "expected a value, found something else",
            "remove it, or close the quotes before it",
        ),
        ParseErrorKind::SingleQuotedStringsNotAllowed => (
            "expected double quotes, found a single quote",
            "write `\"` for `'`",
        ),
        ParseErrorKind::UnterminatedObject => (
            "expected a `}` for the `{` that stands here",
            "close the object",
        ),
        ParseErrorKind::UnterminatedArray => (
            "expected a `]` for the `[` that stands here",
            "close the list",
        ),
        ParseErrorKind::UnterminatedCommentBlock => (
            "expected a `*/` for the `/*` that stands here",
            "close the comment",
        ),
        ParseErrorKind::MultipleRootJsonValues => (
            "expected the end of the file",
            "remove what follows the outermost `}`",
        ),
        ParseErrorKind::NestingDepthExceeded => (
            "objects and lists are nested too deep",
            "remove some levels",
        ),
        ParseErrorKind::String(ParseStringErrorKind::UnterminatedStringLiteral) => {
            (UNCLOSED, CLOSE_QUOTE)
        }
        ParseErrorKind::String(ParseStringErrorKind::InvalidUnicodeEscapeSequence(_)) => {
            ("the escape is no character", "write the character itself")
        }
        ParseErrorKind::String(_) => (
            "the escape is unknown",
            "write a backslash as `\\\\`, and other characters as they are",
        ),
        other => return (other.to_string().to_lowercase(), plain),
    };
    (message.to_owned(), remedy)
}

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends = memchr::memchr2_iter(b'\n', b'\r', bytes)
            .filter(|&at| bytes.get(at) == Some(&b'\n') || bytes.get(at + 1) != Some(&b'\n'));
        Self(std::iter::once(0).chain(ends.map(|at| at + 1)).collect())
    }

    /// The line of a byte offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|&start| start <= offset)
    }
}

/// Reports every key that an object holds twice, at any depth: parsers differ in which they keep.
pub(super) fn report_duplicates(
    value: &Value<'_>,
    path: &Path<'_>,
    lines: &Lines,
    report: &mut Report,
) {
    match value {
        Value::Object(object) => {
            let mut first = BTreeMap::new();
            for prop in &object.properties {
                let name = prop.name.as_str();
                let path = path.key(name);
                let offset = prop.start();
                if let Some(&before) = first.get(name) {
                    let message = format!("this key stands on line {} already", lines.line(before));
                    report.error(offset, &path, message, "keep one of the two");
                } else {
                    first.insert(name, offset);
                }
                report_duplicates(&prop.value, &path, lines, report);
            }
        }
        Value::Array(array) => {
            for (index, element) in array.elements.iter().enumerate() {
                report_duplicates(element, &path.element(index), lines, report);
            }
        }
        Value::StringLit(_)
        | Value::NumberLit(_)
        | Value::BooleanLit(_)
        | Value::NullKeyword(_) => {}
    }
}
