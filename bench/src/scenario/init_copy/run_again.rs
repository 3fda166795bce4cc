//! All is in place already, as after a restart of the pod: how long does it take to see that?

use super::small_files;
use crate::error::Error;
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Work, folder};
use crate::work::sample;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "run-again",
    kind: Kind::Runs(prepare),
};

fn prepare(place: &Place<'_>) -> Result<Work, Error> {
    let folder = folder(place.disk)?;
    let source = folder.path().join("source");
    let files_each = small_files::files_each(place);
    sample::small_files(&source, small_files::FOLDERS, files_each)?;
    Ok(Work {
        title: format!(
            "find that {} small files are in place already",
            small_files::FOLDERS * files_each
        ),
        folder,
        expected: source,
        likeness: Likeness::Content,
        // The round that is not counted copies.
        target: Target::Done,
        ends: Ends::ByItself,
        on_disk: true,
        ours: Program::ours(
            place.binaries,
            "init-copy",
            "init-copy, again",
            &["--durability", "none", "{src}/", "{dest}/"],
        ),
        peers: vec![
            Program::peer(
                "rsync -a, again",
                &["rsync", "-a", "{src}/", "{dest}/"],
                &["rsync", "--version"],
            ),
            Program::peer(
                "cp -au, again",
                &["cp", "-au", "{src}/.", "{dest}"],
                &["cp", "--version"],
            ),
        ],
        goals: vec![
            Goal::WallSeconds { at_most: 0.15 },
            Goal::wall_ratio("rsync -a, again", 0.4),
            Goal::cpu_ratio("rsync -a, again", 0.9),
            Goal::cpu_ratio("cp -au, again", 0.9),
        ],
    })
}
