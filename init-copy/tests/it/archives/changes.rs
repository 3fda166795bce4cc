use std::fs;
use std::os::unix::fs::MetadataExt as _;

use testbed::process::{code_and_stderr, run};

use super::tar_writer::{link, member, tar};
use super::zip_writer::{Member, zip};
use super::{bzip2, gzip, unpack, unpack_again, xz, zstd};
use crate::{BIN, Volume, assert_done, text};

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

/// A tar with these files, all of this content.
fn of(content: &str, names: &[&str]) -> Vec<u8> {
    tar(&names.iter().map(|name| member(name, b'0', content)).collect::<Vec<_>>())
}

#[test]
fn what_seed_left_of_an_older_archive_is_not_taken_for_the_new_one() {
    let volume = Volume::new();
    assert_done(&unpack(&volume, &of("1", &["x", "y"]), &["--existing=seed"]));
    assert_done(&unpack(&volume, &of("2", &["x", "y", "z"]), &["--existing=seed"]));
    let read = |name: &str| fs::read_to_string(volume.dest(name)).unwrap();
    assert_eq!((read("x"), read("z")), ("1".into(), "2".into()));
    assert_done(&unpack_again(&volume, &["--existing=keep"]));
    assert_eq!((read("x"), read("y"), read("z")), ("2".into(), "2".into(), "2".into()));
    assert!(
        code_and_stderr(&unpack_again(&volume, &["--existing=replace"]))
            .1
            .contains("nothing to do")
    );
}

#[test]
fn what_is_put_back_by_hand_is_staged_from_the_archive() {
    let volume = Volume::new();
    let flags = ["--existing=keep", "--proof=digest"];
    assert_done(&unpack(&volume, &of("1", &["x", "y"]), &flags));
    fs::write(volume.dest("x"), "edited").unwrap();
    assert_done(&unpack(&volume, &of("2", &["x", "y"]), &flags));
    assert_eq!(fs::read_to_string(volume.dest("x")).unwrap(), "edited");
    fs::write(volume.dest("x"), "1").unwrap();
    assert_done(&unpack_again(&volume, &flags));
    assert_eq!(fs::read_to_string(volume.dest("x")).unwrap(), "2");
    assert!(
        code_and_stderr(&unpack_again(&volume, &flags))
            .1
            .contains("nothing to do")
    );
}

#[test]
fn the_order_of_steps_counts_for_archives_too() {
    let files = |content: &str| tar(&[member("f", b'0', content), link("l", b'2', content)]);
    let volume = Volume::new();
    for name in ["a", "b"] {
        fs::write(volume.source(name), files(name)).unwrap();
    }
    let config = volume.dir.path().join("steps.yaml");
    let run = |order: [&str; 2]| {
        let step = |name: &str| {
            let (source, dest) = (text(&volume.source(name)), text(&volume.dest("")));
            format!("  {name}: {{source: {source}, dest: {dest}, unpack: tar}}\n")
        };
        fs::write(&config, format!("steps:\n{}", order.map(step).concat())).unwrap();
        run(BIN, &["--config", &text(&config)])
    };
    for order in [["a", "b"], ["b", "a"], ["a", "b"]] {
        assert_done(&run(order));
        assert_eq!(fs::read_to_string(volume.dest("f")).unwrap(), order[1]);
        assert_eq!(fs::read_link(volume.dest("l")).unwrap().to_str(), Some(order[1]));
        let again = code_and_stderr(&run(order)).1;
        assert_eq!(again.matches("nothing to do").count(), 2, "{again}");
    }
}

#[test]
fn one_of_two_archives_changes_and_both_are_replaced_as_a_whole() {
    for way in ["exchange", "symlink"] {
        let volume = Volume::new();
        let linked = tar(&[member("f", b'0', "f"), link("g", b'1', "f")]);
        fs::write(volume.source("a"), linked).unwrap();
        let (a, b, dest) = (
            text(&volume.source("a")),
            text(&volume.source("b")),
            text(&volume.dest("whole")),
        );
        let flag = format!("--publish={way}");
        for content in ["1", "2", "3"] {
            fs::write(volume.source("b"), of(content, &["b"])).unwrap();
            assert_done(&run(BIN, &[&flag, "--unpack=tar", &a, &b, &dest]));
            assert_eq!(fs::read_to_string(volume.dest("whole/b")).unwrap(), content, "{way}");
            let inode = |name: &str| fs::metadata(volume.dest("whole").join(name)).unwrap().ino();
            assert_eq!(inode("f"), inode("g"), "{way}");
        }
    }
}
