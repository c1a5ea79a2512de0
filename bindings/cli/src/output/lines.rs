//! Lines to standard output that nobody waits for.

use std::{
    future::pending,
    io,
    sync::mpsc::{self, Receiver, SyncSender, TrySendError},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

/// Lines that wait for a reader of standard output.
const LINES_MAX: usize = 1024;
/// How long the last lines may take at the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Standard output with a thread of its own: a reader that does not read holds up nothing else.
#[derive(Debug)]
pub(crate) struct Lines {
    queue: SyncSender<String>,
    /// Absent once it was told.
    end: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Lines {
    /// `print` writes one line, with whatever ends it.
    ///
    /// # Errors
    /// Where there is no thread to spare.
    pub(crate) fn start(
        print: impl FnMut(&str) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel(LINES_MAX);
        let (told, end) = oneshot::channel();
        thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || {
                // Nobody listens any more where the program is about to end.
                told.send(write(&lines, print)).ok();
            })?;
        Ok(Self {
            queue,
            end: Some(end),
        })
    }

    /// Queues a line. Returns whether there was a place for it.
    pub(crate) fn try_say(&self, line: String) -> bool {
        match self.queue.try_send(line) {
            // Where it is closed, nobody counts what is missed.
            Ok(()) | Err(TrySendError::Disconnected(_)) => true,
            Err(TrySendError::Full(_)) => false,
        }
    }

    /// Waits until standard output cannot be written to, and says why, once. Nothing is lost where
    /// it is dropped and called again.
    pub(crate) async fn closed(&mut self) -> io::Error {
        let Some(end) = &mut self.end else {
            return pending().await;
        };
        let outcome = end.await;
        self.end = None;
        match outcome {
            Ok(Err(error)) => error,
            // It ends without an error only when all was said.
            Ok(Ok(())) | Err(_) => io::ErrorKind::BrokenPipe.into(),
        }
    }

    /// Writes what is queued, unless the reader takes too long about it.
    pub(crate) async fn finish(self) {
        let Self { queue, end } = self;
        drop(queue);
        if let Some(end) = end {
            // What was not written by then nobody wants to read.
            tokio::time::timeout(PATIENCE, end).await.ok();
        }
    }
}

fn write(
    lines: &Receiver<String>,
    mut print: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    lines.iter().try_for_each(|line| print(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_lines_are_written_in_order() {
        let (said, heard) = mpsc::channel();
        let lines = Lines::start(move |line| {
            said.send(line.to_owned()).unwrap();
            Ok(())
        });
        let lines = lines.unwrap();
        for number in 0..10 {
            assert!(lines.try_say(number.to_string()));
        }
        lines.finish().await;
        let heard: Vec<String> = heard.iter().collect();
        assert_eq!(heard.join(" "), "0 1 2 3 4 5 6 7 8 9");
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_up_nobody() {
        let (release, held) = mpsc::channel::<()>();
        let lines = Lines::start(move |_| {
            held.recv().ok();
            Ok(())
        });
        let lines = lines.unwrap();
        let queued = (0..LINES_MAX * 2).filter(|_| lines.try_say(String::new()));
        // One may be with the writer.
        let queued = queued.count();
        assert!((LINES_MAX..=LINES_MAX + 1).contains(&queued), "{queued}");
        lines.finish().await;
        drop(release);
    }

    #[tokio::test]
    async fn a_reader_that_left_is_noticed() {
        let lines = Lines::start(|_| Err(io::ErrorKind::BrokenPipe.into()));
        let mut lines = lines.unwrap();
        lines.try_say(String::new());
        assert_eq!(lines.closed().await.kind(), io::ErrorKind::BrokenPipe);
        lines.finish().await;
    }
}
