//! Standard output, and the ways to write badly to it.

use std::{
    io::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::script::Script;

/// Writes frames, one thread at a time.
pub(crate) struct Output {
    split_bytes: usize,
    join_frames: usize,
    before: Vec<u8>,
    line_end: &'static [u8],
    held: Mutex<Held>,
}

/// Frames that wait for others.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    frames: usize,
}

impl Output {
    pub(crate) fn new(script: &Script) -> Self {
        let line_end: &[u8] = if script.crlf { b"\r\n" } else { b"\n" };
        let mut before = Vec::new();
        for _ in 0..script.blank_lines {
            before.extend_from_slice(line_end);
        }
        for _ in 0..script.noise_lines {
            before.extend_from_slice(script.noise.as_bytes());
            before.extend_from_slice(line_end);
        }
        Self {
            split_bytes: script.split_bytes,
            join_frames: script.join_frames.max(1),
            before,
            line_end,
            held: Mutex::new(Held::default()),
        }
    }

    /// Writes one frame, with everything that the script wants around it.
    pub(crate) fn frame(&self, frame: impl AsRef<[u8]>) {
        self.frames(std::slice::from_ref(&frame));
    }

    /// Writes frames with no other between them, in one write unless the script splits it.
    pub(crate) fn frames(&self, frames: &[impl AsRef<[u8]>]) {
        let mut held = self.lock();
        for frame in frames {
            held.bytes.extend_from_slice(&self.before);
            held.bytes.extend_from_slice(frame.as_ref());
            held.bytes.extend_from_slice(self.line_end);
            held.frames += 1;
        }
        if held.frames >= self.join_frames {
            let Held { bytes, .. } = std::mem::take(&mut *held);
            self.write(&bytes);
        }
    }

    /// Writes bytes as they are, after the frames that wait.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut held = self.lock();
        let Held { bytes: waiting, .. } = std::mem::take(&mut *held);
        self.write(&waiting);
        self.write(bytes);
    }

    /// Writes `count` times the letter x, without ever holding them all.
    pub(crate) fn filler(&self, count: u64) {
        let chunk = [b'x'; 64 << 10];
        let mut left = count;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            self.raw(chunk.get(..step).unwrap_or(&chunk));
            left -= step as u64;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that is gone is no reason to end: whether to is decided by standard input.
    fn write(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        let size = if self.split_bytes == 0 {
            bytes.len().max(1)
        } else {
            self.split_bytes
        };
        for piece in bytes.chunks(size) {
            if stdout
                .write_all(piece)
                .and_then(|()| stdout.flush())
                .is_err()
            {
                return;
            }
        }
    }
}

/// Writes bytes to standard error; nobody is told where it is gone.
pub(crate) fn stderr(bytes: &[u8]) {
    let _unheard = io::stderr().write_all(bytes);
}
