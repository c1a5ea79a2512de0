//! Any split of a stream gives the same lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mcp_fleet_core::fuzzing::lines(data));
