use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use testbed::process::code_and_stderr;

use crate::{Volume, assert_done};

#[test]
fn a_file_into_a_directory() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["sample.war"], ""));
    assert_eq!(fs::read(volume.dest("sample.war")).unwrap(), vec![7; 300_000]);
    assert_eq!(volume.names(), ["sample.war"]);
}

#[test]
fn a_file_under_another_name() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["sample.war"], "ROOT.war"));
    assert_eq!(volume.names(), ["ROOT.war"]);
}

#[test]
fn a_destination_that_does_not_exist_is_created() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["sample.war"], "a/b/"));
    assert_done(&volume.copy(&["sample.war"], "c/d.war"));
    assert_eq!(volume.names(), ["a", "a/b", "a/b/sample.war", "c", "c/d.war"]);
}

#[test]
fn a_tree_under_its_name_and_its_contents_with_a_slash() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["tree"], ""));
    let below = ["conf", "conf/app.yaml", "conf/empty", "link"];
    let named: Vec<_> = std::iter::once("tree".to_owned())
        .chain(below.iter().map(|n| format!("tree/{n}")))
        .collect();
    assert_eq!(volume.names(), named);
    assert_eq!(
        fs::read_link(volume.dest("tree/link")).unwrap().to_str(),
        Some("conf/app.yaml")
    );

    let volume = Volume::new();
    assert_done(&volume.copy(&["tree/"], ""));
    assert_eq!(volume.names(), below);
}

#[test]
fn the_mode_is_kept_without_special_bits_and_the_time_is_now() {
    let volume = Volume::new();
    fs::set_permissions(volume.source("sample.war"), fs::Permissions::from_mode(0o4750)).unwrap();
    let old = fs::metadata(volume.source("sample.war")).unwrap();
    assert_done(&volume.copy(&["sample.war"], ""));
    let new = fs::metadata(volume.dest("sample.war")).unwrap();
    assert_eq!(new.permissions().mode() & 0o7777, 0o750);
    assert!((new.mtime(), new.mtime_nsec()) > (old.mtime(), old.mtime_nsec()));
}

#[test]
fn a_second_run_does_nothing() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["sample.war", "tree"], ""));
    let before = fs::metadata(volume.dest("sample.war")).unwrap();
    let output = volume.copy(&["sample.war", "tree"], "");
    assert_done(&output);
    let after = fs::metadata(volume.dest("sample.war")).unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    assert!(code_and_stderr(&output).1.contains("nothing to do"));
}

#[test]
fn existence_is_no_proof() {
    let volume = Volume::new();
    fs::write(volume.dest("sample.war"), vec![7; 300_000]).unwrap();
    let output = volume.copy(&["sample.war"], "");
    assert!(code_and_stderr(&output).1.contains("\"copied\":1"));
}

#[test]
fn what_was_altered_since_is_copied_again_and_nothing_else() {
    let alter: [fn(&Volume); 5] = [
        |v| fs::write(v.dest("sample.war"), "short").unwrap(),
        |v| fs::write(v.dest("sample.war"), vec![8; 300_000]).unwrap(),
        |v| fs::remove_file(v.dest("sample.war")).unwrap(),
        |v| fs::write(v.source("sample.war"), vec![9; 300_000]).unwrap(),
        |v| fs::write(v.dest(".init-copy.receipt"), "{").unwrap(),
    ];
    for (case, alter) in alter.into_iter().enumerate() {
        let volume = Volume::new();
        assert_done(&volume.copy(&["sample.war", "tree"], ""));
        alter(&volume);
        let output = volume.copy(&["sample.war", "tree"], "");
        assert_done(&output);
        assert_eq!(
            fs::read(volume.dest("sample.war")).unwrap(),
            fs::read(volume.source("sample.war")).unwrap(),
            "case {case}"
        );
        let copied = if case == 4 { "\"copied\":3" } else { "\"copied\":1" };
        assert!(
            code_and_stderr(&output).1.contains(copied),
            "case {case}: {:?}",
            code_and_stderr(&output)
        );
    }
}

#[test]
fn two_artifacts_on_one_volume_keep_their_receipts() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["sample.war"], ""));
    assert_done(&volume.copy(&["tree"], ""));
    assert!(
        code_and_stderr(&volume.copy(&["sample.war"], ""))
            .1
            .contains("nothing to do")
    );
}

#[test]
fn a_running_binary_is_replaced() {
    let volume = Volume::new();
    fs::copy("/proc/self/exe", volume.source("tool")).unwrap();
    assert_done(&volume.copy(&["tool"], ""));
    let held = fs::File::open(volume.dest("tool")).unwrap();
    fs::write(volume.source("tool"), "new").unwrap();
    assert_done(&volume.copy(&["tool"], ""));
    assert_ne!(
        held.metadata().unwrap().ino(),
        fs::metadata(volume.dest("tool")).unwrap().ino(),
        "replaced, not overwritten"
    );
}

#[test]
fn a_dot_after_the_slash_means_the_contents_too() {
    let volume = Volume::new();
    assert_done(&volume.copy(&["tree/."], ""));
    assert_eq!(volume.names(), ["conf", "conf/app.yaml", "conf/empty", "link"]);
}

#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let volume = Volume::new();
    fs::write(
        volume
            .source("tree")
            .join(std::ffi::OsStr::from_bytes(b"bad\xff, name")),
        "x",
    )
    .unwrap();
    let sources = format!("{}/", crate::text(&volume.source("tree")));
    let run = || testbed::process::run(crate::BIN, &[&sources, &crate::text(&volume.dest(""))]);
    assert_done(&run());
    assert!(code_and_stderr(&run()).1.contains("nothing to do"));
}
