//! A web application as an application server would unpack it: deflated classes, and stored libraries.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::{During as _, Error};
use crate::judge::compare::Likeness;
use crate::judge::goal::Goal;
use crate::run::tool;
use crate::scenario::{Ends, Kind, Place, Program, Scenario, Target, Work, folder};
use crate::show::notation;
use crate::work::sample;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "unpack-war",
    kind: Kind::Runs(prepare),
};

fn prepare(place: &Place<'_>) -> Result<Work, Error> {
    let folder = folder(place.disk)?;
    let (tree, war) = (folder.path().join("tree"), folder.path().join("source.war"));
    let (classes, libraries) = (place.amount(2_500, 250), place.amount(45, 4));
    write_tree(&tree, classes, libraries)?;
    pack(&tree, &war)?;
    let bytes = fs::metadata(&war).during("examine", &war)?.len();
    Ok(Work {
        title: format!(
            "unpack a WAR of {} bytes: {classes} deflated entries, {libraries} stored ones",
            notation::bytes(bytes)
        ),
        folder,
        expected: tree,
        likeness: Likeness::Content,
        target: Target::EmptyFolder,
        ends: Ends::ByItself,
        on_disk: true,
        ours: Program::ours(
            place.binaries,
            "init-copy",
            "init-copy --unpack",
            &["--unpack", "--durability", "none", "{src}.war", "{dest}/"],
        ),
        peers: vec![
            Program::peer("unzip", &["unzip", "-q", "{src}.war", "-d", "{dest}"], &["unzip", "-v"]),
            Program::peer(
                "busybox unzip",
                &["busybox", "unzip", "-q", "{src}.war", "-d", "{dest}"],
                &["busybox"],
            ),
        ],
        goals: vec![Goal::wall_ratio("unzip", 0.7)],
    })
}

fn write_tree(root: &Path, classes: u64, libraries: u64) -> Result<(), Error> {
    let mut rng = sample::rng();
    let put = |path: &Path, content: &[u8]| {
        let parent = path.parent().unwrap_or(root);
        fs::create_dir_all(parent).during("create", parent)?;
        fs::write(path, content).during("write", path)
    };
    for number in 0..classes {
        let length = sample::log_spread(&mut rng, 2 * 1024, 160 * 1024);
        let content = sample::half_compressible(&mut rng, length);
        let path = format!("WEB-INF/classes/org/example/p{:02}/Class{number}.class", number / 50);
        put(&root.join(path), &content)?;
    }
    let mut library = vec![0; 1024 * 1024];
    for number in 0..libraries {
        rng.fill(&mut library);
        put(&root.join(format!("WEB-INF/lib/library-{number}.jar")), &library)?;
    }
    Ok(())
}

/// By Info-ZIP, with entries of their own for directories, as the `jar` command writes them too.
fn pack(tree: &Path, war: &Path) -> Result<(), Error> {
    let mut zip = Command::new("zip");
    zip.current_dir(tree).args(["-q", "-r", "-n", ".jar"]);
    let absolute = std::path::absolute(war).during("find", war)?;
    tool::output_of(zip.arg(absolute).arg("."))?;
    Ok(())
}
