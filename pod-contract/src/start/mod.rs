//! Start and end of a process: the command line, the log, and what is said of the end.

pub mod cli;
pub mod exit;
pub mod explain;
pub mod install_self;
pub mod last_words;
pub mod log;
mod misplaced;
pub mod termination;
