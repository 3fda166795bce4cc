//! What may stand in a state directory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use log_sidecar::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::checkpoint(data));
