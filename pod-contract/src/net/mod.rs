//! Connections: listening and the small HTTP server for what is asked of us, dialling for a look at a neighbour.

pub mod dial;
#[cfg(feature = "sidecar")]
pub mod listen;
pub mod login;
#[cfg(feature = "sidecar")]
mod patient;
#[cfg(feature = "sidecar")]
pub mod serve;
