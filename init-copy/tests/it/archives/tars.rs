use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::tar_writer::{link, member, pax, tar};
use super::{gzip, noise, unpack, zstd};
use crate::{Volume, assert_done};

/// By another writer than that of the bad ones.
fn tree() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |kind: tar::EntryType, mode: u32, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(1_700_000_000);
        header
    };
    let file = |size: usize, mode: u32| header(tar::EntryType::Regular, mode, size as u64);
    let large = noise(200_000);
    builder
        .append_data(&mut header(tar::EntryType::Directory, 0o755, 0), "./", std::io::empty())
        .unwrap();
    builder
        .append_data(
            &mut header(tar::EntryType::Directory, 0o750, 0),
            "./conf/",
            std::io::empty(),
        )
        .unwrap();
    builder
        .append_data(&mut file(5, 0o640), "./conf/app.yaml", b"a: 1\n".as_slice())
        .unwrap();
    builder
        .append_data(&mut file(0, 0o644), "empty", std::io::empty())
        .unwrap();
    builder
        .append_data(&mut file(large.len(), 0o755), "bin/large", large.as_slice())
        .unwrap();
    builder
        .append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), "link", "conf/app.yaml")
        .unwrap();
    builder
        .append_link(
            &mut header(tar::EntryType::Link, 0o644, 0),
            "conf/twin.yaml",
            "conf/app.yaml",
        )
        .unwrap();
    // Longer than a header's 100 bytes: a long name of GNU's.
    builder
        .append_data(&mut file(4, 0o644), long_name(), b"long".as_slice())
        .unwrap();
    builder.into_inner().unwrap()
}

fn long_name() -> String {
    format!("{}/{}", "d".repeat(120), "n".repeat(200))
}

#[track_caller]
fn assert_is_tree(volume: &Volume) {
    let dir = "d".repeat(120);
    let names = [
        "bin",
        "bin/large",
        "conf",
        "conf/app.yaml",
        "conf/twin.yaml",
        &dir,
        &long_name(),
        "empty",
        "link",
    ];
    assert_eq!(volume.names(), names);
    assert_eq!(fs::read(volume.dest("bin/large")).unwrap(), noise(200_000));
    assert_eq!(fs::read_to_string(volume.dest("link")).unwrap(), "a: 1\n");
    assert_eq!(fs::read_to_string(volume.dest(&long_name())).unwrap(), "long");
    let meta = |name: &str| fs::metadata(volume.dest(name)).unwrap();
    assert_eq!(meta("bin/large").permissions().mode() & 0o777, 0o755);
    assert_eq!(meta("conf/app.yaml").permissions().mode() & 0o777, 0o640);
    assert_eq!(meta("conf/app.yaml").ino(), meta("conf/twin.yaml").ino(), "one file");
    assert_eq!(meta("conf/app.yaml").nlink(), 2);
    assert!(fs::symlink_metadata(volume.dest("link")).unwrap().is_symlink());
}

#[test]
fn a_tar_becomes_its_tree_however_it_is_compressed() {
    let plain = tree();
    let (first, second) = plain.split_at(100_001);
    for (name, archive) in [
        ("tar", plain.clone()),
        ("tar.gz", gzip(&plain)),
        ("tar.gz of two members", [gzip(first), gzip(second)].concat()),
        ("tar.zst", zstd(&plain)),
        ("tar.zst of two frames", [zstd(first), zstd(second)].concat()),
    ] {
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &[]));
        assert_is_tree(&volume);
        let format = format!("--unpack={}", name.split(' ').next().unwrap());
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &[&format]));
        assert_is_tree(&volume);
    }
}

#[test]
fn frames_that_a_decoder_skips_are_skipped() {
    // RFC 8878, section 3.1.2; parallel compressors write them.
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0note";
    let plain = tree();
    let (first, second) = plain.split_at(100_001);
    let between = [&zstd(first), skippable.as_slice(), &zstd(second)].concat();
    let before = [skippable.as_slice(), &zstd(&plain), skippable].concat();
    for archive in [between, before] {
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &["--unpack=tar.zst"]));
        assert_is_tree(&volume);
    }
}

#[test]
fn pax_headers_carry_paths_links_and_sizes() {
    let long = format!("pax/{}/{}", "p".repeat(150), "q".repeat(150));
    let mut sized = pax(&[("size", "3"), ("path", "sized")]);
    // The header's own field has no room for it, and says 0.
    let mut block = member("ignored", b'0', "");
    block.extend(b"abc");
    block.resize(1024, 0);
    sized.extend(block);
    let archive = tar(&[
        member(
            "pax_global_header",
            b'g',
            "52 comment=0123456789012345678901234567890123456789\n",
        ),
        [
            pax(&[("path", &long), ("mtime", "1700000000.5")]),
            member("short", b'0', "pax"),
        ]
        .concat(),
        [pax(&[("linkpath", &long)]), link("link", b'2', "short")].concat(),
        [
            pax(&[("linkpath", &long), ("path", "hard")]),
            link("short", b'1', "short"),
        ]
        .concat(),
        sized,
        member("grün", b'0', "utf-8"),
    ]);
    let volume = Volume::new();
    assert_done(&unpack(&volume, &archive, &[]));
    assert_eq!(fs::read_to_string(volume.dest(&long)).unwrap(), "pax");
    assert_eq!(fs::read_to_string(volume.dest("link")).unwrap(), "pax");
    assert_eq!(fs::read_to_string(volume.dest("hard")).unwrap(), "pax");
    assert_eq!(fs::read_to_string(volume.dest("sized")).unwrap(), "abc");
    assert_eq!(fs::read_to_string(volume.dest("grün")).unwrap(), "utf-8");
    assert!(!volume.dest("short").exists());
}

#[test]
fn a_ustar_prefix_and_old_headers_are_understood() {
    let mut prefixed = member("name", b'0', "x");
    prefixed[345..348].copy_from_slice(b"dir");
    let mut old = member("old", b'\0', "x");
    old[257..265].fill(0);
    for block in [&mut prefixed, &mut old] {
        block[148..156].fill(b' ');
        let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let volume = Volume::new();
    assert_done(&unpack(&volume, &tar(&[prefixed, old]), &[]));
    assert_eq!(volume.names(), ["dir", "dir/name", "old"]);
}

#[test]
fn leading_names_are_dropped_and_members_left_out() {
    let archive = tar(&[
        member("app/", b'5', ""),
        member("app/keep/a.txt", b'0', "a"),
        member("app/keep/b.md", b'0', "b"),
        member("app/drop/c.txt", b'0', "c"),
        link("app/keep/twin.txt", b'1', "app/keep/a.txt"),
        member("top", b'0', "t"),
    ]);
    let volume = Volume::new();
    let flags = ["--strip-components=1", "--exclude=*.md", "--exclude=drop/**"];
    assert_done(&unpack(&volume, &gzip(&archive), &flags));
    assert_eq!(volume.names(), ["keep", "keep/a.txt", "keep/twin.txt"]);
    let ino = |name: &str| fs::metadata(volume.dest(name)).unwrap().ino();
    assert_eq!(ino("keep/a.txt"), ino("keep/twin.txt"));
}
