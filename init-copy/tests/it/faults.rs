use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Output};

use testbed::process::{Running, run, unprivileged};
use testbed::wait;

use crate::{BIN, Volume, assert_done, assert_refused, text};

fn copy_as_nobody(volume: &Volume) -> Output {
    unprivileged(BIN, volume.dir.path())
        .args([volume.source("sample.war"), volume.dest("")])
        .output()
        .unwrap()
}

#[test]
fn a_missing_source_is_named() {
    let volume = Volume::new();
    let message = volume.dir.path().join("message");
    let (source, dest) = (text(&volume.source("absent.war")), text(&volume.dest("")));
    let output = run(BIN, &["--termination-log", &text(&message), &source, &dest]);
    assert_refused(&output, 10, &[&source, "does not exist", "remedy"]);
    let told = fs::read_to_string(message).unwrap();
    assert!(
        told.starts_with("init-copy: source ") && told.contains("remedy"),
        "{told}"
    );
}

#[test]
fn one_bad_source_leaves_nothing_of_the_good_ones() {
    let volume = Volume::new();
    assert_refused(&volume.copy(&["sample.war", "absent"], ""), 10, &[]);
    assert!(volume.names().is_empty());
}

#[test]
fn an_unreadable_source_and_a_closed_destination_are_explained() {
    let volume = Volume::new();
    fs::set_permissions(volume.dest(""), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(volume.source("sample.war"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_refused(
        &copy_as_nobody(&volume),
        15,
        &["cannot read", "this process is uid", "mode 0000", "runAsGroup"],
    );
    assert!(volume.names().is_empty());

    fs::set_permissions(volume.source("sample.war"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(volume.dest(""), fs::Permissions::from_mode(0o555)).unwrap();
    assert_refused(
        &copy_as_nobody(&volume),
        15,
        &["cannot write into", "mode 0555", "runAsGroup"],
    );
    assert!(volume.names().is_empty());
}

#[test]
fn no_space_leaves_nothing() {
    let volume = Volume::new();
    // The shell's limit stands in for a full volume; ignoring the signal turns it into an error of the write.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let mut limited = Command::new("sh");
    limited
        .args(["-c", script, BIN])
        .args([volume.source("sample.war"), volume.dest("")]);
    assert_refused(&limited.output().unwrap(), 14, &["sample.war", "sizeLimit"]);
    assert!(volume.names().is_empty());
}

#[test]
fn a_source_larger_than_the_volume_is_refused_before_anything_is_written() {
    let volume = Volume::new();
    let huge = fs::File::create(volume.source("huge")).unwrap();
    huge.set_len(1 << 43).unwrap();
    assert_refused(
        &volume.copy(&["huge"], ""),
        14,
        &["8796093022208 bytes are needed", "are free"],
    );
    assert!(volume.names().is_empty());
}

#[test]
fn what_cannot_stand_in_one_place_is_refused_before_anything_is_written() {
    let volume = Volume::new();
    fs::create_dir_all(volume.source("other/sample.war")).unwrap();
    assert_refused(
        &volume.copy(&["sample.war", "other/sample.war"], ""),
        16,
        &["would both become"],
    );
    fs::create_dir_all(volume.dest("sample.war")).unwrap();
    assert_refused(
        &volume.copy(&["tree", "sample.war"], ""),
        16,
        &["is a directory at the destination"],
    );
    assert_eq!(volume.names(), ["sample.war"]);
    assert_refused(
        &volume.copy(&["tree"], "../source/tree/conf"),
        16,
        &["holds the destination"],
    );
}

#[test]
fn a_symbolic_link_at_the_destination_leads_nowhere() {
    let volume = Volume::new();
    let outside = volume.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, volume.dest("tree")).unwrap();
    assert_refused(&volume.copy(&["tree"], ""), 16, &["symbolic link"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);

    let secret = volume.dir.path().join("secret");
    fs::write(&secret, "untouched").unwrap();
    symlink(&secret, volume.dest("sample.war")).unwrap();
    assert_done(&volume.copy(&["sample.war"], ""));
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
    assert!(fs::symlink_metadata(volume.dest("sample.war")).unwrap().is_file());
}

#[test]
fn a_socket_is_not_copied() {
    let volume = Volume::new();
    let _socket = std::os::unix::net::UnixListener::bind(volume.source("tree/socket")).unwrap();
    assert_refused(&volume.copy(&["tree"], ""), 10, &["is a socket"]);
    assert!(volume.names().is_empty());
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_half_done_and_the_next_run_completes() {
    let volume = Volume::new();
    let big = fs::File::create(volume.source("big")).unwrap();
    big.set_len(400 << 20).unwrap();
    let args = [
        text(&volume.source("big")),
        text(&volume.source("sample.war")),
        text(&volume.dest("")),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let staged = || {
        volume
            .names()
            .iter()
            .any(|name| name.starts_with(".init-copy-"))
            .then_some(())
    };
    for round in 0..5 {
        let running = Running::start(BIN, &args);
        wait::until("a staged file", || {
            staged().or_else(|| volume.dest("sample.war").exists().then_some(()))
        });
        running.kill();
        for (name, size) in [("big", 400 << 20), ("sample.war", 300_000)] {
            if let Ok(meta) = fs::metadata(volume.dest(name)) {
                assert_eq!(meta.len(), size, "{name} is whole or absent, round {round}");
            }
        }
    }
    assert_done(&run(BIN, &args));
    assert_eq!(volume.names(), ["big", "sample.war"]);
}

#[test]
fn a_signal_ends_it_at_once() {
    let volume = Volume::new();
    fs::File::create(volume.source("big"))
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    let mut running = Running::start(BIN, &[&text(&volume.source("big")), &text(&volume.dest(""))]);
    wait::until("a staged file", || (!volume.names().is_empty()).then_some(()));
    running.terminate();
    let code = running.exit().code();
    assert!(code == Some(143) || volume.dest("big").exists(), "{code:?}");
}

#[test]
fn several_at_once_on_one_volume_all_end_well() {
    let volume = Volume::new();
    let args = [
        text(&volume.source("sample.war")),
        text(&volume.source("tree")),
        text(&volume.dest("")),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut all: Vec<Running> = (0..6).map(|_| Running::start(BIN, &args)).collect();
    for running in &mut all {
        assert_eq!(running.exit().code(), Some(0), "{:?}", running.stderr());
    }
    assert_eq!(
        all.iter()
            .filter(|r| r.stderr().iter().any(|l| l.contains("\"done\"")))
            .count(),
        1,
        "one copies, the others find it done"
    );
    assert_eq!(
        volume.names(),
        [
            "sample.war",
            "tree",
            "tree/conf",
            "tree/conf/app.yaml",
            "tree/conf/empty",
            "tree/link"
        ]
    );
}

#[test]
fn one_closed_directory_among_the_targets_is_found_before_anything_is_published() {
    let volume = Volume::new();
    for name in ["a", "b"] {
        fs::create_dir_all(volume.source("pair").join(name)).unwrap();
        fs::write(volume.source("pair").join(name).join("f"), "new").unwrap();
        fs::create_dir_all(volume.dest("pair").join(name)).unwrap();
        fs::write(volume.dest("pair").join(name).join("f"), "old").unwrap();
    }
    for (dir, mode) in [("", 0o777), ("pair", 0o777), ("pair/a", 0o777), ("pair/b", 0o555)] {
        fs::set_permissions(volume.dest(dir), fs::Permissions::from_mode(mode)).unwrap();
    }
    let output = unprivileged(BIN, volume.dir.path())
        .args([volume.source("pair"), volume.dest("")])
        .output()
        .unwrap();
    assert_refused(&output, 15, &["cannot write into", "pair/b", "mode 0555"]);
    for name in ["a", "b"] {
        assert_eq!(
            fs::read_to_string(volume.dest("pair").join(name).join("f")).unwrap(),
            "old"
        );
    }
}

#[test]
fn names_that_look_like_ours_are_left_alone() {
    let volume = Volume::new();
    fs::write(volume.dest(".init-copy-notes"), "the user's").unwrap();
    assert_done(&volume.copy(&["sample.war"], ""));
    assert_eq!(volume.names(), [".init-copy-notes", "sample.war"]);
}

#[test]
fn a_destination_that_is_a_file_is_a_conflict() {
    let volume = Volume::new();
    fs::write(volume.dest("file"), "x").unwrap();
    assert_refused(
        &volume.copy(&["sample.war"], "file/"),
        16,
        &["something else stands there"],
    );
    assert_refused(
        &volume.copy(&["sample.war"], "file/deeper/"),
        16,
        &["something else stands there"],
    );
    assert_refused(&volume.copy(&["sample.war/x"], ""), 10, &["does not exist"]);
}
