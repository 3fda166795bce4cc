//! `proxy-sidecar --listen ADDR --to URL,URL`, see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    proxy_sidecar::PROGRAM.start(proxy_sidecar::Config::prove, proxy_sidecar::run)
}
