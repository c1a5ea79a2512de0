//! The scenarios of managers, on tokio.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "two programs share the scenarios"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and names what it waits for"
)]

#[path = "../../driver/tests/scenarios/asleep.rs"]
mod asleep;
#[path = "../../driver/tests/scenarios/bench.rs"]
mod bench;
#[path = "../../driver/tests/scenarios/ends.rs"]
mod ends;
#[path = "../../driver/tests/scenarios/in_process.rs"]
mod in_process;
#[path = "../../driver/tests/scenarios/manager.rs"]
mod manager;
#[path = "../../driver/tests/scenarios/pressure.rs"]
mod pressure;
#[path = "../../driver/tests/scenarios/servers.rs"]
mod servers;

use mcp_fleet_tokio::Tokio;

fn run<F: Future<Output = ()>>(scenario: impl FnOnce(Tokio) -> F) {
    new_runtime().block_on(async {
        let runtime = Tokio::current().unwrap();
        bench::patiently(&runtime, "end of the scenario", scenario(runtime.clone())).await;
    });
}

macro_rules! scenarios {
    ($from:ident: $($name:ident)*) => { $(#[test] fn $name() { run($from::$name); })* };
}

scenarios! {
    manager:
    a_process_is_deployed_called_measured_and_gone
    a_thousand_callers_get_their_own_answers
    a_hanging_call_holds_up_nobody_else
    a_dropped_future_cancels_its_call
    a_call_cancelled_at_once_still_has_one_outcome
    a_call_that_finds_the_inbox_full_waits_or_is_never_sent
    progress_comes_before_the_result
    a_crash_ends_the_calls_in_flight
    a_call_that_bears_it_is_made_again_after_a_crash
    events_tell_the_life_of_a_server_and_end_with_the_fleet
    dropping_the_last_handle_ends_every_process
    one_bad_server_does_not_fail_the_others
    a_reload_brings_the_fleet_to_its_configuration
    a_used_up_pair_of_streams_cannot_be_restarted
    a_journal_replays_to_the_same_effects
    every_future_can_move_between_threads
}

scenarios! {
    pressure:
    a_flood_of_one_link_keeps_to_its_share
    a_flood_leaves_the_calls_of_others_alone
    a_client_that_floods_leaves_the_others_their_turns
    a_client_that_is_gone_leaves_its_places
    events_that_nobody_reads_hold_up_nothing
    frames_of_megabytes_go_both_ways
    a_panic_of_a_stream_fails_its_server_alone
    a_panic_of_a_launch_fails_its_server_alone
}

scenarios! {
    asleep:
    a_lazy_server_runs_from_its_first_call_until_it_is_idle
    each_client_has_a_process_of_its_own_until_it_is_gone
}

scenarios! {
    in_process:
    five_hundred_calls_of_an_in_process_server_are_told_apart
    a_cancelled_call_of_an_in_process_server_is_dropped
    a_panic_of_an_in_process_server_ends_no_more_than_it_must
}

fn new_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_manager_dropped_outside_of_its_runtime_leaves_no_process() {
    let runtime = new_runtime();
    let (manager, processes) =
        runtime.block_on(async { ends::fleet(Tokio::current().unwrap()).await });
    drop(manager);
    ends::await_death(&processes);
}

#[test]
fn a_runtime_dropped_before_its_manager_leaves_no_process() {
    let runtime = new_runtime();
    let (manager, processes) =
        runtime.block_on(async { ends::fleet(Tokio::current().unwrap()).await });
    let mut events = manager.events();
    drop(runtime);
    ends::await_death(&processes);
    new_runtime().block_on(async {
        while events.next().await.is_some() {}
        manager.list_servers().await.unwrap_err();
        manager.execute_tool("meek", "echo", ()).await.unwrap_err();
        manager.shutdown().await.unwrap();
    });
}
