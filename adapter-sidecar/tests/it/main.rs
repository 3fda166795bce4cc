//! The real binary between a scraper and an application, both of which may misbehave.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod faults;
mod flags;
mod works;

use std::net::TcpListener;

use testbed::http::{Reply, Request, Server};
use testbed::process::Running;

const BIN: &str = env!("CARGO_BIN_EXE_adapter-sidecar");

/// An application whose `/metrics` and `/health` are answered by `handler`, and the adapter before it.
fn adapter(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static, more: &[&str]) -> (Server, Running, String) {
    let application = Server::start("127.0.0.1:0", handler).unwrap();
    let (running, address) = adapter_for(&application.address().to_string(), more);
    (application, running, address)
}

/// The adapter before whatever is at `application`.
fn adapter_for(application: &str, more: &[&str]) -> (Running, String) {
    let (metrics, health) = (
        format!("http://{application}/metrics"),
        format!("http://{application}/health"),
    );
    let mut args = vec![
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--health-from",
        &metrics,
        "--metrics-from",
        &health,
    ];
    args.extend(more);
    let running = Running::start(BIN, &args);
    let address = running.address("\"listening\"");
    (running, address)
}

/// An address where nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}
