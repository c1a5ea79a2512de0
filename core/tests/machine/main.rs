//! The machine, driven by hand: what it does with each command and signal.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may panic, and look only at what they are about"
)]

mod answers;
mod bounds;
mod breaker;
mod bytes;
mod calls;
mod catalog;
mod chart;
mod eras;
mod groups;
mod health;
mod lazy;
mod lifecycle;
mod order;
mod outage;
mod overload;
mod probes;
mod questions;
mod reload;
mod replace;
mod replay;
mod replicas;
mod restarts;
mod retries;
mod tools;
mod world;
