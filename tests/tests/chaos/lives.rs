//! Many lives, one after the other.

use futures::future::join_all;
use mcp_fleet_core::ServerState;
use mcp_fleet_driver::AsyncRuntime;
use mcp_fleet_tests::fake_server;

use crate::{
    figures::{children, descriptors, memory, threads},
    host::Host,
};

const LIVES: usize = 1000;
/// Lives at the same time.
const ABREAST: usize = 8;
/// Rounds before the base line is taken: pools and buffers have grown by then.
const ROUNDS_BEFORE: usize = 12;
/// What the allocator may keep of a thousand lives, in KiB.
const GROWTH_KIB_MAX: u64 = 6 << 10;

pub(crate) async fn f67_a_thousand_lives_leave_nothing<R: AsyncRuntime>(runtime: R) {
    let host = Host::new(runtime);
    let program = fake_server().unwrap();
    let mut base = None;
    let begun = std::time::Instant::now();
    for round in 0..ROUNDS_BEFORE + LIVES / ABREAST {
        let names: Vec<_> = (0..ABREAST)
            .map(|place| format!("server-{place}"))
            .collect();
        let lives = names.iter().map(async |name| {
            let config = host.server(name, program.to_str().unwrap(), &["--grandchild", "none"]);
            host.manager.deploy_server(config).await.unwrap();
            host.manager.execute_tool(name, "echo", ()).await.unwrap();
            host.manager.undeploy_server(name).await.unwrap();
        });
        host.patiently("round", join_all(lives)).await;
        if round + 1 == ROUNDS_BEFORE {
            base = Some((descriptors(), threads(), children().len(), memory("VmRSS:")));
        }
    }
    let (fds, tasks, offspring, resident) = base.unwrap();
    // The last tasks may be about to drop what they hold.
    let settled = || descriptors() <= fds && threads() <= tasks && children().len() <= offspring;
    host.sooner_or_later("end of all that was begun", settled)
        .await;
    let growth = memory("VmRSS:").saturating_sub(resident);
    println!(
        "{LIVES} lives in {:?}: {fds} descriptors, {tasks} threads, {offspring} child before and \
         after; {growth} KiB more than {resident} KiB",
        begun.elapsed()
    );
    assert!(children().iter().all(|(_, state)| *state != 'Z'));
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
    assert!(host.processes().is_empty());
    host.finish().await;
}

/// Restarts and stops at once, from many callers.
pub(crate) async fn f56_a_storm_of_commands_ends_as_the_last_one_says<R: AsyncRuntime>(runtime: R) {
    let mut host = Host::new(runtime);
    let config = host.fake("server", &[]);
    let mut off = config.clone();
    off.enabled = false;
    host.deploy(config.clone()).await;
    for last in [&off, &config] {
        let storm = (0..40).map(async |number| {
            let manager = &host.manager;
            match number % 4 {
                0 => drop(manager.restart_server("server").await),
                1 => drop(manager.update_config(off.clone()).await),
                2 => drop(manager.update_config(config.clone()).await),
                _ => drop(manager.health_check(Some("server")).await),
            }
        });
        host.patiently("storm", join_all(storm)).await;
        let update = host.manager.update_config(last.clone());
        host.patiently("last word", update).await.unwrap();
        let state = host.info("server").await.state;
        if last.enabled {
            host.manager
                .execute_tool("server", "echo", ())
                .await
                .unwrap();
            assert_eq!(host.processes().len(), 1);
        } else {
            assert_eq!(state, ServerState::Stopped);
            assert!(host.processes().is_empty());
        }
    }
    host.finish().await;
}
