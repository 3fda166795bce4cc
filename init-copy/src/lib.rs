//! An init container that copies files and trees into a volume, then exits.
//!
//! ```text
//! SRC... ──plan──▶ entries ──stage──▶ DEST/.init-copy-XXXXXXXX-N ──publish──▶ DEST/name   (rename, the last SRC last)
//!                     ▲                 (hidden files, synced)                    │
//!                     └── proven already by DEST/.init-copy.json ◀──receipt───────┘   (written last)
//! ```
//!
//! Invariants: nothing is visible under its name before *all* is staged; a name changes by rename only, so a reader sees the old
//! file or the new one; nothing is chowned; the destination itself is never modified; no symbolic link below the destination is followed.
//! Blocking calls, no async runtime.

mod beneath;
mod config;
mod copy;
mod error;
mod fingerprint;
mod lock;
mod plan;
mod proof;
mod publish;
mod receipt;
mod stage;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use pod_contract::cli::Program;
use pod_contract::exit::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};

pub use config::Config;
use error::Error;
use plan::Plan;
use receipt::Receipt;

/// Name, help and flags of this binary.
pub const PROGRAM: Program = Program {
    name: "init-copy",
    version: env!("CARGO_PKG_VERSION"),
    about: "Copy files and trees into a volume before the application starts: all or nothing, and a no-op when already done",
    after_help: config::AFTER_HELP,
    flags: config::flags,
    sections: &[],
};

/// Copies, then returns; what it found and did is in the log.
pub fn run(config: Config) -> Result<(), Failure> {
    end_on_signals()?;
    copy_all(&config).map_err(Failure::from)
}

fn copy_all(config: &Config) -> Result<(), Error> {
    let started = Instant::now();
    let plan = Plan::make(&config.sources, &config.dest)?;
    let root = beneath::Root::open_or_create(&plan.root)?;
    let _lock = lock::take(&root)?;
    let mut receipt = Receipt::read(&root);
    let todo = proof::unproven(&plan, &root, &receipt)?;
    let skipped = plan.entries.len() - todo.len();
    if todo.is_empty() {
        tracing::info!(dest = %plan.root.display(), entries = skipped, "nothing to do: the receipt proves every entry");
        return Ok(());
    }
    let staged = stage::Staging::fill(&root, &todo)?;
    let bytes = staged.bytes();
    let published = staged.publish()?;
    receipt.add(published);
    if let Err(error) = receipt.write(&plan.root) {
        tracing::warn!(%error, "the copy is complete but has no receipt: the next run copies again");
    }
    tracing::info!(dest = %plan.root.display(), copied = todo.len(), proven = skipped, bytes, took = ?started.elapsed(), "done");
    Ok(())
}

/// As PID 1 a process has no default action for signals: without a handler, SIGTERM would wait for SIGKILL.
/// Whatever the moment, what is published is whole, and the next run sweeps what is staged.
fn end_on_signals() -> Result<(), Failure> {
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::new(AtomicBool::new(true)))
            .map_err(|e| Failure::failed(format!("cannot handle signals: {e}")))?;
    }
    Ok(())
}
