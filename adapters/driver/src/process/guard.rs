//! A process that outlives the host by a moment, to end what the host could not.
//!
//! The death signal reaches direct children only, and `npx` is three processes deep. The guard is a
//! shell that reads which process groups are ours, and kills them when its input ends: with an
//! orderly shutdown as with a host that was killed. Then it looks for those that left their group,
//! by the mark of the fleet in their environment.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::{io::ioctl_fionbio, process::setsid};

use super::mark::FleetMark;

/// One line per change. Ends by killing what was added and not deleted.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=' '
while read -r verb group; do
  case "$verb$groups" in
    add*) groups="$groups$group " ;;
    del*" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
for group in $groups; do
  kill -s KILL -- "-$group"
done
pass=0
while [ $pass -lt 50 ]; do
  pass=$((pass + 1)) found=
  for file in $(grep -lsF -e "$1" /proc/[0-9]*/environ); do
    pid="${file#/proc/}"
    kill -s KILL "${pid%/environ}" && found=yes
  done
  [ "$found" ] || break
done
"#;

/// Where the guard looks for the programs that it needs.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The guard of one fleet, started with its first child.
#[derive(Debug)]
pub(crate) struct Guard {
    /// What the environment of every process of the fleet holds.
    needle: String,
    groups: BTreeSet<u32>,
    shell: Shell,
}

#[derive(Debug, Default)]
enum Shell {
    #[default]
    NotStarted,
    Running(Child, ChildStdin),
    /// It could not be started the last time; said once.
    Absent,
}

impl Guard {
    pub(super) fn new(fleet: &FleetMark) -> Self {
        Self {
            needle: fleet.needle(),
            groups: BTreeSet::new(),
            shell: Shell::default(),
        }
    }

    /// Has `group` killed when the host ends.
    pub(crate) fn add(&mut self, group: u32) {
        self.groups.insert(group);
        match &mut self.shell {
            Shell::NotStarted | Shell::Absent => self.start(),
            Shell::Running(child, input) => {
                // The write alone does not tell: a child that is just being started may hold the
                // other end until its exec.
                let ended = !matches!(child.try_wait(), Ok(None));
                if ended || tell(input, "add", group).is_err() {
                    tracing::warn!("the orphan guard is gone; starting another");
                    self.discard();
                    self.start();
                }
            }
        }
    }

    /// Leaves `group` alone from here on.
    pub(crate) fn forget(&mut self, group: u32) {
        if !self.groups.remove(&group) {
            return;
        }
        if let Shell::Running(_, input) = &mut self.shell
            && let Err(error) = tell(input, "del", group)
        {
            tracing::warn!(%error, "the orphan guard is gone; starting another");
            self.discard();
            self.start();
        }
    }

    /// Ends the guard, which kills the groups it still has.
    pub(crate) fn end(&mut self) {
        if let Shell::Running(mut child, input) = std::mem::take(&mut self.shell) {
            drop(input);
            if let Err(error) = child.wait() {
                tracing::warn!(%error, "cannot reap the orphan guard");
            }
        }
    }

    /// Ends the guard before it kills anything: one that was stopped, or is too slow to read, may
    /// have all groups on its list.
    fn discard(&mut self) {
        if let Shell::Running(child, _) = &mut self.shell
            && let Err(error) = child.kill()
        {
            tracing::warn!(%error, "cannot kill the orphan guard");
        }
        self.end();
    }

    fn start(&mut self) {
        let said = matches!(self.shell, Shell::Absent);
        self.shell = match self.try_start() {
            Ok((child, input)) => Shell::Running(child, input),
            Err(error) if said => {
                tracing::debug!(%error, "still no orphan guard");
                Shell::Absent
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "no orphan guard: if this process is killed, servers started through wrappers \
                     may stay behind"
                );
                Shell::Absent
            }
        };
    }

    fn try_start(&self) -> io::Result<(Child, ChildStdin)> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "mcp-fleet-guard", &self.needle])
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: the closure makes one system call; it neither allocates nor locks nor panics.
        #[allow(
            unsafe_code,
            reason = "only the child itself can leave the host's session"
        )]
        unsafe {
            command.pre_exec(|| setsid().map(drop).map_err(io::Error::from));
        }
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // A guard that was stopped must not stop the host.
        ioctl_fionbio(&input, true)?;
        for group in &self.groups {
            tell(&mut input, "add", *group)?;
        }
        Ok((child, input))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes one line, which is short enough to be written whole or not at all.
fn tell(input: &mut ChildStdin, verb: &str, group: u32) -> io::Result<()> {
    input.write_all(format!("{verb} {group}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::process::mark::VARIABLE;

    fn guard() -> Guard {
        Guard::new(&FleetMark::new())
    }

    /// A process in a group of its own that ends by being killed only.
    fn sleeper() -> Child {
        Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .spawn()
            .unwrap()
    }

    #[test]
    fn the_end_of_the_guard_kills_what_was_added_and_spares_what_was_deleted() {
        let (mut ours, mut spared, mut other) = (sleeper(), sleeper(), sleeper());
        let mut guard = guard();
        for child in [&ours, &spared, &other] {
            guard.add(child.id());
        }
        guard.forget(spared.id());
        guard.end();
        for child in [&mut ours, &mut other] {
            let status = child.wait().unwrap();
            assert_eq!(
                std::os::unix::process::ExitStatusExt::signal(&status),
                Some(9)
            );
        }
        assert!(spared.try_wait().unwrap().is_none());
        spared.kill().unwrap();
        spared.wait().unwrap();
    }

    #[test]
    fn the_end_of_the_guard_kills_who_left_its_group() {
        let fleet = FleetMark::new();
        let mark = fleet.next(&AtomicU64::new(1)).to_string();
        let stranger = FleetMark::new().next(&AtomicU64::new(1)).to_string();
        let mut children = [mark, stranger].map(|mark| {
            let mut command = Command::new("sleep");
            command.arg("1000").env(VARIABLE, mark).spawn().unwrap()
        });
        let mut member = sleeper();
        let mut guard = Guard::new(&fleet);
        guard.add(member.id());
        guard.end();
        let [ours, other] = &mut children;
        for child in [&mut member, ours] {
            let status = child.wait().unwrap();
            assert_eq!(
                std::os::unix::process::ExitStatusExt::signal(&status),
                Some(9)
            );
        }
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_guard_that_was_stopped_neither_blocks_nor_kills() {
        let mut ours = sleeper();
        let mut guard = guard();
        guard.add(ours.id());
        let Shell::Running(shell, _) = &guard.shell else {
            panic!("no guard")
        };
        let stopped = shell.id();
        let pid = rustix::process::Pid::from_child(shell);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        // No process has such a number, so nobody is hurt.
        let absent = i32::MAX.unsigned_abs();
        // More than its pipe holds.
        for _ in 0..20_000 {
            guard.add(absent);
            guard.forget(absent);
        }
        let Shell::Running(shell, _) = &guard.shell else {
            panic!("no second guard")
        };
        assert_ne!(shell.id(), stopped);
        assert!(ours.try_wait().unwrap().is_none());
        drop(guard);
        ours.wait().unwrap();
    }

    #[test]
    fn a_guard_that_could_not_be_started_is_tried_again() {
        let mut ours = sleeper();
        let mut guard = guard();
        guard.shell = Shell::Absent;
        guard.add(ours.id());
        assert!(matches!(guard.shell, Shell::Running(..)));
        drop(guard);
        ours.wait().unwrap();
    }

    #[test]
    fn a_guard_that_was_killed_is_replaced_and_knows_the_old_groups() {
        let (mut first, mut second, mut third) = (sleeper(), sleeper(), sleeper());
        let mut guard = guard();
        guard.add(first.id());
        let Shell::Running(shell, _) = &mut guard.shell else {
            panic!("no guard")
        };
        let killed = shell.id();
        shell.kill().unwrap();
        shell.wait().unwrap();
        guard.add(second.id());
        guard.add(third.id());
        let Shell::Running(shell, _) = &guard.shell else {
            panic!("no second guard")
        };
        assert_ne!(shell.id(), killed);
        drop(guard);
        for child in [&mut first, &mut second, &mut third] {
            child.wait().unwrap();
        }
    }
}
