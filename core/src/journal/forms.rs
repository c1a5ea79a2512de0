//! The ways in which a secret is written.

use serde_json::Value;

/// Words before a credential in a header.
const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "apikey", "digest", "negotiate"];
/// Parts of an address shorter than this are words.
const SEGMENT_BYTES_MIN: usize = 16;

/// The parts of a secret value that are secrets by themselves: its lines, the strings of a JSON
/// document, the credential after a scheme, the password within an address.
///
/// None has a quotation mark or a line break, so that to cover them leaves JSON and lines whole.
pub(super) fn pieces(value: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    collect(value, &mut pieces);
    if let Ok(document) = serde_json::from_str::<Value>(value) {
        collect_strings(&document, &mut pieces);
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces.sort();
    pieces.dedup();
    pieces
}

fn collect_strings(value: &Value, pieces: &mut Vec<String>) {
    match value {
        Value::String(text) => collect(text, pieces),
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_strings(value, pieces)),
        Value::Object(members) => members
            .values()
            .for_each(|value| collect_strings(value, pieces)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn collect(value: &str, pieces: &mut Vec<String>) {
    for line in value.split(['"', '\n', '\r']) {
        let line = line.trim_matches(|c: char| c.is_whitespace() || "{}[]:,'".contains(c));
        if let Some((scheme, credential)) = line.split_once(' ')
            && SCHEMES.iter().any(|word| scheme.eq_ignore_ascii_case(word))
        {
            pieces.push(credential.trim().to_owned());
        }
        if let Some((_, rest)) = line.split_once("://") {
            collect_address(rest, pieces);
        }
        pieces.push(line.to_owned());
    }
}

/// What may be secret in an address, after its scheme.
fn collect_address(rest: &str, pieces: &mut Vec<String>) {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@') {
        pieces.push(user.to_owned());
        if let Some((_, password)) = user.split_once(':') {
            pieces.push(password.to_owned());
        }
    }
    let tail = rest.get(authority.len()..).unwrap_or_default();
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    for segment in path.split(['/', '#']) {
        if segment.len() >= SEGMENT_BYTES_MIN {
            pieces.push(segment.to_owned());
        }
    }
    for pair in query.split(['&', '#']) {
        let (_, value) = pair.split_once('=').unwrap_or(("", pair));
        pieces.push(value.to_owned());
    }
}

/// How a piece may stand in bytes: as it is, within JSON (also within JSON that is itself a string
/// of JSON), percent-encoded, and within base64.
pub(super) fn forms(piece: &str) -> Vec<Vec<u8>> {
    let escaped = escape(piece, Escapes::Needed);
    let twice = escape(&escaped, Escapes::Needed);
    let mut forms = vec![
        piece.as_bytes().to_vec(),
        escape(piece, Escapes::Slash).into_bytes(),
        escape(piece, Escapes::Ascii { upper: false }).into_bytes(),
        escape(piece, Escapes::Ascii { upper: true }).into_bytes(),
        percent_encoded(piece),
        escaped.into_bytes(),
        twice.into_bytes(),
    ];
    for alphabet in [STANDARD, URL_SAFE] {
        for offset in 0..3 {
            forms.push(within_base64(piece.as_bytes(), offset, alphabet));
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// What JSON demands.
    Needed,
    /// `/` too, as PHP does.
    Slash,
    /// Everything beyond ASCII too, as Python does.
    Ascii { upper: bool },
}

/// The text as it stands between the quotation marks of a JSON string.
fn escape(text: &str, escapes: Escapes) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '/' if escapes == Escapes::Slash => out.push_str("\\/"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if c.is_ascii() => out.push(c),
            c => match escapes {
                Escapes::Needed | Escapes::Slash => out.push(c),
                Escapes::Ascii { upper } => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&if upper {
                            format!("\\u{unit:04X}")
                        } else {
                            format!("\\u{unit:04x}")
                        });
                    }
                }
            },
        }
    }
    out
}

fn percent_encoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend(format!("%{byte:02X}").bytes());
        }
    }
    out
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of base64 that these bytes alone decide, where `offset` (of 0 to 2) bytes of a
/// group of three stand before them.
fn within_base64(bytes: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4) / 3);
    let mut bits = 0_u32;
    let mut held = 0_u32;
    // The bits of the first character that the bytes before share.
    let mut skip = match offset {
        0 => 0,
        1 => 4,
        _ => 2,
    };
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        if skip > 0 {
            held -= skip;
            skip = 0;
        }
        while held >= 6 {
            held -= 6;
            let index = (bits >> held) & 63;
            let character = usize::try_from(index)
                .ok()
                .and_then(|index| alphabet.get(index));
            out.extend(character);
        }
        bits &= (1 << held) - 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_value_are_secrets_too() {
        for (value, parts) in [
            ("plain-token", &["plain-token"][..]),
            ("Bearer abc.def", &["Bearer abc.def", "abc.def"]),
            ("Beaver abc.def", &["Beaver abc.def"]),
            (
                "postgres://ann:pass-word@db/x",
                &[
                    "ann:pass-word",
                    "pass-word",
                    "postgres://ann:pass-word@db/x",
                ],
            ),
            (
                "https://h/api/0123456789abcdef0/mcp?key=k1&x",
                &[
                    "0123456789abcdef0",
                    "https://h/api/0123456789abcdef0/mcp?key=k1&x",
                    "k1",
                    "x",
                ],
            ),
            (
                "-----BEGIN-----\nMIIE\r\n-----END-----\n",
                &["-----BEGIN-----", "-----END-----", "MIIE"],
            ),
        ] {
            assert_eq!(pieces(value), parts, "{value}");
        }
        let document = r#"{"type": "account", "key": "first\nsecond", "n": [1, ["deep"]]}"#;
        let parts = pieces(document);
        for part in ["account", "first", "second", "deep"] {
            assert!(parts.iter().any(|own| own == part), "{part}: {parts:?}");
        }
        assert!(
            !parts.iter().any(|part| part.contains(['"', '\n'])),
            "{parts:?}"
        );
    }

    #[test]
    fn the_forms_of_a_secret_are_what_programs_write() {
        let piece = "a/\"\u{e9}\u{1f511}\\";
        let forms: Vec<String> = forms(piece)
            .into_iter()
            .map(|form| String::from_utf8(form).unwrap())
            .collect();
        for written in [
            piece,
            "a/\\\"\u{e9}\u{1f511}\\\\",
            "a\\/\\\"\u{e9}\u{1f511}\\\\",
            "a/\\\"\\u00e9\\ud83d\\udd11\\\\",
            "a/\\\"\\u00E9\\uD83D\\uDD11\\\\",
            "a/\\\\\\\"\u{e9}\u{1f511}\\\\\\\\",
            "a%2F%22%C3%A9%F0%9F%94%91%5C",
        ] {
            assert!(
                forms.iter().any(|form| form == written),
                "{written}: {forms:?}"
            );
        }
        let quoted = serde_json::to_string(piece).unwrap();
        assert_eq!(format!("\"{}\"", escape(piece, Escapes::Needed)), quoted);
    }

    #[test]
    fn base64_is_found_wherever_it_begins() {
        // "xsecret-tokeny" and its like, as `base64` writes them.
        for (offset, text) in [
            (0, "c2VjcmV0LXRva2VueQ=="),
            (1, "eHNlY3JldC10b2tlbnk="),
            (2, "eHhzZWNyZXQtdG9rZW55"),
        ] {
            let form = within_base64(b"secret-token", offset, STANDARD);
            let form = String::from_utf8(form).unwrap();
            assert!(text.contains(&form) && form.len() >= 14, "{form} in {text}");
        }
        assert_eq!(within_base64(&[0xfb, 0xff], 0, URL_SAFE), b"-_");
    }
}
