//! Chaos on real processes, on both runtimes: what the kernel does to servers, and servers to the
//! host. The names begin with the number of the fault.
//!
//! Each test runs in a process of its own, so that descriptors, memory, threads, children and
//! limits are those of one fleet.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

mod budget;
mod death;
mod figures;
mod floods;
mod host;
mod lives;
mod orphans;
mod programs;
mod scarcity;
mod silence;

use std::{env, future::Future, process::Command};

use libtest_mimic::{Arguments, Failed, Trial};
use mcp_fleet_smol::Smol;
use mcp_fleet_tokio::Tokio;

/// Set in the process that runs one test: the name of the test.
const ALONE: &str = "MCP_FLEET_CHAOS";

fn on_tokio<F: Future<Output = ()>>(scenario: impl FnOnce(Tokio) -> F) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { scenario(Tokio::current().unwrap()).await });
}

fn on_smol<F: Future<Output = ()>>(scenario: impl FnOnce(Smol) -> F) {
    smol::block_on(scenario(Smol));
}

/// Every scenario, by topic, as a test on each runtime.
macro_rules! scenarios {
    ($($topic:ident { $($name:ident)* })*) => {
        vec![$($(
            (concat!("tokio::", stringify!($name)), (|| on_tokio($topic::$name)) as fn()),
            (concat!("smol::", stringify!($name)), (|| on_smol($topic::$name)) as fn()),
        )*)*]
    };
}

fn main() {
    let scenarios = scenarios! {
        death {
            f13_kill_nine_under_load
            f13_what_was_not_written_never_ran
            f35_a_frame_cut_by_a_crash_leaves_the_next_life_clean
            f15_a_grandchild_that_holds_the_pipes_delays_nothing
            f53_daemons_go_with_every_end_of_their_server
            f69_no_zombie_stays
            f52_a_process_that_sigkill_does_not_end_is_given_up
        }
        orphans {
            f54_a_host_killed_under_load_leaves_nothing
        }
        silence {
            f18_a_stopped_server_is_started_anew_and_its_past_has_no_say
            f16_a_server_without_output_is_replaced
            f17_a_server_that_only_talks_is_replaced
            f34_a_full_pipe_refuses_cancels_and_times_out
        }
        floods {
            f31_a_flood_on_standard_error_costs_nothing
            f24_a_line_of_a_gibibyte_costs_its_limit
            f33_a_flood_of_notifications_leaves_others_alone
        }
        scarcity {
            f2_a_host_without_descriptors_serves_on_and_recovers
            f70_a_child_sees_three_descriptors
            f71_a_host_without_an_environment_starts_servers
        }
        programs {
            f66_a_replaced_program_is_used_by_the_next_start
            f66_a_deleted_program_is_not_tried_again
            f66_a_vanished_directory_is_named
            f1_what_cannot_be_executed_is_not_tried_again
        }
        lives {
            f67_a_thousand_lives_leave_nothing
            f56_a_storm_of_commands_ends_as_the_last_one_says
        }
        budget {
            f4_fifty_crashers_keep_to_their_budgets
        }
    };
    if let Some(alone) = env::var_os(ALONE) {
        let (_, scenario) = scenarios
            .iter()
            .find(|(name, _)| alone == *name)
            .expect("no such test");
        return scenario();
    }
    let trials = scenarios
        .into_iter()
        .map(|(name, _)| Trial::test(name, move || run(name)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Runs one test in a process of its own, and passes on the figures it told.
fn run(name: &str) -> Result<(), Failed> {
    let mut command = Command::new(env::current_exe()?);
    command.env(ALONE, name).env("SMOL_THREADS", "2");
    if name.contains("f71_") {
        command.env_remove("PATH").env_remove("HOME");
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    for line in said.lines() {
        println!("{name}: {line}");
    }
    if output.status.success() {
        return Ok(());
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}\n{said}\n{complaints}", output.status).into())
}
