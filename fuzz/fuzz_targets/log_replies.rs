//! What a sink may say to a request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use log_sidecar::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::replies(data));
