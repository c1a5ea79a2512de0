//! Scenarios that real fleets with real child processes go through on both runtimes, each of them
//! with two threads, and on tokio with one too. What happened must be the same on all, and the
//! same as last time; and the machine alone, told the journal again, must want the same done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and names what it waits for"
)]

mod answers;
mod attached;
mod catalog;
mod endings;
mod eras;
mod framing;
mod in_process;
mod journal;
mod ladder;
mod lives;
mod questions;
mod recording;
mod rounds;
mod stages;
mod words;
mod world;

use std::{env, os::unix::process::CommandExt as _, process::Command};

use libtest_mimic::{Arguments, Failed, Trial};

/// Scenarios by topic. Each is run on every stage.
macro_rules! scenarios {
    ($($topic:ident { $($name:ident)* })*) => {
        vec![$($(
            Trial::test(concat!(stringify!($topic), "::", stringify!($name)), || {
                let stories = stages::on_all(
                    $topic::$name::<mcp_fleet_tokio::Tokio>,
                    $topic::$name::<mcp_fleet_smol::Smol>,
                );
                judge(concat!(stringify!($topic), "__", stringify!($name)), &stories);
                Ok::<(), Failed>(())
            })
        ),*),*]
    };
}

fn main() {
    // smol reads the number of its threads once, from the environment it was started with.
    if env::var_os(stages::SMOL_THREADS).is_none() {
        let again = Command::new(env::current_exe().unwrap())
            .args(env::args_os().skip(1))
            .env(stages::SMOL_THREADS, "2")
            .exec();
        panic!("cannot start again: {again}");
    }
    let trials = scenarios! {
        eras {
            a_modern_server_is_discovered
            a_legacy_server_is_initialized
            a_server_of_both_eras_is_taken_as_modern
            each_legacy_revision_is_agreed_on
            every_refusal_of_the_probe_leads_to_initialize
            silence_after_the_probe_leads_to_initialize
            garbage_after_the_probe_leads_to_initialize
            a_server_that_exits_of_the_probe_is_started_again
            a_server_that_closes_its_output_at_the_probe_is_started_again
            a_version_error_is_retried_once
            a_server_of_the_future_is_refused
            a_version_that_nobody_speaks_is_refused
            a_modern_version_from_initialize_is_refused
            a_refused_initialize_fails_the_server
            a_silent_server_fails_at_its_start_deadline
            a_ping_before_the_answer_to_initialize_is_answered
            a_ping_in_the_session_is_answered
            a_legacy_verdict_outlives_a_restart
        }
        questions {
            undeclared_questions_are_refused_by_their_codes
            roots_are_answered_without_the_application
            roots_asked_at_once_are_answered
            sampling_and_elicitation_are_answered_by_the_application
            the_application_may_refuse
            a_question_is_answered_once
            an_undeclared_mode_is_refused
            questions_of_a_server_that_is_gone_are_withdrawn
            requests_of_a_modern_server_are_dropped
        }
        rounds {
            a_round_asks_the_application_and_the_call_goes_on
            rounds_add_up
            a_round_that_asks_nothing_is_repeated
            roots_are_answered_within_a_round
            an_undeclared_question_ends_the_call
            a_refusal_ends_the_call
            a_cancelled_call_takes_its_questions_with_it
            rounds_are_bounded
        }
        catalog {
            all_lists_are_read
            pages_are_read_to_the_last
            an_empty_cursor_is_a_cursor
            cursors_in_a_circle_degrade_the_list
            endless_pages_are_bounded
            a_list_that_fails_leaves_the_server_usable
            only_what_is_offered_is_asked_for
            a_storm_of_changes_is_read_once
            a_storm_of_changes_of_a_modern_server_is_read_once
            changes_while_a_list_is_read_are_read_after_it
            resources_prompts_and_completions_are_passed_on
        }
        answers {
            odd_answers_that_are_understood
            odd_answers_that_are_understood_in_the_modern_era
            answers_to_nobody_are_counted
            a_batch_is_taken_apart_in_the_one_revision_that_has_them
            results_that_break_the_protocol_end_their_call
            a_tool_that_fails_is_a_result_and_a_request_that_fails_is_none
            half_an_answer_is_none
            an_answer_without_a_line_break_is_the_last_word
        }
        framing {
            single_bytes_make_the_same_messages
            joined_frames_are_taken_apart
            other_line_breaks_blank_lines_and_noise_change_nothing
            endless_noise_is_no_server
            a_line_beyond_the_limit_fails_the_server
            a_line_without_end_fails_the_server
            eight_mebibytes_go_both_ways
            a_flood_on_standard_error_is_no_failure
            a_flood_of_notifications_is_passed_on
            a_garbled_line_is_noise
        }
        endings {
            a_crash_ends_every_call_once
            an_exit_status_is_told
            a_closed_output_ends_the_server
            a_closed_input_ends_the_server
            a_timeout_is_told_to_the_server
            a_dropped_future_is_told_to_the_server
            a_cancelled_call_is_told_to_the_server
            a_late_answer_of_a_slow_tool_is_counted
            a_call_that_still_waits_is_cancelled_without_a_word
            progress_is_reported_and_starts_the_deadline_anew
            progress_of_another_call_or_backwards_is_dropped
            a_full_queue_refuses_at_once
            a_server_nobody_knows_is_named_with_its_near_miss
            what_cannot_be_sent_is_refused
        }
        lives {
            new_limits_let_waiting_calls_go
            a_replacement_keeps_waiting_calls
            a_replacement_that_fails_ends_waiting_calls
            a_disabled_server_takes_no_calls
            a_restart_begins_the_next_incarnation
            a_failed_server_can_be_restarted
            a_crashed_server_comes_back_by_itself
            a_server_that_keeps_dying_is_given_up
            an_undeployed_server_is_gone
            a_name_is_deployed_once
            health_is_a_round_trip
            a_shutdown_lets_calls_end
            a_shutdown_without_grace_waits_for_nobody
            a_dropped_manager_leaves_no_process
            a_program_that_is_missing_cannot_start
            a_program_that_exits_at_once_has_failed
            calls_made_before_readiness_wait
        }
        ladder {
            a_server_that_ends_with_its_input_is_not_signalled
            a_server_that_ignores_the_end_of_its_input_is_terminated
            a_server_that_ignores_everything_is_killed
            a_grandchild_that_holds_the_output_is_swept
            f53_a_grandchild_that_escaped_is_swept
            a_crash_sweeps_what_is_left
        }
        attached {
            a_pair_of_streams_is_a_server
            streams_that_end_are_a_crash
        }
        in_process {
            a_value_is_a_server
        }
    };
    let trials = trials.into_iter().chain(journal::trials()).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Whether all stories are the same, and the one that was reviewed.
fn judge(name: &str, stories: &[(&str, String)]) {
    let (first, story) = &stories[0];
    for (other, told) in &stories[1..] {
        assert!(
            story == told,
            "on {first}:\n{story}\non {other}:\n{told}\ndifferent from {:?}",
            story.lines().zip(told.lines()).find(|(a, b)| a != b)
        );
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, story));
}
