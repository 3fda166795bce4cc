//! Reads log files of a shared volume and ships every line to a sink.
//!
//! ```text
//!  volume ──discover──▶ tails ──read, frame──▶ segments ──▶ batch ──▶ deliver ──▶ sink ──▶ Elasticsearch, OTLP, Loki, …
//!    ▲      (identity)   ▲  one blocking thread                │   one async thread  │
//!  notify (a hint)       │                                     └── retry, reject ────┤
//!                    frontier ◀────────────── acknowledged ranges ───────────────────┘
//!                        └──▶ checkpoint (fsynced, renamed)
//! ```
//!
//! Invariants: the file is the buffer, so backpressure means that reading stops; the checkpoint covers only what is settled without a
//! gap; a file is known by what it is (inode, birth, content before the offset), never by its path; notify is a hint and the periodic
//! reconcile is the truth; memory is one byte budget a sink, and no sink waits for another; read = acked + rejected + lost + dropped + in flight, always.

mod batch;
mod checkpoint;
mod clock;
mod config;
mod deliver;
mod discover;
mod ending;
mod frontier;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod intent;
mod lease;
mod ledger;
mod loss;
mod mailbox;
mod parse;
mod pipeline;
mod pod;
mod reader;
mod recycle;
mod replay;
mod route;
mod sink;
mod state;
mod status;
mod transform;
mod try_out;

use pod_contract::run::lifecycle;
use pod_contract::start::cli::{Again, Program};
use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;

pub use config::Config;
use config::Task;
use ledger::{Ledger, Ledgers};
use pipeline::Setup;

/// Ships until it is told to stop, or sends again what was rejected.
pub fn run(config: Config, words: LastWords, again: Again<'_, Config>) -> Result<(), Failure> {
    let Config { task, state, grace } = config;
    match &task {
        Task::Try(reading, shape) => return try_out::run(reading, shape, &Ledger::default()),
        Task::Status => return status::show(&state.unwrap_or_default()),
        Task::Ship(..) | Task::Replay(_) | Task::Greet(_) => {}
    }
    let ledgers = Ledgers::default();
    let left = ledgers.clone();
    lifecycle::run(
        grace,
        &words,
        move || left.summary(),
        async |stop| match task {
            Task::Ship(shipping, routes) => {
                let admin = shipping.admin;
                let setup = Setup::new(shipping, routes, state);
                pipeline::ship(admin, grace, setup, ledgers, stop, again).await
            }
            Task::Replay(routes) => replay::send_all_again(routes, state.unwrap_or_default(), &ledgers, stop).await,
            Task::Greet(routes) => route::greet_all(routes).await,
            Task::Try(..) | Task::Status => Ok(()),
        },
    )
}

/// Name, help and flags of this binary.
pub const PROGRAM: Program = Program {
    name: "log-sidecar",
    version: env!("CARGO_PKG_VERSION"),
    about: "Tail the log files of a shared volume and ship every line to a remote store: none lost, none twice",
    after_help: config::AFTER_HELP,
    flags: config::flags,
    sections: config::SECTIONS,
    verbs: config::VERBS,
    checks_online: true,
};
