//! The deterministic simulator: the machine of mcp-fleet in a world of scripted servers, links and
//! clients, under a mix of faults that each seed draws for itself, beside a reference model.
//!
//! All parts of the world have the shape of the machine: `handle_input`, `handle_timeout`,
//! `poll_effect`, `poll_timeout`. One loop takes whoever is next, so that a life is a function of
//! its [`Plan`]; a violation is replayed by the plan alone, and made small by [`shrink()`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a simulator may panic, looks only at what it is about, and tells what it sees"
)]

mod agenda;
mod client;
mod dice;
mod fault;
mod frame;
mod life;
mod link;
mod plan;
mod reference;
mod run;
mod server;
mod setting;
mod shrink;
mod violation;

pub use self::{
    fault::{Fault, Place},
    life::{Outcome, Witness, live, live_tape},
    plan::{Plan, Strikes},
    run::{Summary, live_guarded, live_many},
    shrink::shrink,
    violation::Violation,
};
