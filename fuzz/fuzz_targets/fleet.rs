//! A whole fleet among servers, links and clients, as the bytes decide, keeps every promise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_fleet_sim::{Witness, live_tape};

fuzz_target!(|data: &[u8]| {
    if let Some(violation) = live_tape(data, Witness::default()).violation {
        panic!("{violation}");
    }
});
