//! A tree of many small files, with permissions and times: what counts is the work per file.

use std::path::Path;

use crate::error::Error;
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Work, folder};
use crate::work::sample;

pub(in crate::scenario) const ON_TMPFS: Scenario = Scenario {
    name: "small-files-tmpfs",
    kind: Kind::Runs(|place| prepare(place, place.memory, false, 0.6)),
};

pub(in crate::scenario) const ON_DISK: Scenario = Scenario {
    name: "small-files-disk",
    kind: Kind::Runs(|place| prepare(place, place.disk, true, 0.9)),
};

/// As many as in `run-again`.
pub(in crate::scenario) const FOLDERS: u64 = 100;

/// In each of [`FOLDERS`].
pub(super) fn files_each(place: &Place<'_>) -> u64 {
    place.amount(200, 20)
}

fn prepare(place: &Place<'_>, parent: &Path, on_disk: bool, wall_at_most: f64) -> Result<Work, Error> {
    let folder = folder(parent)?;
    let source = folder.path().join("source");
    sample::small_files(&source, FOLDERS, files_each(place))?;
    Ok(Work {
        title: format!(
            "copy {} small files in {FOLDERS} folders with permissions and times",
            FOLDERS * files_each(place)
        ),
        folder,
        expected: source,
        likeness: Likeness::Attributes,
        target: Target::Absent,
        ends: Ends::ByItself,
        on_disk,
        ours: Program::ours(
            place.binaries,
            "init-copy",
            "init-copy cp -a",
            &["cp", "-a", "{src}", "{dest}"],
        ),
        peers: vec![
            Program::peer("cp -a", &["cp", "-a", "{src}", "{dest}"], &["cp", "--version"]),
            Program::peer(
                "rsync -a",
                &["rsync", "-a", "{src}/", "{dest}"],
                &["rsync", "--version"],
            ),
            Program::peer(
                "busybox cp -a",
                &["busybox", "cp", "-a", "{src}", "{dest}"],
                &["busybox"],
            ),
        ],
        goals: vec![Goal::wall_ratio("cp -a", wall_at_most), Goal::cpu_ratio("cp -a", 1.0)],
    })
}
