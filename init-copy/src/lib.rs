//! An init container that puts content into a volume, then exits: files and trees, archives, downloads, OCI artifacts.
//!
//! ```text
//! SRC... ──open──▶ plan ──proof──▶ what is left ──stage──▶ DEST/.init-copy-XXXXXXXX-N ──publish──▶ DEST/name
//!   │ walk, unpack,   ▲               (hidden, synced, verified)                  │ rename, exchange or symlink;
//!   │ fetch, pull     │                                                           │ the last SRC last
//!   └ into parts      └── proven already by DEST/.init-copy.receipt ◀──receipt──────┘   (written last)
//! ```
//!
//! Invariants: nothing is visible under its name before *all* is staged; a name changes by rename only, so a reader sees the old
//! file or the new one; nothing is chowned unless asked; the destination itself is never modified; no symbolic link below the
//! destination is followed. Blocking calls, no async runtime.

pub mod archive;
mod ask;
mod attributes;
pub mod content;
mod copy;
mod dest;
mod error;
mod fetch;
pub mod oci;
mod open;
pub mod plan;
mod progress;
mod publish;
mod receipt;
mod run;
mod signals;
mod source;
mod stage;
mod wait;

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use pod_contract::run::limits::raise_open_files;
use pod_contract::start::cli::Program;
use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;

pub use ask::Config;
use ask::{Step, Task};
use fetch::{Client, Credentials, Deadline};
use run::Run;

/// Name, help and flags of this binary.
pub const PROGRAM: Program = Program {
    name: "init-copy",
    version: env!("CARGO_PKG_VERSION"),
    about: "Put files, trees, archives, downloads and OCI artifacts into a volume before the application starts: \
            all or nothing, and a no-op when already done",
    after_help: ask::AFTER_HELP,
    flags: ask::flags,
    sections: ask::SECTIONS,
    verbs: ask::VERBS,
    checks_online: false,
};

/// Does what the configuration says, then returns; what it found and did is in the log.
pub fn run(config: Config, words: LastWords) -> Result<(), Failure> {
    // A deep tree is walked with a descriptor for each level.
    raise_open_files();
    let said = words.clone();
    signals::until_stopped(&words, move || {
        carry_out(&config, &said)?;
        if !said.so_far().is_empty() {
            said.done("done");
        }
        Ok(())
    })
}

fn carry_out(config: &Config, words: &LastWords) -> Result<(), Failure> {
    let run = Run {
        words,
        network: &config.network,
        deadline: Deadline::after(config.network.deadline),
        interval: config.progress,
        exposed: AtomicBool::new(false),
    };
    match &config.task {
        Task::Copy(steps) => copy(&run, steps),
        Task::Plan(steps) => {
            let text = ask::describe(&run, steps)?;
            std::io::stdout()
                .write_all(text.as_bytes())
                .map_err(|e| Failure::failed(format!("cannot write to stdout: {e}")))
        }
        Task::Verify(verify) => verify.run(),
        Task::Wait(conditions) => {
            let client = Client::new(
                &config.network.tls,
                Credentials::default(),
                config.network.stall,
                run.deadline,
            )?;
            wait::wait_for(conditions, &client, words)
        }
    }
}

fn copy(run: &Run<'_>, steps: &[Step]) -> Result<(), Failure> {
    let all = || {
        let mut numbered = steps.iter().enumerate();
        numbered.try_for_each(|(at, step)| run.step(step, &steps[..at]))
    };
    all()?;
    if run.exposed.swap(false, Ordering::Relaxed) {
        tracing::info!(
            "what is no longer wanted was over what another step had put there: the steps are made once more"
        );
        all()?;
    }
    Ok(())
}
