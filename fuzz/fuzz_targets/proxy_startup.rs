//! How a connection of PostgreSQL begins.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_sidecar::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::startup(data));
