//! Known texts found in bytes, also where they come in pieces, and covered.

/// What stands in the place of a byte that is covered.
const COVER: u8 = b'*';
/// The same within a number, so that what was a number stays one.
const COVER_DIGIT: u8 = b'9';

/// One text that is to be covered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Pattern {
    bytes: Vec<u8>,
    cover: u8,
}

/// All texts that are to be covered.
#[derive(Debug)]
pub(super) struct Patterns {
    /// In order, each once.
    sorted: Vec<Pattern>,
    /// Which pairs of bytes any of them begins with, a bit each.
    pairs: Vec<u64>,
}

impl Default for Patterns {
    fn default() -> Self {
        Self {
            sorted: Vec::new(),
            pairs: vec![0; 1024],
        }
    }
}

impl Patterns {
    /// Those of `texts` with two bytes at least.
    pub(super) fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut patterns = Self::default();
        for bytes in texts {
            let &[first, second, ..] = bytes.as_slice() else {
                continue;
            };
            let (word, bit) = place(first, second);
            if let Some(word) = patterns.pairs.get_mut(word) {
                *word |= bit;
            }
            let digits = bytes.iter().all(u8::is_ascii_digit);
            let cover = if digits { COVER_DIGIT } else { COVER };
            patterns.sorted.push(Pattern { bytes, cover });
        }
        patterns.sorted.sort();
        patterns.sorted.dedup();
        patterns
    }

    /// Covers all of them in `bytes`, which are complete.
    pub(super) fn cover(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = Stream::default();
        let mut out = Vec::with_capacity(bytes.len());
        stream.buffer.extend_from_slice(bytes);
        stream.decide(self, true, &mut out);
        out
    }

    /// Whether any of them is in `bytes`.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.ranges(bytes).next().is_some()
    }

    /// Where they are in `bytes`: those that touch or overlap taken together.
    pub(super) fn ranges<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        let mut from = 0;
        std::iter::from_fn(move || {
            let mut found: Option<(usize, usize)> = None;
            while from < bytes.len() {
                if found.is_none() {
                    let rest = bytes.get(from..).unwrap_or_default();
                    from = from.saturating_add(self.plain(rest));
                }
                if found.is_some_and(|(_, end)| from > end) {
                    break;
                }
                let rest = bytes.get(from..).unwrap_or_default();
                if let Some(pattern) = self.longest_at(rest) {
                    let end = from.saturating_add(pattern.bytes.len());
                    let (start, before) = found.unwrap_or((from, end));
                    found = Some((start, before.max(end)));
                }
                from = from.saturating_add(1);
            }
            found
        })
    }

    /// The longest that `rest` begins with.
    fn longest_at(&self, rest: &[u8]) -> Option<&Pattern> {
        let &[first, second, ..] = rest else {
            return None;
        };
        if !self.has_pair(first, second) {
            return None;
        }
        let after = self
            .sorted
            .partition_point(|pattern| pattern.bytes.as_slice() <= rest);
        let before = self.sorted.get(..after)?;
        before
            .iter()
            .rev()
            .take_while(|pattern| pattern.bytes.starts_with(&[first, second]))
            .find(|pattern| rest.starts_with(&pattern.bytes))
    }

    /// Whether `rest` could be the beginning of one of them, or of a longer one.
    fn may_begin(&self, rest: &[u8]) -> bool {
        if let &[first, second, ..] = rest
            && !self.has_pair(first, second)
        {
            return false;
        }
        let from = self
            .sorted
            .partition_point(|pattern| pattern.bytes.as_slice() <= rest);
        self.sorted
            .get(from)
            .is_some_and(|pattern| pattern.bytes.starts_with(rest))
    }

    /// How many bytes at the start begin no pattern for certain.
    fn plain(&self, rest: &[u8]) -> usize {
        if self.sorted.is_empty() {
            return rest.len();
        }
        // The last byte has no pair.
        let most = rest.len().saturating_sub(1);
        let begins = |pair: &[u8]| matches!(pair, &[first, second] if self.has_pair(first, second));
        rest.windows(2).position(begins).unwrap_or(most)
    }

    fn has_pair(&self, first: u8, second: u8) -> bool {
        let (word, bit) = place(first, second);
        self.pairs.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn place(first: u8, second: u8) -> (usize, u64) {
    let pair = usize::from(first) << 8 | usize::from(second);
    (pair >> 6, 1 << (pair & 63))
}

/// A stream of bytes that comes in pieces.
///
/// What could be the beginning of a pattern is held back until it is known to be none.
#[derive(Debug, Default)]
pub(super) struct Stream {
    buffer: Vec<u8>,
    /// How many bytes at the start of the buffer are within a pattern, and their cover.
    covered: usize,
    cover: u8,
    /// How many bytes at the start of the buffer were given out already.
    given: usize,
    /// The byte before the buffer.
    last: u8,
}

impl Stream {
    /// Takes what comes next. Gives out what is decided, which may be less or more.
    pub(super) fn push(&mut self, patterns: &Patterns, bytes: &[u8], out: &mut Vec<u8>) {
        self.buffer.extend_from_slice(bytes);
        self.decide(patterns, false, out);
    }

    /// Gives out what was held back, covered: it may be the beginning of a secret.
    ///
    /// What comes next is still taken for the rest of it.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) {
        let held = self.buffer.len().saturating_sub(self.given);
        out.extend(std::iter::repeat_n(COVER, held));
        self.given = self.buffer.len();
    }

    /// Decides byte for byte, to the end where `complete`, or else as far as no pattern could
    /// begin.
    fn decide(&mut self, patterns: &Patterns, complete: bool, out: &mut Vec<u8>) {
        let mut done = 0_usize;
        while let Some(rest) = self.buffer.get(done..)
            && let Some(&byte) = rest.first()
        {
            if self.covered == 0 && self.given == 0 {
                let (plain, _) = rest.split_at(patterns.plain(rest));
                if let Some(last) = plain.last() {
                    out.extend_from_slice(plain);
                    self.last = *last;
                    done = done.saturating_add(plain.len());
                    continue;
                }
            }
            if !complete && patterns.may_begin(rest) {
                break;
            }
            let mut escaped = false;
            if let Some(pattern) = patterns.longest_at(rest) {
                // What stands after a backslash is part of an escape: to cover it would make JSON
                // invalid.
                escaped = self.last == b'\\' && self.covered == 0;
                if pattern.bytes.len() > self.covered {
                    self.covered = pattern.bytes.len();
                    self.cover = pattern.cover;
                }
            }
            let shown = if self.covered > 0 && !escaped {
                self.cover
            } else {
                byte
            };
            if self.given > 0 {
                self.given -= 1;
            } else {
                out.push(shown);
            }
            self.covered = self.covered.saturating_sub(1);
            self.last = byte;
            done = done.saturating_add(1);
        }
        self.buffer.drain(..done);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::new(texts.iter().map(|text| text.as_bytes().to_vec()))
    }

    fn in_pieces(patterns: &Patterns, pieces: &[&[u8]]) -> String {
        let mut stream = Stream::default();
        let mut out = Vec::new();
        for piece in pieces {
            stream.push(patterns, piece, &mut out);
        }
        stream.settle(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_known_is_covered_at_the_same_length() {
        let patterns = patterns(&["secret", "token", "12345678", "ret-of"]);
        for (text, covered) in [
            ("", ""),
            ("nothing here", "nothing here"),
            ("a secret!", "a ******!"),
            ("secretsecret", "************"),
            ("tokensecret", "***********"),
            // Two that overlap leave nothing of either.
            ("secret-of-mine", "*********-mine"),
            ("{\"pin\":12345678}", "{\"pin\":99999999}"),
            ("912345678", "999999999"),
            ("secre token", "secre *****"),
            // An escape stays one.
            ("\\token", "\\t****"),
            ("\\\\token\\n", "\\\\t****\\n"),
        ] {
            let out = patterns.cover(text.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), covered, "{text}");
        }
    }

    #[test]
    fn a_beginning_is_held_back_until_it_is_decided() {
        let patterns = patterns(&["secret", "secretary"]);
        let mut stream = Stream::default();
        let mut out = Vec::new();
        stream.push(&patterns, b"a sec", &mut out);
        assert_eq!(out, b"a ");
        stream.push(&patterns, b"tor se", &mut out);
        assert_eq!(out, b"a sector ");
        stream.push(&patterns, b"cret", &mut out);
        assert_eq!(out, b"a sector ", "it may be a longer one");
        stream.push(&patterns, b"x", &mut out);
        assert_eq!(out, b"a sector ******x");
    }

    #[test]
    fn what_had_to_be_settled_is_covered_and_so_is_the_rest_of_it() {
        let patterns = patterns(&["secret"]);
        let mut stream = Stream::default();
        let mut out = Vec::new();
        stream.push(&patterns, b"my sec", &mut out);
        stream.settle(&mut out);
        assert_eq!(out, b"my ***");
        stream.settle(&mut out);
        stream.push(&patterns, b"ret in", &mut out);
        assert_eq!(out, b"my ****** in");
        stream.push(&patterns, b" sec", &mut out);
        stream.settle(&mut out);
        stream.push(&patterns, b"ond", &mut out);
        assert_eq!(out, b"my ****** in ***ond");
    }

    #[test]
    fn places_are_told() {
        let patterns = patterns(&["secret", "ret-of"]);
        let text = b"secret, secret-of secret";
        let ranges: Vec<_> = patterns.ranges(text).collect();
        assert_eq!(ranges, [(0, 6), (8, 17), (18, 24)]);
        assert!(!patterns.is_in(b"secre"));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            words in prop::collection::vec("[ab]{2,6}", 0..5),
            text in "[abc]{0,60}",
            cuts in prop::collection::vec(0_usize..60, 0..12),
        ) {
            let patterns = Patterns::new(words.iter().map(|word| word.clone().into_bytes()));
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            // A word that is no secret ends the text, so that nothing is left undecided.
            let end = b".";
            let pieces: Vec<&[u8]> = pieces.into_iter().chain([&end[..]]).collect();

            // By the plain definition.
            let mut expected = format!("{text}.").into_bytes();
            for word in &words {
                for start in 0..bytes.len() {
                    if bytes[start..].starts_with(word.as_bytes()) {
                        expected[start..start + word.len()].fill(b'*');
                    }
                }
            }
            prop_assert_eq!(in_pieces(&patterns, &pieces), String::from_utf8(expected).unwrap());
        }
    }
}
