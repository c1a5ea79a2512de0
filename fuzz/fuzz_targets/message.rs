//! What reads as a message is written and read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mcp_fleet_core::fuzzing::message(data));
