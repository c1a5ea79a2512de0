//! Payloads covered byte for byte, so that a message keeps its length, structure and validity.

use super::shape::Shape;

/// Values nested deeper are payload.
const DEPTH_MAX: usize = 256;
/// No name that matters is longer.
const NAME_BYTES_MAX: usize = 64;
const COVER: u8 = b'*';
const WORDS: [&[u8]; 3] = [b"true", b"false", b"null"];

/// Covers the payloads of a stream of messages, one a line, that comes in any pieces.
///
/// It decides each byte without knowing the next: a name stands before its value. What is no
/// message is covered, all but its spaces and line breaks. What was valid stays valid, and what was
/// not stays invalid.
#[derive(Debug)]
pub(super) struct Payloads {
    /// What a line is.
    root: Shape,
    /// Whether the machine wrote it.
    sent: bool,
    line: Line,
    stack: Vec<Level>,
    /// Containers opened beyond the stack.
    deeper: usize,
    token: Token,
    /// What the value after the last name is.
    value: Shape,
    expects_name: bool,
    name: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Begins,
    Message,
    /// No message, or one whose beginning is not known.
    Noise,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Level {
    shape: Shape,
    object: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    None,
    Name(Text),
    Text {
        text: Text,
        kept: bool,
    },
    Number {
        kept: bool,
    },
    /// So many bytes of one of the [`WORDS`].
    Word {
        word: usize,
        length: usize,
    },
    Junk,
}

/// Where a string is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Text {
    Plain,
    Escape,
    /// So many digits of `\u` are to come.
    Unicode(u8),
    /// Within a character of several bytes: what its second byte may be, and how many are to come.
    Character {
        least: u8,
        most: u8,
        rest: u8,
    },
}

impl Payloads {
    /// For lines from a server.
    pub(super) const fn received() -> Self {
        Self::new(Shape::Message, false)
    }

    /// For frames of the machine.
    pub(super) const fn sent() -> Self {
        Self::new(Shape::Message, true)
    }

    const fn new(root: Shape, sent: bool) -> Self {
        Self {
            root,
            sent,
            line: Line::Begins,
            stack: Vec::new(),
            deeper: 0,
            token: Token::None,
            value: root,
            expects_name: false,
            name: Vec::new(),
        }
    }

    /// Covers the payloads of one value of this shape.
    pub(super) fn cover_value(shape: Shape, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        let mut payloads = Self::new(shape, false);
        payloads.line = Line::Message;
        payloads.cover(&mut bytes);
        bytes
    }

    /// Bytes are missing: what follows on this line cannot be understood.
    pub(super) fn lose(&mut self) {
        self.line = Line::Noise;
    }

    /// Covers what comes next, in place.
    pub(super) fn cover(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        loop {
            let (plain, after) = rest.split_at_mut(self.run(rest));
            if let Token::Text { kept: false, .. } = self.token {
                plain.fill(COVER);
            }
            let Some((byte, after)) = after.split_first_mut() else {
                break;
            };
            *byte = self.next(*byte);
            rest = after;
        }
    }

    /// How many bytes from here on are plain text of a string.
    fn run(&self, bytes: &[u8]) -> usize {
        let is_text = matches!(
            self.token,
            Token::Text {
                text: Text::Plain,
                ..
            }
        );
        if self.line != Line::Message || !is_text {
            return 0;
        }
        bytes
            .iter()
            .position(|byte| !matches!(byte, 0x20..=0x7f) || matches!(byte, b'"' | b'\\'))
            .unwrap_or(bytes.len())
    }

    fn next(&mut self, byte: u8) -> u8 {
        if byte == b'\n' {
            *self = Self::new(self.root, self.sent);
            return byte;
        }
        match self.line {
            Line::Begins if is_space(byte) => byte,
            Line::Begins => {
                self.line = if matches!(byte, b'{' | b'[') {
                    Line::Message
                } else {
                    Line::Noise
                };
                self.next(byte)
            }
            Line::Noise => cover_noise(byte),
            Line::Message => self.next_of_message(byte),
        }
    }

    fn next_of_message(&mut self, byte: u8) -> u8 {
        match self.token {
            Token::Name(text) => {
                let (next, _) = text.next(byte);
                match next {
                    Some(text) => {
                        if self.name.len() <= NAME_BYTES_MAX {
                            self.name.push(byte);
                        }
                        self.token = Token::Name(text);
                    }
                    None => {
                        self.token = Token::None;
                        self.end_name();
                    }
                }
                byte
            }
            Token::Text { text, kept } => {
                let (next, covered) = text.next(byte);
                self.token = match next {
                    Some(text) => Token::Text { text, kept },
                    None => Token::None,
                };
                if kept { byte } else { covered }
            }
            Token::None | Token::Number { .. } | Token::Word { .. } | Token::Junk => {
                self.next_of_structure(byte)
            }
        }
    }

    fn next_of_structure(&mut self, byte: u8) -> u8 {
        let is_structure = matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"');
        if is_structure || is_space(byte) {
            self.token = Token::None;
        }
        match byte {
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => self.close(),
            b',' => self.expects_name = self.stack.last().is_some_and(|level| level.object),
            b':' => self.expects_name = false,
            b'"' if self.expects_name && self.deeper == 0 => {
                self.name.clear();
                self.token = Token::Name(Text::Plain);
            }
            b'"' => {
                let kept = self.keeps() || (self.expects_name && self.deeper > 0);
                self.token = Token::Text {
                    text: Text::Plain,
                    kept,
                };
            }
            byte if is_space(byte) => {}
            byte => return self.next_of_word(byte),
        }
        byte
    }

    fn next_of_word(&mut self, byte: u8) -> u8 {
        if self.token == Token::None {
            let word = WORDS.iter().position(|word| word.first() == Some(&byte));
            self.token = match (byte, word) {
                (b'-' | b'0'..=b'9', _) => Token::Number { kept: self.keeps() },
                (_, Some(word)) => Token::Word { word, length: 0 },
                (_, None) => Token::Junk,
            };
        }
        match self.token {
            Token::Number { kept } => match byte {
                // No number becomes greater, so none leaves the range that readers know.
                b'1'..=b'9' if !kept => b'1',
                b'e' | b'E' => {
                    self.token = Token::Number { kept: true };
                    byte
                }
                b'0'..=b'9' | b'-' | b'+' | b'.' => byte,
                _ => self.junk(byte),
            },
            Token::Word { word, length } => {
                let expected = WORDS.get(word).and_then(|word| word.get(length));
                if expected == Some(&byte) {
                    let length = length.saturating_add(1);
                    self.token = Token::Word { word, length };
                    byte
                } else {
                    self.junk(byte)
                }
            }
            Token::None | Token::Name(_) | Token::Text { .. } | Token::Junk => self.junk(byte),
        }
    }

    fn junk(&mut self, byte: u8) -> u8 {
        self.token = Token::Junk;
        cover_noise(byte)
    }

    /// What the value that begins now is.
    fn shape(&self) -> Shape {
        if self.deeper > 0 {
            return Shape::Payload;
        }
        match self.stack.last() {
            None => self.root,
            Some(level) if level.object => self.value,
            Some(level) => level.shape.element(),
        }
    }

    fn keeps(&self) -> bool {
        self.shape() == Shape::Kept
    }

    fn open(&mut self, object: bool) {
        if self.stack.len() >= DEPTH_MAX {
            self.deeper = self.deeper.saturating_add(1);
            return;
        }
        let shape = self.shape();
        self.stack.push(Level { shape, object });
        self.expects_name = object;
    }

    fn close(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else {
            self.stack.pop();
        }
        self.expects_name = false;
    }

    fn end_name(&mut self) {
        let Some(level) = self.stack.last() else {
            return;
        };
        let decoded;
        let name = if self.name.contains(&b'\\') {
            let quoted = [b"\"", self.name.as_slice(), b"\""].concat();
            decoded = serde_json::from_slice(&quoted).unwrap_or_else(|_| String::new());
            &decoded
        } else {
            str::from_utf8(&self.name).unwrap_or_default()
        };
        self.value = if self.sent {
            level.shape.sent_member(name)
        } else {
            level.shape.member(name)
        };
    }
}

impl Text {
    /// Where the string is after `byte`, `None` at its end, and what covers it.
    const fn next(self, byte: u8) -> (Option<Self>, u8) {
        match self {
            Self::Escape => match byte {
                b'u' => (Some(Self::Unicode(4)), byte),
                _ => (Some(Self::Plain), byte),
            },
            Self::Unicode(left) if byte.is_ascii_hexdigit() => {
                let next = match left {
                    0 | 1 => Self::Plain,
                    left => Self::Unicode(left - 1),
                };
                (Some(next), b'0')
            }
            Self::Character { least, most, rest } if byte >= 0x80 && byte < 0xc0 => {
                if byte < least || byte > most {
                    return (Some(Self::Plain), 0xff);
                }
                let next = match rest {
                    0 | 1 => Self::Plain,
                    rest => Self::Character {
                        least: 0x80,
                        most: 0xbf,
                        rest: rest - 1,
                    },
                };
                (Some(next), 0x80)
            }
            Self::Plain | Self::Unicode(_) | Self::Character { .. } => match byte {
                b'"' => (None, byte),
                b'\\' => (Some(Self::Escape), byte),
                0..=0x1f => (Some(Self::Plain), byte),
                0x20..=0x7f => (Some(Self::Plain), COVER),
                // One character stands for all of its length.
                0xc2..=0xdf => (Some(Self::character(0x80, 0xbf, 1)), 0xc2),
                0xe0 => (Some(Self::character(0xa0, 0xbf, 2)), 0xe1),
                0xed => (Some(Self::character(0x80, 0x9f, 2)), 0xe1),
                0xe1..=0xef => (Some(Self::character(0x80, 0xbf, 2)), 0xe1),
                0xf0 => (Some(Self::character(0x90, 0xbf, 3)), 0xf1),
                0xf1..=0xf3 => (Some(Self::character(0x80, 0xbf, 3)), 0xf1),
                0xf4 => (Some(Self::character(0x80, 0x8f, 3)), 0xf1),
                0x80..=0xc1 | 0xf5..=0xff => (Some(Self::Plain), 0xff),
            },
        }
    }

    const fn character(least: u8, most: u8, rest: u8) -> Self {
        Self::Character { least, most, rest }
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Lines stay lines, and words stay as long as they are.
pub(super) const fn cover_noise(byte: u8) -> u8 {
    if byte.is_ascii_whitespace() || byte == 0x0b {
        byte
    } else {
        COVER
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covered(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        Payloads::received().cover(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn shapes_stay_and_payloads_go() {
        for (text, shown) in [
            (
                r#"{"jsonrpc":"2.0","id":"a-1","result":{"content":[{"type":"text","text":"hi \"you\" \u00e9"}],"isError":false}}"#,
                r#"{"jsonrpc":"2.0","id":"a-1","result":{"content":[{"type":"****","text":"***\"***\"*\u0000"}],"isError":false}}"#,
            ),
            (
                r#"{"id":7,"method":"tools/call","params":{"name":"add","arguments":{"a":-10.25e3,"b":[true,null,"x"]},"_meta":{"progressToken":7,"own":"x"}}}"#,
                r#"{"id":7,"method":"tools/call","params":{"name":"add","arguments":{"a":-10.11e3,"b":[true,null,"*"]},"_meta":{"progressToken":7,"own":"*"}}}"#,
            ),
            (
                r#"{"id":2,"result":{"tools":[{"name":"t","description":"abc","inputSchema":{"name":"n"}}],"nextCursor":"p2"}}"#,
                r#"{"id":2,"result":{"tools":[{"name":"t","description":"***","inputSchema":{"name":"*"}}],"nextCursor":"p2"}}"#,
            ),
            (
                r#"{"id":2,"error":{"code":-32022,"message":"no","data":{"supported":["x"],"why":"y"}}}"#,
                r#"{"id":2,"error":{"code":-32022,"message":"**","data":{"supported":["x"],"why":"*"}}}"#,
            ),
            (
                r#"[{"method":"m","p\u0061rams":{"level":"info","data":"d"}},{"result":{"x":"y"}}]"#,
                r#"[{"method":"m","p\u0061rams":{"level":"info","data":"*"}},{"result":{"x":"*"}}]"#,
            ),
            ("listening on 8080\r\n  at x", "********* ** ****\r\n  ** *"),
            ("{'python': true, nil}", "{********: true, n**}"),
            (
                "{\"result\":{\"a\":01,\"b\":trueish}}",
                "{\"result\":{\"a\":01,\"b\":true***}}",
            ),
            (
                "{\"result\":\"\u{e9}\u{20ac}\u{1f511}\"}",
                "{\"result\":\"\u{80}\u{1000}\u{40000}\"}",
            ),
        ] {
            assert_eq!(covered(text), shown);
        }
    }

    #[test]
    fn a_line_whose_beginning_is_lost_is_covered() {
        let mut payloads = Payloads::received();
        payloads.lose();
        let mut bytes = b"\"method\": \"x\"}\n{\"id\":1}".to_vec();
        payloads.cover(&mut bytes);
        assert_eq!(bytes, b"********* ****\n{\"id\":1}");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = 1000;
        let text = format!("{}\"a\"{}", "[".repeat(deep), "]".repeat(deep));
        let mut payloads = Payloads::received();
        let mut bytes = format!("{{\"id\":{text},\"method\":\"m\"}}").into_bytes();
        payloads.cover(&mut bytes);
        assert!(payloads.stack.capacity() <= 2 * DEPTH_MAX);
        let shown = String::from_utf8(bytes).unwrap();
        assert!(
            shown.contains("\"*\"") && shown.ends_with("\"method\":\"m\"}"),
            "{shown}"
        );
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_stays_valid_and_nothing_of_a_payload_stays(value in any_json()) {
            let text = serde_json::to_string(&value).unwrap();
            let bytes = Payloads::cover_value(Shape::Payload, &text);
            prop_assert_eq!(bytes.len(), text.len());
            let shown: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert!(same_structure(&value, &shown), "{} {}", value, shown);
            let again = Payloads::cover_value(Shape::Payload, str::from_utf8(&bytes).unwrap());
            prop_assert_eq!(again, bytes);
        }

        #[test]
        fn broken_bytes_stay_as_broken(
            mut bytes in r#"\{"result":["\[\]{}, :a01e.\\ué€🔑-]{0,30}\}"#.prop_map(String::into_bytes),
            at in 0_usize..40,
            with: u8,
        ) {
            prop_assume!(with != b'\n');
            let at = at % bytes.len();
            bytes[at] = with;
            prop_assume!(bytes[0] == b'{');
            let mut shown = bytes.clone();
            Payloads::received().cover(&mut shown);
            let is_json = |bytes| serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok();
            prop_assert_eq!(
                is_json(&bytes), is_json(&shown),
                "{:?} {:?}", String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&shown)
            );
        }

        #[test]
        fn any_split_gives_the_same(text in any::<String>(), value in any_json(), cut in 0_usize..200) {
            let line = format!("{text}\n{{\"result\":{value}}}\n");
            let mut whole = line.clone().into_bytes();
            Payloads::received().cover(&mut whole);
            let mut halves = line.into_bytes();
            let cut = cut.min(halves.len());
            let mut payloads = Payloads::received();
            let (front, back) = halves.split_at_mut(cut);
            payloads.cover(front);
            payloads.cover(back);
            prop_assert_eq!(halves, whole);
        }
    }

    fn same_structure(value: &serde_json::Value, shown: &serde_json::Value) -> bool {
        use serde_json::Value;
        match (value, shown) {
            (Value::String(text), Value::String(shown)) => {
                let plain = |c: char| {
                    matches!(c, '*' | '"' | '\\' | '\u{80}' | '\u{1000}' | '\u{40000}')
                        || c.is_control()
                };
                text.chars().count() == shown.chars().count() && shown.chars().all(plain)
            }
            (Value::Array(values), Value::Array(shown)) => {
                values.len() == shown.len()
                    && values.iter().zip(shown).all(|(a, b)| same_structure(a, b))
            }
            (Value::Object(members), Value::Object(shown)) => {
                members.len() == shown.len()
                    && members
                        .iter()
                        .all(|(name, value)| same_structure(value, &shown[name]))
            }
            (Value::Number(_), Value::Number(_)) => true,
            (value, shown) => value == shown,
        }
    }
}
