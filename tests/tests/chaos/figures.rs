//! What this process costs, as the kernel counts it.

use std::{fs, time::Duration};

use rustix::process::Pid;

/// Resident memory in KiB: `VmRSS:` now, `VmHWM:` at its peak.
pub(crate) fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// The children of all threads, with their state letters.
pub(crate) fn children() -> Vec<(Pid, char)> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let lines = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let lines: Vec<String> = lines.collect();
    lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter_map(|pid| {
            let state = super::host::state_of(pid.parse().ok()?)?;
            Some((Pid::from_raw(pid.parse().ok()?)?, state))
        })
        .collect()
}

/// The processor time that this process and none of its children took.
pub(crate) fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    // User and system time, the 14th and 15th field of all; two of them stand before.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}
