//! The newline framer.

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use crate::planted::{Bug, planted};

/// Cuts a stream of bytes into lines; any split of the bytes gives the same lines.
///
/// Push a chunk, then take lines until there are none, then push the next. Held that way, memory
/// is bounded by the limit and one chunk. A line that lies inside one chunk shares its bytes; a
/// line that spans chunks is gathered. No byte is looked at twice, however the bytes arrive.
///
/// A line ends with `\n` or `\r\n`, and comes without either. Lines of nothing but ASCII white
/// space are skipped.
#[derive(Debug)]
pub struct Lines {
    line_bytes_max: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading {
        /// The beginning of a line, without a line break in it.
        begun: Vec<u8>,
        /// What was not looked at yet.
        unread: VecDeque<Bytes>,
    },
    /// A line was too long: what follows cannot be told apart from its rest.
    Dead,
}

/// A line is longer than the limit; the rest of the stream cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a line is longer than {limit} bytes")]
pub struct LineTooLong {
    /// The limit in bytes, line break excluded.
    pub limit: usize,
}

impl Lines {
    /// A framer for lines of at most this many bytes, line break excluded.
    pub fn new(line_bytes_max: usize) -> Self {
        let state = State::Reading {
            begun: Vec::new(),
            unread: VecDeque::new(),
        };
        Self {
            line_bytes_max,
            state,
        }
    }

    /// Takes lines of at most this many bytes from the next one on.
    pub const fn set_line_bytes_max(&mut self, line_bytes_max: usize) {
        self.line_bytes_max = line_bytes_max;
    }

    /// Takes the bytes that follow those pushed before.
    ///
    /// After a line that was too long they are dropped.
    pub fn push(&mut self, bytes: Bytes) {
        match &mut self.state {
            State::Reading { unread, .. } if !bytes.is_empty() => unread.push_back(bytes),
            State::Reading { .. } | State::Dead => {}
        }
    }

    /// The next whole line; nothing until more bytes are pushed.
    ///
    /// # Errors
    /// Once, where a line is longer than the limit. From then on there are no lines, and no memory
    /// is held.
    pub fn next_line(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        let State::Reading { begun, unread } = &mut self.state else {
            return None;
        };
        while let Some(chunk) = unread.front_mut() {
            let Some(end) = memchr::memchr(b'\n', chunk) else {
                if too_long(begun, chunk, self.line_bytes_max) {
                    return Some(Err(self.die()));
                }
                gather(begun, chunk, self.line_bytes_max);
                unread.pop_front();
                continue;
            };
            let mut tail = chunk.split_to(end.saturating_add(1));
            tail.truncate(end);
            if chunk.is_empty() {
                unread.pop_front();
            }
            if too_long(begun, &tail, self.line_bytes_max) {
                return Some(Err(self.die()));
            }
            let line = if begun.is_empty() {
                tail
            } else {
                gather(begun, &tail, self.line_bytes_max);
                Bytes::from(mem::take(begun))
            };
            if let Some(line) = trimmed(line) {
                return Some(Ok(line));
            }
        }
        None
    }

    /// At the end of the stream: the lines that are left, at last the one without a line break.
    ///
    /// # Errors
    /// As [`next_line`](Self::next_line).
    pub fn finish(&mut self) -> Option<Result<Bytes, LineTooLong>> {
        if let Some(line) = self.next_line() {
            return Some(line);
        }
        let State::Reading { begun, .. } = &mut self.state else {
            return None;
        };
        trimmed(Bytes::from(mem::take(begun))).map(Ok)
    }

    /// How many bytes it holds.
    pub fn buffered(&self) -> usize {
        match &self.state {
            State::Reading { begun, unread } => unread
                .iter()
                .map(Bytes::len)
                .fold(begun.len(), usize::saturating_add),
            State::Dead => 0,
        }
    }

    fn die(&mut self) -> LineTooLong {
        self.state = State::Dead;
        LineTooLong {
            limit: self.line_bytes_max,
        }
    }
}

/// Whether a line of these two parts is over the limit, even if its last byte is half a `\r\n`.
fn too_long(begun: &[u8], tail: &[u8], limit: usize) -> bool {
    let length = begun.len().saturating_add(tail.len());
    let half_break = tail.last().or_else(|| begun.last()) == Some(&b'\r');
    length.saturating_sub(usize::from(half_break)) > limit
}

/// Appends to a line. Grows by doubling, so that every byte is moved a bounded number of times,
/// but never past what the longest line can need.
fn gather(begun: &mut Vec<u8>, tail: &[u8], limit: usize) {
    let needed = begun.len().saturating_add(tail.len());
    if needed > begun.capacity() {
        let doubled = begun
            .capacity()
            .saturating_mul(2)
            .min(limit.saturating_add(1));
        begun.reserve_exact(doubled.max(needed).saturating_sub(begun.len()));
    }
    begun.extend_from_slice(tail);
    if planted(Bug::SplitLosesByte) {
        begun.pop();
    }
}

/// The line without `\r` at its end; nothing where it is blank.
fn trimmed(mut line: Bytes) -> Option<Bytes> {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len().saturating_sub(1));
    }
    if line
        .iter()
        .all(|byte| byte.is_ascii_whitespace() || *byte == 0x0b)
    {
        None
    } else {
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(chunks: &[&[u8]], limit: usize) -> Vec<Result<Bytes, LineTooLong>> {
        let mut lines = Lines::new(limit);
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push(Bytes::copy_from_slice(chunk));
            assert!(lines.buffered() <= limit + 1 + chunk.len());
            while let Some(line) = lines.next_line() {
                out.push(line);
            }
            assert!(lines.buffered() <= limit + 1);
        }
        while let Some(line) = lines.finish() {
            out.push(line);
        }
        assert_eq!(lines.buffered(), 0);
        out
    }

    fn texts(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        lines_of(chunks, 1024)
            .into_iter()
            .map(|line| line.unwrap().to_vec())
            .collect()
    }

    #[test]
    fn f26_many_lines_in_one_chunk_come_one_by_one() {
        assert_eq!(
            texts(&[b"one\ntwo\r\n\n \t\r\nthree"]),
            [&b"one"[..], b"two", b"three"]
        );
    }

    #[test]
    fn f25_f26_single_bytes_give_the_same_lines() {
        let bytes = "{\"a\":\"\u{1f980}\"}\r\n\r\n\r{}\r\r\nlast\r".as_bytes();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(texts(&single), texts(&[bytes]));
        assert_eq!(texts(&single)[1], b"\r{}\r");
    }

    #[test]
    fn lines_inside_a_chunk_are_not_copied() {
        let chunk = Bytes::from_static(b"first\nsecond\n");
        let mut lines = Lines::new(16);
        lines.push(chunk.clone());
        let first = lines.next_line().unwrap().unwrap();
        let second = lines.next_line().unwrap().unwrap();
        assert_eq!(first.as_ptr(), chunk.as_ptr());
        assert_eq!(second.as_ptr(), chunk[6..].as_ptr());
    }

    #[test]
    fn f24_a_line_over_the_limit_ends_the_stream_and_frees_the_memory() {
        let mut lines = Lines::new(4);
        lines.push(Bytes::from_static(b"okay\r\n123"));
        assert_eq!(lines.next_line(), Some(Ok(Bytes::from_static(b"okay"))));
        assert_eq!(lines.next_line(), None);
        assert_eq!(lines.buffered(), 3);
        lines.push(Bytes::from_static(b"45\n{}\n"));
        assert_eq!(lines.next_line(), Some(Err(LineTooLong { limit: 4 })));
        lines.push(Bytes::from_static(b"{}\n"));
        assert_eq!(
            (lines.next_line(), lines.finish(), lines.buffered()),
            (None, None, 0)
        );
    }

    #[test]
    fn f24_a_gigabyte_without_a_line_break_is_never_held() {
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        let limit = 1024 * 1024;
        let mut lines = Lines::new(limit);
        let mut errors = 0;
        for _ in 0..(1024 * 1024 * 1024 / chunk.len()) {
            lines.push(chunk.clone());
            errors += usize::from(matches!(lines.next_line(), Some(Err(_))));
            assert!(lines.buffered() <= limit + chunk.len());
            if let State::Reading { begun, .. } = &lines.state {
                assert!(begun.capacity() <= limit + 1);
            }
        }
        assert_eq!(errors, 1);
    }

    #[test]
    fn the_limit_excludes_the_line_break_wherever_it_is_split() {
        for chunks in [
            &[&b"1234\r\n"[..]][..],
            &[b"1234", b"\r", b"\n"],
            &[b"1234\r", b"\n"],
        ] {
            assert_eq!(lines_of(chunks, 4), [Ok(Bytes::from_static(b"1234"))]);
        }
        assert_eq!(lines_of(&[b"1234\r"], 4), [Ok(Bytes::from_static(b"1234"))]);
        assert_eq!(
            lines_of(&[b"1234\r", b"\r\n"], 4),
            [Err(LineTooLong { limit: 4 })]
        );
    }

    #[test]
    fn a_long_line_in_single_bytes_is_moved_a_few_times_only() {
        let byte = Bytes::from_static(b"x");
        let length = 4 * 1024 * 1024;
        let mut lines = Lines::new(16 * 1024 * 1024);
        let (mut moves, mut capacity) = (0, 0);
        for _ in 0..length {
            lines.push(byte.clone());
            assert_eq!(lines.next_line(), None);
            let State::Reading { begun, unread } = &lines.state else {
                panic!("dead")
            };
            assert!(unread.is_empty(), "what was looked at is set aside");
            moves += usize::from(begun.capacity() != mem::replace(&mut capacity, begun.capacity()));
        }
        assert!(moves <= 24, "{moves}");
        assert_eq!(lines.finish().unwrap().unwrap().len(), length);
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            3 => Just(b'\n'), 2 => Just(b'\r'), 1 => Just(b' '), 4 => any::<u8>(), 4 => Just(b'{'),
        ];
        prop::collection::vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn f25_any_split_of_any_bytes_gives_the_same_lines(
            bytes in stream(),
            cuts in prop::collection::vec(0_usize..200, 0..20),
            limit in 0_usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let whole = lines_of(&[&bytes], limit);
            prop_assert_eq!(&lines_of(&chunks, limit), &whole);

            // The same lines as by the plain definition.
            let mut expected = Vec::new();
            for line in bytes.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.len() > limit {
                    expected.push(Err(LineTooLong { limit }));
                    break;
                }
                if !line.iter().all(|byte| b" \t\r\n\x0b\x0c".contains(byte)) {
                    expected.push(Ok(Bytes::copy_from_slice(line)));
                }
            }
            prop_assert_eq!(whole, expected);
        }

        #[test]
        fn f25_every_single_split_point_gives_the_same_lines(bytes in stream()) {
            let whole = lines_of(&[&bytes], 64);
            for cut in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(cut);
                prop_assert_eq!(&lines_of(&[head, tail], 64), &whole);
            }
        }
    }
}
