//! `log-sidecar --include GLOB --to SINK`, see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    log_sidecar::PROGRAM.start_reloading(log_sidecar::Config::prove, log_sidecar::run)
}
