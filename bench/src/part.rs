//! What one scenario found, kept as `results/<scenario>.json`; everything shown is rendered from these.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{During as _, Error};
use crate::judge::goal::Goal;
use crate::run::measure::Sample;

/// One scenario as it was run last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) scenario: String,
    /// What is done, in a sentence.
    pub(crate) title: String,
    /// `2026-01-31`, UTC.
    pub(crate) date: String,
    /// Of the source that ours was made from.
    pub(crate) commit: String,
    pub(crate) machine: String,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Runs(Runs),
    Sizes(Vec<Size>),
}

/// Programs that did the same work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Runs {
    pub(crate) file_system: String,
    pub(crate) ours: Contestant,
    pub(crate) peers: Vec<Contestant>,
    pub(crate) goals: Vec<Goal>,
}

/// One program and what each of its rounds cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    /// As one would type it.
    pub(crate) command: String,
    /// `None` when it is not installed; then there are no rounds.
    pub(crate) version: Option<String>,
    pub(crate) rounds: Vec<Sample>,
}

/// A file against its budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) name: String,
    /// `None` when there is no such file.
    pub(crate) bytes: Option<u64>,
    pub(crate) budget_bytes: u64,
}

impl Size {
    pub(crate) fn is_met(&self) -> bool {
        self.bytes.is_some_and(|bytes| bytes <= self.budget_bytes)
    }
}

fn path(dir: &Path, scenario: &str) -> PathBuf {
    dir.join("results").join(format!("{scenario}.json"))
}

/// Writes the part below `dir`, in place of the one before.
pub(crate) fn write(dir: &Path, part: &Part) -> Result<(), Error> {
    let path = path(dir, &part.scenario);
    let mut json = match serde_json::to_string_pretty(part) {
        Ok(json) => json,
        Err(source) => return Err(Error::Json { path, source }),
    };
    json.push('\n');
    fs::create_dir_all(dir.join("results")).during("create", &dir.join("results"))?;
    fs::write(&path, json).during("write", &path)
}

/// The part of a scenario, or `None` when it was never run.
pub(crate) fn read(dir: &Path, scenario: &str) -> Result<Option<Part>, Error> {
    let path = path(dir, scenario);
    if !path.exists() {
        return Ok(None);
    }
    let json = fs::read(&path).during("read", &path)?;
    serde_json::from_slice(&json)
        .map(Some)
        .map_err(|source| Error::Json { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let size = Size {
            name: "init-copy".into(),
            bytes: Some(3),
            budget_bytes: 3,
        };
        let part = Part {
            scenario: "size".into(),
            title: "sizes".into(),
            date: "2026-01-31".into(),
            commit: "0123456789ab".into(),
            machine: "2 cores".into(),
            outcome: Outcome::Sizes(vec![size]),
        };
        assert!(read(dir.path(), "size").unwrap().is_none());
        write(dir.path(), &part).unwrap();
        let read = read(dir.path(), "size").unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{part:?}"));
    }

    #[test]
    fn a_size_is_met_up_to_its_budget_and_never_by_a_missing_file() {
        let met = |bytes| {
            Size {
                name: String::new(),
                bytes,
                budget_bytes: 100,
            }
            .is_met()
        };
        assert!(met(Some(99)) && met(Some(100)));
        assert!(!met(Some(101)) && !met(None));
    }
}
