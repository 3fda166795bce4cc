//! Translates between the monitoring interface that an application has and the one that the outside knows.
//!
//! ```text
//! GET /health  ──▶ serve ──▶ upstream ──▶ application /metrics        status, body and type pass through
//! GET /metrics ──▶ serve ──▶ upstream ──▶ application /health (JSON)
//!                               │
//!              health::decode ◀─┘   bridge: health ──▶ families   exposition::encode ──▶ text 0.0.4 or OpenMetrics 1.0
//!                (pure)                      (pure)                       (pure)
//! ```
//!
//! Invariants: the answer leaves before the scraper's deadline, whatever the application does; nothing is cached; a target is asked once
//! at a time however many ask for it; what cannot be understood is an error with its cause, never a half exposition.

mod bridge;
mod config;
mod exposition;
mod health;
mod metrics;
mod serve;
mod upstream;

use pod_contract::start::cli::Program;

pub use config::Config;
pub use serve::run;

/// Name, help and flags of this binary.
pub const PROGRAM: Program = Program {
    name: "adapter-sidecar",
    version: env!("CARGO_PKG_VERSION"),
    about: "Answer /health by asking the application's /metrics, and /metrics by asking its /health",
    after_help: config::AFTER_HELP,
    flags: config::flags,
    sections: &[],
    verbs: &[],
    checks_online: false,
};
