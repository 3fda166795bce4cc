//! What tests and examples need and production code never sees: our binaries as processes, and the peers they talk to.

pub mod client;
pub mod contract;
pub mod http;
pub mod peer;
pub mod process;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace;
pub mod wait;
