//! What is measured: one file a scenario, each with its goals.

mod init_copy;
mod log_sidecar;
mod program;
mod proxy_sidecar;
mod size;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::binaries::Binaries;
use crate::error::{During as _, Error};
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::part::Size;
use init_copy::{one_file, one_file_digest, run_again, small_files, unpack_war};
use log_sidecar::{ship, steady};
pub(crate) use program::Program;

/// In the order in which they are run and shown.
pub(crate) const ALL: &[Scenario] = &[
    one_file::SCENARIO,
    one_file_digest::SCENARIO,
    small_files::ON_TMPFS,
    small_files::ON_DISK,
    run_again::SCENARIO,
    unpack_war::SCENARIO,
    ship::BULK,
    ship::PARSED,
    ship::GZIP,
    steady::FIVE,
    steady::IDLE,
    proxy_sidecar::REQUESTS,
    proxy_sidecar::CONNECTIONS,
    proxy_sidecar::MEDIUM,
    proxy_sidecar::LARGE,
    proxy_sidecar::HTTPS,
    proxy_sidecar::HTTPS_LARGE,
    proxy_sidecar::STREAMS,
    size::SCENARIO,
];

/// Something to be measured.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// On the command line, and of the files with results.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Prepares programs to be run in turn.
    Runs(fn(&Place<'_>) -> Result<Work, Error>),
    /// Weighs files; there is nothing to run.
    Sizes(fn(&Binaries) -> Vec<Size>),
}

/// Where a scenario finds our binaries and room for its data.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) disk: &'a Path,
    pub(crate) memory: &'a Path,
    /// A peer that is not in Debian.
    pub(crate) fluent_bit: Option<&'a Path>,
    /// A tenth of the work, or less.
    pub(crate) quick: bool,
}

impl Place<'_> {
    /// `full`, or `small` for a quick look.
    pub(crate) fn amount(&self, full: u64, small: u64) -> u64 {
        if self.quick { small } else { full }
    }
}

/// The same work for ours and its peers.
#[derive(Debug)]
pub(crate) struct Work {
    /// What is done, in a sentence.
    pub(crate) title: String,
    /// Holds the source and the targets; deleted with this value.
    pub(crate) folder: TempDir,
    /// What a target has to look like afterwards.
    pub(crate) expected: PathBuf,
    pub(crate) likeness: Likeness,
    pub(crate) target: Target,
    pub(crate) ends: Ends,
    /// Then what waits to be written is written before each run, and nothing is deleted while anything is measured.
    pub(crate) on_disk: bool,
    pub(crate) ours: Program,
    pub(crate) peers: Vec<Program>,
    /// Besides memory, which has the same goal everywhere.
    pub(crate) goals: Vec<Goal>,
}

/// What a program finds where it is to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Absent,
    EmptyFolder,
    /// What the same program left there in the round before.
    Done,
}

/// When the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// When the program ends.
    ByItself,
    /// When a store at `{port}` has so many lines; what it got is the target, and the program is told to stop.
    Shipped(u64),
    /// The same while lines are written to files in `{scratch}/logs`.
    Steady(Steady),
    /// When a load generator has asked it for so long; it listens on `{port}`, before servers on `{one}` and `{two}`.
    Answered(Traffic),
}

/// Requests, as fast as they are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) connections: u64,
    /// In HTTP/2, at once on each connection; 0 is HTTP/1.1.
    pub(crate) streams: u64,
    pub(crate) seconds: u64,
    /// Bytes of each answer.
    pub(crate) body: u64,
    /// What is measured is told for so many requests.
    pub(crate) per: u64,
    /// Each request has a connection of its own.
    pub(crate) close: bool,
    /// The origin is spoken to in TLS. It is `origin.example`, and its CA is `origin/ca.pem` in the scratch folder.
    pub(crate) secure: bool,
}

/// Lines at a steady rate, 200 a second in each busy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steady {
    pub(crate) busy: u64,
    /// Files with one line each, that is there before.
    pub(crate) idle: u64,
    pub(crate) seconds: u64,
}

/// A folder for the data of one scenario.
pub(crate) fn folder(parent: &Path) -> Result<TempDir, Error> {
    std::fs::create_dir_all(parent).during("create", parent)?;
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(parent)
        .during("create a folder in", parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_safe_as_file_names() {
        for (index, scenario) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != scenario.name));
            assert!(
                scenario.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{}",
                scenario.name
            );
        }
    }
}
