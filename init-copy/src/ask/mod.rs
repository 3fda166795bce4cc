//! What is asked for: flags and file turned into proved steps, and what `plan` says of them.

mod config;
mod cp;
mod report;
mod step;

pub use config::Config;
pub(crate) use config::{AFTER_HELP, Network, SECTIONS, Task, VERBS, flags};
pub(crate) use report::describe;
pub(crate) use step::{Checksum, Step};
