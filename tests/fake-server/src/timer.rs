//! Things to do later, in order of their time, on one thread.

use std::{
    collections::BTreeMap,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

type Job = Box<dyn FnOnce() + Send>;

/// Ten thousand sleeping calls are ten thousand entries, not threads.
pub(crate) struct Timer(Sender<(Instant, Job)>);

impl Timer {
    pub(crate) fn start() -> Self {
        let (sender, receiver) = mpsc::channel::<(Instant, Job)>();
        thread::spawn(move || {
            let mut jobs: BTreeMap<(Instant, u64), Job> = BTreeMap::new();
            let mut counter = 0_u64;
            loop {
                let now = Instant::now();
                let wait = jobs
                    .first_key_value()
                    .map_or(Duration::from_secs(3600), |((at, _), _)| {
                        at.saturating_duration_since(now)
                    });
                if wait.is_zero() {
                    if let Some((_, job)) = jobs.pop_first() {
                        job();
                    }
                    continue;
                }
                match receiver.recv_timeout(wait) {
                    Ok((at, job)) => {
                        counter += 1;
                        jobs.insert((at, counter), job);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Self(sender)
    }

    pub(crate) fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) {
        // The thread ends only with the timer itself.
        let _gone = self.0.send((Instant::now() + delay, Box::new(job)));
    }
}
