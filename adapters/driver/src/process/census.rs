//! Who of all processes bears the marks of a fleet.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
};

use memchr::memmem::Finder;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

use super::mark::FleetMark;

/// Longest environment that is looked at: what Linux allows arguments and environment to be.
const ENVIRONMENT_BYTES_MAX: u64 = 6 << 20;

/// Looks at the environments of all processes.
#[derive(Debug)]
pub(super) struct Census {
    needle: Finder<'static>,
    environment: Vec<u8>,
}

impl Census {
    pub(super) fn new(fleet: &FleetMark) -> Self {
        Self {
            needle: Finder::new(&fleet.needle()).into_owned(),
            environment: Vec::new(),
        }
    }

    /// Kills every process whose mark has one of these numbers. The answer is which of them were
    /// found, and may be found again: the dead, and what they forked meanwhile.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub(super) fn kill(&mut self, wanted: &BTreeSet<u64>) -> io::Result<BTreeSet<u64>> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir("/proc")? {
            // A process that ends meanwhile is none.
            let Ok(entry) = entry else { continue };
            let Some(pid) = entry.file_name().to_str().and_then(process_id) else {
                continue;
            };
            if let Some(number) = self.number_of(pid).filter(|number| wanted.contains(number))
                && self.kill_one(pid, number)
            {
                found.insert(number);
            }
        }
        Ok(found)
    }

    /// Kills `pid`, provided that it still is who it was: a number that was given to somebody else
    /// meanwhile is spared. `false` where it is out of our reach.
    fn kill_one(&mut self, pid: Pid, number: u64) -> bool {
        let killed = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) if self.number_of(pid) == Some(number) => {
                pidfd_send_signal(process, Signal::KILL)
            }
            Ok(_) | Err(Errno::SRCH) => Err(Errno::SRCH),
            // No such call, or no descriptor left.
            Err(_) => kill_process(pid, Signal::KILL),
        };
        match killed {
            Ok(()) | Err(Errno::SRCH) => true,
            Err(error) => {
                let pid = pid.as_raw_nonzero();
                tracing::warn!(%pid, %error, "cannot kill a descendant of a server");
                false
            }
        }
    }

    /// The number in the mark of a process. One that we may not look at has none, as has a zombie.
    fn number_of(&mut self, pid: Pid) -> Option<u64> {
        self.environment.clear();
        let file = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
        file.take(ENVIRONMENT_BYTES_MAX)
            .read_to_end(&mut self.environment)
            .ok()?;
        number_in(&self.needle, &self.environment)
    }
}

/// The number of the mark in an environment, whose entries end with NUL.
fn number_in(needle: &Finder<'_>, environment: &[u8]) -> Option<u64> {
    needle.find_iter(environment).find_map(|at| {
        let begins = at == 0 || environment.get(at - 1) == Some(&0);
        let rest = environment.get(at + needle.needle().len()..)?;
        let entry = rest.split(|byte| *byte == 0).next()?;
        let number = str::from_utf8(entry).ok()?.parse().ok()?;
        begins.then_some(number)
    })
}

fn process_id(name: &str) -> Option<Pid> {
    name.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Child, Command},
        sync::atomic::AtomicU64,
    };

    use super::*;
    use crate::process::mark::{Mark, VARIABLE};

    fn sleeper(mark: &Mark) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").env(VARIABLE, mark.to_string());
        command.spawn().unwrap()
    }

    #[test]
    fn a_mark_is_found_as_a_whole_entry_only() {
        let fleet = FleetMark::new();
        let needle = fleet.needle();
        let finder = Finder::new(&needle);
        let number = |text: String| number_in(&finder, text.as_bytes());
        assert_eq!(number(format!("A=b\0{needle}12\0C=d\0")), Some(12));
        assert_eq!(number(format!("{needle}7\0")), Some(7));
        assert_eq!(number(format!("NOTE={needle}7\0")), None);
        assert_eq!(number(format!("{needle}x\0")), None);
        assert_eq!(number(format!("{needle}1\n2\0")), None);
        assert_eq!(number(FleetMark::new().needle() + "7\0"), None);
    }

    #[test]
    fn who_bears_a_mark_that_is_wanted_is_killed_and_no_one_else() {
        let (fleet, counter) = (FleetMark::new(), AtomicU64::new(1));
        let (first, second) = (fleet.next(&counter), fleet.next(&counter));
        let stranger = FleetMark::new().next(&AtomicU64::new(first.number()));
        let mut children = [&first, &second, &stranger].map(sleeper);
        let mut census = Census::new(&fleet);
        let wanted = BTreeSet::from([first.number()]);
        assert_eq!(census.kill(&wanted).unwrap(), wanted);
        let [ours, spared, other] = &mut children;
        assert_eq!(ours.wait().unwrap().signal(), Some(9));
        // A child that was reaped is found no more.
        assert_eq!(census.kill(&wanted).unwrap(), BTreeSet::new());
        for child in [spared, other] {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
