//! `adapter-sidecar --listen ADDR --health-from URL --metrics-from URL`, see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    adapter_sidecar::PROGRAM.start(adapter_sidecar::Config::prove, adapter_sidecar::run)
}
