//! Bodies in each framing, in pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_sidecar::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::bodies(data));
