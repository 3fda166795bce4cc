//! How each of our processes behaves as seen from a pod, and nothing else.
//!
//! ```text
//! pod spec ──flags, env, YAML──▶ cli ─▶ config ─▶ proved Config ─▶ the binary's run
//! kubelet  ◀─exit code, termination message── exit, last_words, termination
//! kubelet  ──httpGet──▶ admin (/healthz /readyz /metrics) ◀── ready, metrics
//! kubelet  ──exec──▶ probe          SIGTERM ──▶ lifecycle ──▶ drain
//! neighbours ◀── publish (whole files or none), install_self
//! ```
//!
//! A module belongs here when two binaries need it today *and* a reader of the pod spec could observe it.
//! What needs an async runtime stands behind the feature `sidecar`, so that `init-copy` links none.

#[cfg(feature = "sidecar")]
pub mod admin;
pub mod cli;
pub mod config;
pub mod exit;
pub mod explain;
pub mod install_self;
pub mod last_words;
#[cfg(feature = "sidecar")]
pub mod lifecycle;
pub mod log;
#[cfg(feature = "sidecar")]
pub mod metrics;
#[cfg(feature = "sidecar")]
mod patient;
pub mod probe;
pub mod publish;
#[cfg(feature = "sidecar")]
pub mod ready;
#[cfg(feature = "sidecar")]
pub mod serve;
pub mod termination;
pub mod units;
