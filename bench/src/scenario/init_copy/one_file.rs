//! One large file, as `cp` would copy it: nothing is synced.

use crate::error::Error;
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Work, folder};
use crate::work::sample;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "one-file",
    kind: Kind::Runs(prepare),
};

fn prepare(place: &Place<'_>) -> Result<Work, Error> {
    let folder = folder(place.disk)?;
    let source = folder.path().join("source");
    let mib = place.amount(1024, 64);
    sample::random_file(&source, mib * 1024 * 1024)?;
    Ok(Work {
        title: format!("copy one file of {mib} MiB from a warm page cache, as durable as `cp` makes it"),
        folder,
        expected: source,
        likeness: Likeness::Content,
        target: Target::Absent,
        ends: Ends::ByItself,
        on_disk: true,
        ours: Program::ours(place.binaries, "init-copy", "init-copy cp", &["cp", "{src}", "{dest}"]),
        peers: vec![
            Program::peer("cp", &["cp", "{src}", "{dest}"], &["cp", "--version"]),
            Program::peer("busybox cp", &["busybox", "cp", "{src}", "{dest}"], &["busybox"]),
        ],
        // No more than each of them is no more than the best.
        goals: vec![
            Goal::wall_ratio("cp", 1.0),
            Goal::cpu_ratio("cp", 1.0),
            Goal::wall_ratio("busybox cp", 1.0),
            Goal::cpu_ratio("busybox cp", 1.0),
        ],
    })
}
