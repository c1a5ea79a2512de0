//! The process group of one child.

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group, test_kill_process_group},
};

/// A process group that is ours to end. Dropping it kills what is left of it.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Pid,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The leader was not reaped, so the number cannot belong to anybody else.
    Led,
    /// The leader was reaped, and other members were there right after.
    Orphaned,
    /// Nobody is left; the number may be somebody else's.
    Gone,
}

impl Group {
    /// The group that `pid` leads; `None` where `pid` is no process id.
    pub(crate) fn led_by(pid: u32) -> Option<Self> {
        let leader = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        Some(Self {
            leader,
            state: State::Led,
        })
    }

    /// The leader's process id, which is also the group's.
    pub(crate) fn id(&self) -> u32 {
        self.leader.as_raw_nonzero().get().unsigned_abs()
    }

    /// Asks all members to end.
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends all members.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Takes note that the leader was reaped. From here on the number is only used while members
    /// are known to hold it.
    pub(crate) fn leader_reaped(&mut self) {
        self.state = match test_kill_process_group(self.leader) {
            Err(Errno::SRCH) => State::Gone,
            Ok(()) | Err(_) => State::Orphaned,
        };
    }

    /// Ends all members for good. To be called once the leader was reaped; from here on the number
    /// is not used any more.
    pub(crate) fn end(&mut self) {
        self.kill();
        self.state = State::Gone;
    }

    /// Whether no member is left.
    pub(crate) const fn is_gone(&self) -> bool {
        match self.state {
            State::Gone => true,
            State::Led | State::Orphaned => false,
        }
    }

    fn signal(&mut self, signal: Signal) {
        match self.state {
            State::Gone => {}
            State::Led | State::Orphaned => match kill_process_group(self.leader, signal) {
                Ok(()) => {}
                // An unreaped leader keeps the number ours even when nobody can be signalled.
                Err(Errno::SRCH) => self.leader_missing(),
                Err(error) => {
                    tracing::warn!(group = self.id(), %error, "cannot signal a process group");
                }
            },
        }
    }

    const fn leader_missing(&mut self) {
        match self.state {
            State::Orphaned => self.state = State::Gone,
            State::Led | State::Gone => {}
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
