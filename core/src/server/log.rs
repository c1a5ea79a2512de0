//! The last words of a server: standard error, and noise on standard output.

use std::collections::VecDeque;

/// A ring of bytes, not lines: a server that never ends a line cannot fill memory.
#[derive(Debug)]
pub(super) struct LogRing {
    bytes: VecDeque<u8>,
    capacity: usize,
}

/// How much of the ring goes into an error message.
const TAIL_BYTES: usize = 2048;

impl LogRing {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity,
        }
    }

    /// Keeps this many bytes from now on, the newest of those there are.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        let excess = self.bytes.len().saturating_sub(capacity);
        self.bytes.drain(..excess);
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let keep = bytes.len().min(self.capacity);
        let (_, newest) = bytes.split_at(bytes.len() - keep);
        let excess = (self.bytes.len() + newest.len()).saturating_sub(self.capacity);
        self.bytes.drain(..excess.min(self.bytes.len()));
        self.bytes.extend(newest);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The end of the ring as text, from the beginning of a line where one begins.
    pub(super) fn tail(&self) -> String {
        let skip = self.bytes.len().saturating_sub(TAIL_BYTES);
        let bytes: Vec<u8> = self.bytes.iter().skip(skip).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let cut = skip > 0 || self.bytes.len() == self.capacity;
        match text.split_once('\n') {
            Some((_, whole_lines)) if cut && !whole_lines.trim().is_empty() => {
                whole_lines.trim_end().to_owned()
            }
            Some(_) | None => text.trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_stay() {
        let mut ring = LogRing::new(8);
        ring.push(b"0123456789");
        assert_eq!(ring.tail(), "23456789");
        ring.push(b"ab\ncd");
        assert_eq!(ring.tail(), "cd");
        ring.set_capacity(2);
        assert_eq!(ring.tail(), "cd");
        ring.push(b"efg");
        assert_eq!(ring.tail(), "fg");
        ring.clear();
        assert_eq!(ring.tail(), "");
    }

    #[test]
    fn a_tail_is_bounded_and_never_splits_the_text() {
        let mut ring = LogRing::new(1 << 16);
        for number in 0..2000 {
            ring.push(format!("line {number} \u{fc}\n").as_bytes());
        }
        let tail = ring.tail();
        assert!(
            tail.len() <= TAIL_BYTES && tail.starts_with("line "),
            "{tail}"
        );
        assert!(tail.ends_with("line 1999 \u{fc}"));
    }
}
