//! What many links leave behind.

use std::time::Duration;

use mcp_fleet_core::Effect;
use mcp_fleet_driver::AsyncRuntime;

use crate::bench::{Bench, Log};

/// Opens and closes links many times over; returns what is left over of descriptors and children.
/// F67
pub async fn many_lives_leave_nothing_behind<R: AsyncRuntime>(runtime: R) {
    let mut bench = Bench::new(runtime);
    let mut before = None;
    for life in 0..220 {
        let link = bench.open_shell(if life % 2 == 0 { "exec cat" } else { "exit 1" });
        bench.send(link, &b"x\n"[..]);
        bench.links.perform(Effect::CloseInput { link });
        bench.until_closed(&mut Log::default()).await;
        if life == 20 {
            before = Some(descriptors());
        }
    }
    let (before, mut after) = (before.unwrap(), descriptors());
    // The last task may be about to drop what it holds.
    for _ in 0..500 {
        if after <= before {
            break;
        }
        bench
            .runtime
            .sleep_until(bench.runtime.now() + Duration::from_millis(2))
            .await;
        after = descriptors();
    }
    assert!(after <= before, "{before} descriptors grew to {after}");
    // The guard is the one child that lives.
    let children = std::fs::read_to_string(format!(
        "/proc/self/task/{}/children",
        thread_named("mcp-fleet-spawn")
    ));
    assert_eq!(children.unwrap().split_whitespace().count(), 1);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn thread_named(name: &str) -> String {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let mut ids = threads.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    ids.find(|id| {
        let comm = std::fs::read_to_string(format!("/proc/self/task/{id}/comm"));
        comm.is_ok_and(|comm| comm.trim() == name)
    })
    .expect("no such thread")
}
