//! The three ways from staged to visible, and what is chosen when nothing is asked for.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Output;

use testbed::process::{Running, code_and_stderr, run};

use crate::{BIN, Volume, assert_done, assert_refused, text};

fn copy(volume: &Volume, options: &[&str], source: &str, dest: &str) -> Output {
    let (source, dest) = (text(&volume.source(source)), text(&volume.dest(dest)));
    let args: Vec<&str> = options
        .iter()
        .copied()
        .chain([source.as_str(), dest.as_str()])
        .collect();
    run(BIN, &args)
}

fn way(output: &Output) -> String {
    assert_done(output);
    let (_, log) = code_and_stderr(output);
    let (_, rest) = log
        .split_once("\"publish\":\"")
        .unwrap_or_else(|| panic!("no way in {log}"));
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn a_directory_is_exchanged_as_a_whole() {
    let volume = Volume::new();
    assert_eq!(way(&copy(&volume, &[], "tree/", "agent")), "rename");
    fs::write(volume.dest("agent/by-the-application"), "x").unwrap();
    let held = fs::File::open(volume.dest("agent")).unwrap();
    fs::write(volume.source("tree/conf/app.yaml"), "a: 2\n").unwrap();
    assert_eq!(
        way(&copy(&volume, &["--publish", "exchange"], "tree/", "agent")),
        "exchange"
    );
    assert_eq!(
        fs::read_to_string(volume.dest("agent/conf/app.yaml")).unwrap(),
        "a: 2\n"
    );
    assert!(!volume.dest("agent/by-the-application").exists());
    assert_ne!(
        held.metadata().unwrap().ino(),
        fs::metadata(volume.dest("agent")).unwrap().ino()
    );
    assert_eq!(
        volume.names(),
        [
            "agent",
            "agent/conf",
            "agent/conf/app.yaml",
            "agent/conf/empty",
            "agent/link"
        ]
    );
}

#[test]
fn a_link_is_switched_and_the_generation_before_stays() {
    let volume = Volume::new();
    let mut generations = Vec::new();
    for number in 0..4 {
        fs::write(volume.source("tree/conf/app.yaml"), number.to_string()).unwrap();
        assert_eq!(
            way(&copy(&volume, &["--publish", "symlink"], "tree/", "agent")),
            "symlink"
        );
        let to = fs::read_link(volume.dest("agent")).unwrap();
        assert!(
            to.is_relative() && to.to_str().unwrap().starts_with(".init-copy.agent."),
            "{to:?}"
        );
        assert_eq!(
            fs::read_to_string(volume.dest("agent/conf/app.yaml")).unwrap(),
            number.to_string()
        );
        generations.push(volume.dest(to.to_str().unwrap()));
        let there: Vec<_> = generations.iter().map(|path| path.exists()).collect();
        let expected: Vec<_> = (0..=number).map(|n| n + 1 >= number).collect();
        assert_eq!(there, expected, "generations after switch {number}");
    }
    let again = copy(&volume, &["--publish", "symlink"], "tree/", "agent");
    assert!(code_and_stderr(&again).1.contains("nothing to do"));
    // What was begun with a link goes on with one.
    fs::write(volume.source("tree/conf/app.yaml"), "x").unwrap();
    assert_eq!(way(&copy(&volume, &[], "tree/", "agent")), "symlink");
}

#[test]
fn a_link_or_a_directory_that_is_not_ours_is_not_switched() {
    let volume = Volume::new();
    symlink("elsewhere", volume.dest("agent")).unwrap();
    assert_refused(
        &copy(&volume, &["--publish", "symlink"], "tree/", "agent"),
        16,
        &["which is not ours"],
    );
    fs::create_dir(volume.dest("dir")).unwrap();
    assert_refused(
        &copy(&volume, &["--publish", "symlink"], "tree/", "dir"),
        16,
        &["no symbolic link"],
    );
    fs::write(volume.dest("file"), "x").unwrap();
    assert_refused(
        &copy(&volume, &["--publish", "exchange"], "tree/", "file"),
        16,
        &["is no directory"],
    );
    assert_refused(
        &run(BIN, &["--publish", "exchange", &text(&volume.source("tree/")), "/proc"]),
        16,
        &["mount point"],
    );
}

#[test]
fn pruning_by_itself_renames_and_a_directory_that_is_made_appears_as_a_whole() {
    let volume = Volume::new();
    fs::write(volume.source("tree/gone"), "x").unwrap();
    assert_eq!(way(&copy(&volume, &["--prune"], "tree/", "agent")), "rename");
    fs::write(volume.dest("agent/by-the-application"), "x").unwrap();
    fs::remove_file(volume.source("tree/gone")).unwrap();
    assert_eq!(way(&copy(&volume, &["--prune"], "tree/", "agent")), "rename");
    assert!(!volume.dest("agent/gone").exists() && volume.dest("agent/by-the-application").exists());
}

#[test]
fn an_exchange_is_refused_where_something_would_be_lost() {
    let volume = Volume::new();
    fs::create_dir(volume.dest("other")).unwrap();
    symlink("other", volume.dest("link")).unwrap();
    assert_refused(
        &copy(&volume, &["--publish", "exchange"], "tree/", "link"),
        16,
        &["is a symbolic link"],
    );
    fs::write(volume.dest("other/manager.war"), "x").unwrap();
    let output = copy(&volume, &["--publish", "exchange"], "sample.war", "other/ROOT.war");
    assert_refused(&output, 2, &["only a directory is exchanged"]);
    assert!(volume.dest("other/manager.war").exists());
}

#[test]
fn an_exchanged_directory_keeps_the_mode_of_the_old_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let volume = Volume::new();
    assert_done(&copy(&volume, &[], "tree/", "agent"));
    fs::set_permissions(volume.dest("agent"), fs::Permissions::from_mode(0o2770)).unwrap();
    fs::write(volume.source("tree/new"), "x").unwrap();
    assert_done(&copy(&volume, &["--publish", "exchange"], "tree/", "agent"));
    assert_eq!(
        fs::metadata(volume.dest("agent")).unwrap().permissions().mode() & 0o7777,
        0o2770
    );
}

#[test]
fn closed_directories_are_replaced_and_removed_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let volume = Volume::new();
    fs::set_permissions(volume.dest(""), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(volume.source("tree/conf"), fs::Permissions::from_mode(0o555)).unwrap();
    for number in 0..3 {
        fs::write(volume.source("tree/number"), number.to_string()).unwrap();
        let output = testbed::process::unprivileged(BIN, volume.dir.path())
            .args(["--preserve", "mode", "--publish", "exchange"])
            .args([
                format!("{}/", text(&volume.source("tree"))),
                text(&volume.dest("agent")),
            ])
            .output()
            .unwrap();
        assert_done(&output);
        assert!(
            !volume.names().iter().any(|name| name.starts_with(".init-copy-")),
            "{:?}",
            volume.names()
        );
    }
}

#[test]
fn only_what_this_step_put_there_and_nobody_changed_is_pruned() {
    let volume = Volume::new();
    for name in ["mine", "changed", "kept"] {
        fs::write(volume.source("tree").join(name), name).unwrap();
    }
    assert_done(&copy(&volume, &["--name", "other"], "sample.war", ""));
    assert_done(&copy(&volume, &[], "tree/", ""));
    fs::write(volume.dest("changed"), "by the application").unwrap();
    fs::write(volume.dest("conf/by-the-application"), "x").unwrap();
    for name in ["mine", "changed", "conf/app.yaml"] {
        fs::remove_file(volume.source("tree").join(name)).unwrap();
    }
    fs::remove_dir_all(volume.source("tree/conf")).unwrap();
    // Without asking, nothing goes.
    assert_done(&copy(&volume, &[], "tree/", ""));
    assert!(volume.dest("mine").exists());
    let output = copy(&volume, &["--prune"], "tree/", "");
    assert_done(&output);
    assert!(
        code_and_stderr(&output)
            .1
            .contains("it was changed since it was copied")
    );
    assert_eq!(
        volume.names(),
        [
            "changed",
            "conf",
            "conf/by-the-application",
            "kept",
            "link",
            "sample.war"
        ]
    );
    // What stays is remembered, and still not asked about twice in vain.
    fs::remove_file(volume.dest("conf/by-the-application")).unwrap();
    assert_done(&copy(&volume, &["--prune"], "tree/", ""));
    assert_eq!(volume.names(), ["changed", "kept", "link", "sample.war"]);
}

#[test]
fn several_at_once_end_well_whatever_the_way() {
    for way in ["rename", "exchange", "symlink"] {
        let volume = Volume::new();
        let args = [
            "--publish",
            way,
            &format!("{}/", text(&volume.source("tree"))),
            &text(&volume.dest("agent")),
        ]
        .map(str::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut all: Vec<Running> = (0..5).map(|_| Running::start(BIN, &args)).collect();
        for running in &mut all {
            assert_eq!(running.exit().code(), Some(0), "{way}: {:?}", running.stderr());
        }
        let done = all
            .iter()
            .filter(|r| r.stderr().iter().any(|l| l.contains("\"done\"")))
            .count();
        assert_eq!(done, 1, "one copies, the others find it done: {way}");
        assert_eq!(
            fs::read_to_string(volume.dest("agent/conf/app.yaml")).unwrap(),
            "a: 1\n"
        );
    }
}

#[test]
fn the_last_source_appears_last() {
    let volume = Volume::new();
    let log = testbed::trace::run(
        testbed::trace::command(BIN).args([volume.source("tree"), volume.source("sample.war"), volume.dest("")]),
        &testbed::trace::Calls::Named(&["renameat", "renameat2", "rename"]),
        2,
        testbed::trace::Fault::Kill,
    );
    assert_eq!(log.counted(), 2);
    assert!(volume.dest("tree").exists() && !volume.dest("sample.war").exists());
}
