//! `proxy-sidecar --listen ADDR --to URL,URL`, see the library.

use std::process::ExitCode;

/// That of musl gives memory back to the kernel with each burst of requests, and takes a page fault for each request of the next.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    proxy_sidecar::PROGRAM.start(proxy_sidecar::Config::prove, proxy_sidecar::run)
}
