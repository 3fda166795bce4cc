//! One address on localhost for a cluster elsewhere.
//!
//! ```text
//! application ──▶ listen ──▶ http1::connection ──head──▶ exchange ──pick──▶ endpoints, pool ──▶ cluster
//!                               one task a client           │ ▲                    ▲
//!                                                      body │ │ body     policy (balance, retry, budget; no I/O)
//!                                                           ▼ │
//!                     respond (the one table from error to answer)
//! application ──▶ listen ──▶ tunnel ──▶ endpoints            for tcp://
//! ```
//!
//! Invariants: a message passes only through `message::head`, which recomputes its framing and refuses what is ambiguous; nothing is sent twice
//! unless it was provably not sent or is idempotent, and always within a budget; buffers are held only while a request is under way;
//! one single-threaded worker owns all it touches.

mod access_log;
mod balancer;
mod config;
mod deadline;
mod dial;
mod endpoints;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod health;
mod http1;
mod http2;
mod lease;
mod listen;
mod message;
mod metrics;
mod policy;
mod pool;
mod respond;
mod run;
mod service;
mod slots;
mod starttls;
mod stream;
mod tunnel;

use pod_contract::start::cli::Program;

pub use config::Config;
pub use run::run;

/// Name, help and flags of this binary.
pub const PROGRAM: Program = Program {
    name: "proxy-sidecar",
    version: env!("CARGO_PKG_VERSION"),
    about: "One address on localhost for an external cluster: keeps connections, balances, fails over",
    after_help: config::AFTER_HELP,
    flags: config::flags,
    sections: config::SECTIONS,
    verbs: &[],
    checks_online: false,
};
