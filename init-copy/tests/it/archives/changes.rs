use std::fs;
use std::os::unix::fs::MetadataExt as _;

use testbed::process::code_and_stderr;

use super::tar_writer::{link, member, tar};
use super::zip_writer::{Member, zip};
use super::{bzip2, gzip, unpack, unpack_again, xz, zstd};
use crate::{Volume, assert_done};

fn archives(content: &str) -> Vec<Vec<u8>> {
    let plain = tar(&[
        member("dir/", b'5', ""),
        member("dir/a.txt", b'0', content),
        member("b.txt", b'0', "b"),
        link("twin.txt", b'1', "b.txt"),
        link("link", b'2', "dir/a.txt"),
    ]);
    let zipped = zip(&[
        Member::deflated("dir/a.txt", content),
        Member::file("b.txt", "b"),
        Member::link("link", "dir/a.txt"),
    ]);
    vec![zipped, gzip(&plain), zstd(&plain), xz(&plain), bzip2(&plain), plain]
}

#[test]
fn a_second_run_does_nothing() {
    for archive in archives("a") {
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &[]));
        let before = fs::metadata(volume.dest("dir/a.txt")).unwrap();
        let again = unpack_again(&volume, &[]);
        assert_done(&again);
        let after = fs::metadata(volume.dest("dir/a.txt")).unwrap();
        assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
        assert!(code_and_stderr(&again).1.contains("nothing to do"));
    }
}

#[test]
fn a_member_that_was_altered_since_is_unpacked_again() {
    let alter: [fn(&Volume); 5] = [
        |v| fs::write(v.dest("dir/a.txt"), "altered").unwrap(),
        |v| fs::remove_file(v.dest("dir/a.txt")).unwrap(),
        |v| fs::remove_dir_all(v.dest("dir")).unwrap(),
        |v| fs::remove_file(v.dest("link")).unwrap(),
        |v| fs::remove_file(v.dest("b.txt")).unwrap(),
    ];
    for archive in archives("a") {
        for (case, alter) in alter.iter().enumerate() {
            let volume = Volume::new();
            assert_done(&unpack(&volume, &archive, &[]));
            let whole = volume.names();
            alter(&volume);
            let again = unpack_again(&volume, &[]);
            assert_done(&again);
            assert!(!code_and_stderr(&again).1.contains("nothing to do"), "case {case}");
            assert_eq!(volume.names(), whole, "case {case}");
            assert_eq!(fs::read_to_string(volume.dest("link")).unwrap(), "a", "case {case}");
            assert_eq!(fs::read_to_string(volume.dest("b.txt")).unwrap(), "b", "case {case}");
            assert!(code_and_stderr(&unpack_again(&volume, &[])).1.contains("nothing to do"));
        }
    }
}

#[test]
fn an_archive_that_changed_is_unpacked_anew() {
    for (old, new) in archives("old").into_iter().zip(archives("new")) {
        let volume = Volume::new();
        assert_done(&unpack(&volume, &old, &[]));
        assert_done(&unpack(&volume, &new, &[]));
        assert_eq!(fs::read_to_string(volume.dest("dir/a.txt")).unwrap(), "new");
        // And with other settings, too.
        assert_done(&unpack_again(&volume, &["--strip-components=1", "--prune"]));
        assert_eq!(fs::read_to_string(volume.dest("a.txt")).unwrap(), "new");
        assert!(!volume.dest("dir").exists(), "{:?}", volume.names());
    }
}

#[test]
fn an_archive_that_turned_bad_leaves_the_old_content() {
    for archive in archives("old") {
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &[]));
        let whole = volume.names();
        let output = unpack(&volume, &archive[..archive.len() / 2], &[]);
        assert_eq!(output.status.code(), Some(18), "{:?}", code_and_stderr(&output));
        assert_eq!(volume.names(), whole);
        assert_eq!(fs::read_to_string(volume.dest("dir/a.txt")).unwrap(), "old");
    }
}

#[test]
fn a_member_that_was_left_out_for_something_else_comes_when_that_is_gone() {
    for archive in archives("a") {
        let volume = Volume::new();
        fs::write(volume.dest("b.txt"), "foreign").unwrap();
        let keep = ["--existing=keep"];
        assert_done(&unpack(&volume, &archive, &keep));
        assert_eq!(fs::read_to_string(volume.dest("b.txt")).unwrap(), "foreign");
        fs::remove_file(volume.dest("b.txt")).unwrap();
        assert_done(&unpack_again(&volume, &keep));
        assert_eq!(fs::read_to_string(volume.dest("b.txt")).unwrap(), "b");
    }
}
