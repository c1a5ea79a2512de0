//! Watching a file: what it says whenever it says something else.
//!
//! What counts is what can be read through the path, whichever way it got there: by writing in
//! place, by renaming, by turning a link. Hints of the system only say when to look, and a slow
//! rescan finds what no hint told of.

mod debounce;
mod hints;
mod trail;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{select, sync::watch, task::AbortHandle};

use self::{
    debounce::{Debouncer, Due, QUIET},
    hints::Hints,
    trail::Trail,
};

/// Between two looks that nothing asked for, where the system tells of changes.
const RESCAN: Duration = Duration::from_secs(5);
/// The same where it does not.
const RESCAN_BLIND: Duration = Duration::from_secs(1);
/// How often a file is read that changes while it is read.
const READS_MAX: u32 = 3;

/// What a file says, or why it cannot be read.
pub(crate) type Look = Result<String, String>;

/// A file that is watched for as long as this lives.
#[derive(Debug)]
pub(crate) struct Watch {
    found: watch::Receiver<Arc<Look>>,
    task: AbortHandle,
}

impl Watch {
    /// Watches `path` as a task of the running tokio runtime. It said `known` when it was last
    /// read. What is not sound while the file still changes is not told of: it may be half of
    /// what is to come.
    pub(crate) fn start(
        path: PathBuf,
        known: String,
        is_sound: impl Fn(&str) -> bool + Send + 'static,
    ) -> Self {
        Self::with(path, known, is_sound, Hints::new(), RESCAN)
    }

    fn with(
        path: PathBuf,
        known: String,
        is_sound: impl Fn(&str) -> bool + Send + 'static,
        hints: io::Result<Hints>,
        rescan: Duration,
    ) -> Self {
        let known = Arc::new(Ok(known));
        let (told, found) = watch::channel(Arc::clone(&known));
        let mut watcher = Watcher {
            path,
            is_sound,
            hints: None,
            rescan,
            debouncer: Debouncer::default(),
            seen: Arc::clone(&known),
            state: None,
            known,
            doubted: false,
            told,
        };
        match hints {
            Ok(hints) => watcher.hints = Some(hints),
            Err(error) => watcher.go_blind(&error),
        }
        Self {
            found,
            task: tokio::spawn(watcher.run()).abort_handle(),
        }
    }

    /// Waits until the file says something else than when this last returned, and returns the
    /// newest of it. Nothing is lost where it is dropped and called again.
    pub(crate) async fn next(&mut self) -> Arc<Look> {
        if self.found.changed().await.is_err() {
            // The task ends with its runtime only.
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.found.borrow_and_update())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watcher<F> {
    path: PathBuf,
    is_sound: F,
    /// Absent where the system has none to give.
    hints: Option<Hints>,
    /// Between two looks that nothing asked for, where there are hints.
    rescan: Duration,
    debouncer: Debouncer,
    /// At the last look.
    seen: Arc<Look>,
    /// What is read twice alike may have been written meanwhile all the same.
    state: Option<State>,
    /// What was told last.
    known: Arc<Look>,
    /// Something was kept back as it may have been half of what was to come.
    doubted: bool,
    told: watch::Sender<Arc<Look>>,
}

impl<F: Fn(&str) -> bool + Send> Watcher<F> {
    async fn run(mut self) {
        let mut rescan = Instant::now();
        loop {
            let now = Instant::now();
            if let Some(due) = self.debouncer.handle_timeout(now) {
                self.look().await;
                self.judge(due, now);
                rescan = now + self.interval();
            }
            if now >= rescan {
                if self.look().await {
                    self.debouncer.handle_change(now);
                }
                rescan = now + self.interval();
            }
            let deadline = self
                .debouncer
                .poll_timeout()
                .map_or(rescan, |due| due.min(rescan));
            select! {
                () = hint(self.hints.as_ref()) => self.debouncer.handle_change(Instant::now()),
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }

    fn interval(&self) -> Duration {
        if self.hints.is_some() {
            self.rescan
        } else if self.debouncer.poll_timeout().is_some() {
            // Only looks can tell whether the changes are over.
            QUIET / 2
        } else {
            RESCAN_BLIND
        }
    }

    /// Looks at the file, and where its way leads. Returns whether it changed since the look
    /// before.
    async fn look(&mut self) -> bool {
        let path = self.path.clone();
        // A file system may take its time.
        let looked = tokio::task::spawn_blocking(move || (Trail::follow(&path), read(&path)));
        let Ok((trail, (state, look))) = looked.await else {
            return false;
        };
        if let (Some(hints), Ok(trail)) = (&mut self.hints, trail)
            && let Err(error) = hints.follow(trail)
        {
            self.go_blind(&error);
        }
        let changed = state != self.state || look != *self.seen;
        self.state = state;
        if look != *self.seen {
            self.seen = Arc::new(look);
        }
        changed
    }

    /// Tells what was seen, where it is news.
    fn judge(&mut self, due: Due, now: Instant) {
        if self.seen == self.known {
            self.doubted = false;
            return;
        }
        let is_sound = self
            .seen
            .as_ref()
            .as_ref()
            .is_ok_and(|text| (self.is_sound)(text));
        if due == Due::Late && !is_sound && !self.doubted {
            self.doubted = true;
            self.debouncer.handle_change(now);
            return;
        }
        self.doubted = false;
        self.known = Arc::clone(&self.seen);
        // Whoever started the watch may have dropped it.
        self.told.send(Arc::clone(&self.known)).ok();
    }

    fn go_blind(&mut self, error: &io::Error) {
        tracing::warn!(
            "the system cannot watch {}, so it is looked at every {RESCAN_BLIND:?}: {error}",
            self.path.display()
        );
        self.hints = None;
    }
}

async fn hint(hints: Option<&Hints>) {
    match hints {
        Some(hints) => hints.next().await,
        None => std::future::pending().await,
    }
}

/// What of a file changes when it is written to or replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl State {
    fn of(path: &Path) -> Result<Self, String> {
        let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            // To open a pipe may wait for ever.
            return Err("it is no file".to_owned());
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// Reads a file, again where it is written to meanwhile.
fn read(path: &Path) -> (Option<State>, Look) {
    let mut attempt = 1;
    loop {
        let before = match State::of(path) {
            Ok(state) => state,
            Err(error) => return (None, Err(error)),
        };
        let look = mcp_fleet_driver::read_text(path).map_err(|error| error.to_string());
        if attempt == READS_MAX || State::of(path) == Ok(before) {
            return (Some(before), look);
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Nothing takes this long, however busy the machine is.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// A file `fleet.json` in a directory of its own. What does not end in a full stop is not sound.
    struct Place {
        directory: PathBuf,
        watch: Watch,
    }

    impl Place {
        fn new(name: &str, hints: io::Result<Hints>) -> Self {
            let name = format!("mcp-fleet-watch-{}-{name}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            fs::create_dir_all(&directory).unwrap();
            let path = directory.join("fleet.json");
            fs::write(&path, "old.").unwrap();
            let is_sound = |text: &str| text.ends_with('.');
            // By then it is too late.
            let rescan = DEADLINE * 2;
            let watch = Watch::with(path, "old.".to_owned(), is_sound, hints, rescan);
            Self { directory, watch }
        }

        fn path(&self) -> PathBuf {
            self.directory.join("fleet.json")
        }

        async fn next(&mut self) -> Look {
            let found = tokio::time::timeout(DEADLINE, self.watch.next()).await;
            found.expect("nothing was found").as_ref().clone()
        }

        async fn finds(&mut self, expected: Result<&str, &str>) {
            match (self.next().await, expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("found {found:?}, not {expected:?}"),
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.directory).ok();
        }
    }

    async fn every_way_to_change_a_file_is_found(mut place: Place) {
        let path = place.path();
        let beside = place.directory.join(".fleet.json.swp");

        fs::write(&path, "written.").unwrap();
        place.finds(Ok("written.")).await;

        // What an editor and a touch do is not told of: the next thing found is the next text.
        fs::write(&beside, "swap.").unwrap();
        fs::write(&path, "written.").unwrap();
        fs::remove_file(&beside).unwrap();
        fs::write(&beside, "renamed.").unwrap();
        fs::rename(&beside, &path).unwrap();
        place.finds(Ok("renamed.")).await;

        fs::remove_file(&path).unwrap();
        place.finds(Err("No such file")).await;
        fs::create_dir(&path).unwrap();
        place.finds(Err("no file")).await;
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "back.").unwrap();
        place.finds(Ok("back.")).await;

        for version in ["..1", "..2", "..3"] {
            let directory = place.directory.join(version);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("fleet.json"), format!("{version}.")).unwrap();
        }
        let directory = place.directory.clone();
        let turn = |version: &str| {
            let new = directory.join("..data_tmp");
            symlink(version, &new).unwrap();
            fs::rename(&new, directory.join("..data")).unwrap();
        };
        turn("..1");
        symlink("..data/fleet.json", &beside).unwrap();
        fs::rename(&beside, &path).unwrap();
        place.finds(Ok("..1.")).await;
        turn("..2");
        place.finds(Ok("..2.")).await;
        // The new directory is watched too.
        fs::write(place.directory.join("..2/fleet.json"), "within.").unwrap();
        place.finds(Ok("within.")).await;
        turn("..3");
        fs::remove_dir_all(place.directory.join("..2")).unwrap();
        place.finds(Ok("..3.")).await;

        // The directory itself makes room for another one.
        let old = place.directory.with_extension("old");
        fs::rename(&place.directory, &old).unwrap();
        fs::create_dir(&place.directory).unwrap();
        fs::write(&path, "elsewhere.").unwrap();
        fs::remove_dir_all(&old).unwrap();
        place.finds(Ok("elsewhere.")).await;
        fs::write(&path, "and on.").unwrap();
        place.finds(Ok("and on.")).await;

        // It goes for good, and another one comes at once.
        fs::remove_dir_all(&place.directory).unwrap();
        fs::create_dir(&place.directory).unwrap();
        fs::write(&path, "anew.").unwrap();
        place.finds(Ok("anew.")).await;
        fs::write(&path, "and again.").unwrap();
        place.finds(Ok("and again.")).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_way_to_change_a_file_is_found_by_hints() {
        every_way_to_change_a_file_is_found(Place::new("hints", Hints::new())).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_way_to_change_a_file_is_found_without_hints() {
        let none = Err(io::Error::other("too many watches"));
        every_way_to_change_a_file_is_found(Place::new("blind", none)).await;
    }

    /// Whether nothing is found before all is written, though that takes longer than a change is
    /// waited for.
    async fn half_a_file_is_kept_back(name: &str, hints: io::Result<Hints>) -> bool {
        let mut place = Place::new(name, hints);
        let path = place.path();
        let begun = Instant::now();
        let writer = std::thread::spawn(move || {
            let mut number = 0;
            while begun.elapsed() < debounce::PATIENCE + debounce::PATIENCE / 2 {
                number += 1;
                fs::write(&path, format!("half {number}")).unwrap();
            }
            fs::write(&path, "whole.").unwrap();
        });
        let mut halves = 0;
        while place.next().await.unwrap() != "whole." {
            halves += 1;
        }
        writer.join().unwrap();
        halves == 0
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn half_a_file_is_not_told_of_while_it_is_written() {
        // A writer that a busy machine holds up for long has ended, as far as anybody can tell.
        for _ in 0..5 {
            let blind = Err(io::Error::other("none"));
            let (hinted, blind) = tokio::join!(
                half_a_file_is_kept_back("half-hints", Hints::new()),
                half_a_file_is_kept_back("half-blind", blind),
            );
            if hinted && blind {
                return;
            }
        }
        panic!("half a file was told of every time");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_storm_without_end_is_looked_at_amid_it() {
        let mut place = Place::new("storm", Hints::new());
        let path = place.path();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let writer = std::thread::spawn(move || {
            let mut number = 0;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                number += 1;
                let new = path.with_extension("new");
                fs::write(&new, format!("{number}.")).unwrap();
                fs::rename(&new, &path).unwrap();
            }
            number
        });
        let mut found = place.next().await.unwrap();
        assert!(found.ends_with('.'), "{found}");
        assert!(!writer.is_finished());
        stop.send(()).unwrap();
        let last = format!("{}.", writer.join().unwrap());
        // It may have been found amid the storm.
        while found != last {
            found = place.next().await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_for_good_is_told_of_amid_a_storm() {
        let mut place = Place::new("wrong", Hints::new());
        let path = place.path();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let writer = std::thread::spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let new = path.with_extension("new");
                fs::write(&new, "wrong").unwrap();
                fs::rename(&new, &path).unwrap();
            }
        });
        place.finds(Ok("wrong")).await;
        assert!(!writer.is_finished());
        stop.send(()).unwrap();
        writer.join().unwrap();
    }
}
