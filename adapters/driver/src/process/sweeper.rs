//! The thread that ends what has left the group of its server.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use futures::channel::oneshot;

use super::{
    census::Census,
    guard::Guard,
    mark::{FleetMark, Mark},
};

/// Looks at all processes before one that does not die is left alone: about two seconds.
const PASSES_MAX: u32 = 48;
/// Longest pause between two looks, each of which gives the dead time to go.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A handle on the thread, which ends with the last handle.
#[derive(Clone, Debug)]
pub(super) struct Sweeper(Sender<Sweep>);

/// What is left of one link.
#[derive(Debug)]
struct Sweep {
    mark: Mark,
    group: u32,
    /// Dropped when it is done.
    _done: oneshot::Sender<()>,
}

impl Sweeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system is out of threads.
    pub(super) fn start(fleet: &FleetMark, guard: Arc<Mutex<Guard>>) -> io::Result<Self> {
        let (sweeps, queue) = channel();
        let census = Census::new(fleet);
        thread::Builder::new()
            .name("mcp-fleet-sweep".to_owned())
            .spawn(move || run(census, &queue, &guard))?;
        Ok(Self(sweeps))
    }

    /// Kills whoever bears `mark`, then takes `group`, which was killed before, out of the guard's
    /// hands. The receiver ends when nobody is left, or cannot be killed.
    pub(super) fn sweep(&self, mark: Mark, group: u32) -> oneshot::Receiver<()> {
        let (_done, ended) = oneshot::channel();
        // A thread that is gone took its guard with it.
        self.0.send(Sweep { mark, group, _done }).ok();
        ended
    }
}

/// A sweep under way.
struct Open {
    passes: u32,
    sweep: Sweep,
}

fn run(mut census: Census, queue: &Receiver<Sweep>, guard: &Mutex<Guard>) {
    let mut open: BTreeMap<u64, Open> = BTreeMap::new();
    loop {
        if open.is_empty() {
            let Ok(sweep) = queue.recv() else { return };
            begin(&mut open, sweep);
        }
        // Many links that close at once are one look at the processes.
        while let Ok(sweep) = queue.try_recv() {
            begin(&mut open, sweep);
        }
        let wanted = open.keys().copied().collect();
        let found = census.kill(&wanted).unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot look for descendants of servers");
            BTreeSet::new()
        });
        let mut pause = Duration::ZERO;
        open.retain(|number, Open { passes, sweep }| {
            *passes += 1;
            let goes_on = found.contains(number) && *passes < PASSES_MAX;
            if goes_on {
                let steps = Duration::from_millis(1 << (*passes).min(6));
                pause = pause.max(steps.min(PAUSE_MAX));
            } else {
                if found.contains(number) {
                    tracing::warn!(mark = %sweep.mark, "a descendant of a server does not die");
                }
                let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
                guard.forget(sweep.group);
            }
            goes_on
        });
        if !open.is_empty() {
            thread::sleep(pause);
        }
    }
}

fn begin(open: &mut BTreeMap<u64, Open>, sweep: Sweep) {
    let passes = 0;
    open.insert(sweep.mark.number(), Open { passes, sweep });
}
