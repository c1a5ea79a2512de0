//! The scenarios of links, on tokio.
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

#[path = "../../driver/tests/scenarios/bench.rs"]
mod bench;
#[path = "../../driver/tests/scenarios/escapes.rs"]
mod escapes;
#[path = "../../driver/tests/scenarios/links.rs"]
mod links;

use mcp_fleet_tokio::Tokio;

fn run<F: Future<Output = ()>>(scenario: impl FnOnce(Tokio) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { scenario(Tokio::current().unwrap()).await });
}

macro_rules! scenarios {
    ($topic:ident: $($name:ident)*) => { $(#[test] fn $name() { run($topic::$name); })* };
}

scenarios! { escapes:
    f53_a_daemon_is_gone_when_its_link_is_closed
    f53_daemons_that_hold_the_pipes_are_gone_too
    f53_a_daemon_of_one_link_outlives_the_end_of_another
    f53_dropping_the_links_leaves_no_daemon
    f8_a_start_that_hangs_holds_up_no_other
    f52_a_child_that_no_signal_ends_is_given_up
}

scenarios! { links:
    every_byte_is_echoed_in_order_and_accounted_for
    a_child_that_never_reads_takes_what_the_pipe_holds
    a_child_that_dies_amid_a_frame_leaves_a_part_written
    a_child_that_closes_its_input_fails_the_write_and_lives_on
    a_flood_on_stderr_is_drained_and_leaves_stdout_alone
    the_last_words_come_before_the_end
    a_kill_ends_the_whole_group
    a_terminate_reaches_the_whole_group
    what_the_host_ignores_is_not_ignored_by_the_child
    the_exit_is_told_while_a_grandchild_holds_the_pipes
    the_end_of_output_is_told_while_the_child_lives
    who_stays_in_the_group_without_our_pipes_is_killed
    dropping_the_links_leaves_no_process
    a_child_gets_the_allowed_and_the_configured_environment
    what_cannot_be_opened_is_refused_once
    a_pair_of_streams_serves_one_link
    a_rung_of_the_ladder_cuts_a_pair_of_streams
}

#[test]
fn f54_a_killed_host_leaves_no_process() {
    if std::env::var_os("MCP_FLEET_TEST_HOST").is_some() {
        return run(links::host_of_a_tree);
    }
    run(|runtime| {
        links::f54_a_killed_host_leaves_no_process(runtime, "f54_a_killed_host_leaves_no_process")
    });
}
