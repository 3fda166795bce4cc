//! One large file whose digest has to be the one that is known: read once, or copied and then read again.

use std::process::Command;

use crate::error::Error;
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::run::tool;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Work, folder};
use crate::work::sample;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "one-file-digest",
    kind: Kind::Runs(prepare),
};

const PEER: &str = "cp, then sha256sum";

fn prepare(place: &Place<'_>) -> Result<Work, Error> {
    let folder = folder(place.disk)?;
    let source = folder.path().join("source");
    let mib = place.amount(1024, 64);
    sample::random_file(&source, mib * 1024 * 1024)?;
    let digest = tool::output_of(Command::new("sha256sum").arg(&source))?;
    let digest = digest.split_whitespace().next().unwrap_or_default();
    let script = format!("cp '{{src}}' '{{dest}}' && echo '{digest}  {{dest}}' | sha256sum -c");
    let mut work = Work {
        title: format!("copy one file of {mib} MiB from a warm page cache and verify its SHA-256"),
        folder,
        expected: source,
        likeness: Likeness::Content,
        target: Target::Absent,
        ends: Ends::ByItself,
        on_disk: true,
        ours: Program::ours(
            place.binaries,
            "init-copy",
            "init-copy --sha256",
            &["--sha256", digest, "{src}", "{dest}", "--durability", "none"],
        ),
        peers: vec![Program::peer(PEER, &["sh", "-c", &script], &["sha256sum", "--version"])],
        goals: vec![Goal::wall_ratio(PEER, 0.3)],
    };
    for program in work.peers.iter_mut().chain([&mut work.ours]) {
        program.shown = program.shown.replace(digest, "HEX");
    }
    Ok(work)
}
