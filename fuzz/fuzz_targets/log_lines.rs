//! A block of lines, from framing to documents.

#![no_main]

use libfuzzer_sys::fuzz_target;
use log_sidecar::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::lines(data));
