//! Word of the system that something may have changed.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

use super::trail::Trail;

/// Tells when one of the names of a trail changed. It may say so for no reason, and stay silent
/// where a file system does not tell.
#[derive(Debug)]
pub(crate) struct Hints {
    watcher: RecommendedWatcher,
    shared: Arc<Shared>,
    trail: Trail,
}

#[derive(Debug, Default)]
struct Shared {
    /// Holds one word at most, however many came.
    changed: Notify,
    names: Mutex<BTreeSet<OsString>>,
}

impl Hints {
    /// # Errors
    /// Where the system has no watcher to spare.
    pub(crate) fn new() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event| told.take(&event));
        Ok(Self {
            watcher: watcher.map_err(io::Error::other)?,
            shared,
            trail: Trail::default(),
        })
    }

    /// Listens along this trail from here on.
    ///
    /// # Errors
    /// Where the system has no watch to spare. A directory that is gone meanwhile is no error.
    pub(crate) fn follow(&mut self, trail: Trail) -> io::Result<()> {
        if trail == self.trail {
            return Ok(());
        }
        *self.shared.names() = trail.names.clone();
        for (path, identity) in &self.trail.directories {
            if trail.directories.get(path) != Some(identity) {
                // It may be gone, and its watch with it.
                self.watcher.unwatch(path).ok();
            }
        }
        let mut refused = None;
        for (path, identity) in &trail.directories {
            if self.trail.directories.get(path) == Some(identity) {
                continue;
            }
            if let Err(error) = self.watcher.watch(path, RecursiveMode::NonRecursive)
                && path.is_dir()
            {
                refused = Some(io::Error::other(error));
            }
        }
        self.trail = trail;
        // What changed before it was listened to was not heard.
        self.shared.changed.notify_one();
        refused.map_or(Ok(()), Err)
    }

    /// Waits for a hint. One that comes while nobody waits is kept.
    pub(crate) async fn next(&self) {
        self.shared.changed.notified().await;
    }
}

impl Shared {
    fn take(&self, event: &notify::Result<notify::Event>) {
        let matters = match event {
            Ok(event) => {
                is_change(&event.kind)
                    && (event.paths.is_empty() || {
                        let names = self.names();
                        let mut changed = event.paths.iter().filter_map(|path| path.file_name());
                        changed.any(|name| names.contains(name))
                    })
            }
            // Whatever was lost, a look at the file finds it.
            Err(_) => true,
        };
        if matters {
            self.changed.notify_one();
        }
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeSet<OsString>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To read a file, as every look does, is no change.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
        EventKind::Access(_) => false,
    }
}
