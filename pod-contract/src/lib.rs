//! How each of our processes behaves as seen from a pod, and nothing else.
//!
//! ```text
//! pod spec ──flags, env, YAML──▶ start::cli ─▶ config ─▶ proved Config ─▶ the binary's run
//! kubelet  ◀─exit code, termination message── start::{exit, last_words, termination}
//! kubelet  ──httpGet──▶ admin (/healthz /readyz /metrics) ◀── run::ready, metrics
//! kubelet  ──exec──▶ probe          SIGTERM ──▶ run::lifecycle ──▶ drain
//! neighbours ◀── files::publish (whole files or none), start::install_self
//! ```
//!
//! A module belongs here when two binaries need it today *and* a reader of the pod spec could observe it.
//! What needs an async runtime stands behind the feature `sidecar`, so that `init-copy` links none.

#[cfg(feature = "sidecar")]
pub mod admin;
#[cfg(feature = "aws")]
pub mod aws;
pub mod config;
pub mod files;
#[cfg(feature = "sidecar")]
pub mod metrics;
pub mod net;
pub mod probe;
pub mod run;
pub mod start;
#[cfg(feature = "tls")]
pub mod tls;
pub mod units;
