//! Members are added to params without harm to the others.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mcp_fleet_core::fuzzing::params(data));
