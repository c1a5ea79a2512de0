//! What reads as a configuration keeps its promises, and every problem lies within the text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mcp_fleet_core::fuzzing::config(data));
