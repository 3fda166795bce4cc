//! HTTP/2 and gRPC, from the application to the cluster.

mod faults;
mod health;
mod passes;
mod peer;

use testbed::process::Running;

/// The proxy in front of `endpoints`.
fn proxy(scheme: &str, endpoints: &[&peer::Endpoint], more: &[&str]) -> (Running, String) {
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| &*endpoint.address).collect();
    crate::proxy(scheme, &endpoints, more)
}
