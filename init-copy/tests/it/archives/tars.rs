use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use testbed::process::code_and_stderr;

use super::tar_writer::{Header, link, member, pax, tar, with};
use super::{gzip, noise, unpack, unpack_again, zstd};
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

/// Data of 512 bytes at 1 MiB and at 3 MiB of a file of 4 MiB.
const DATA: [(usize, u8); 2] = [(1 << 20, b'a'), (3 << 20, b'b')];

fn expanded() -> Vec<u8> {
    let mut bytes = vec![0; 4 << 20];
    for (at, letter) in DATA {
        bytes[at..at + 512].fill(letter);
    }
    bytes
}

/// The same file in the four formats, as GNU tar and bsdtar write them.
fn sparse() -> Vec<(&'static str, Vec<u8>)> {
    let data = [[b'a'; 512], [b'b'; 512]].concat();
    let size = (4 << 20).to_string();
    let named = |records: &[(&str, &str)], content: &[u8]| [pax(records), member("other", b'0', content)].concat();
    let map = [b"2\n1048576\n512\n3145728\n512\n".as_slice(), &[0; 512]].concat()[..512].to_vec();
    let mut old = Header::new("sparse", b'S', 1024).field(483, b"00020000000\0");
    for (at, (offset, _)) in DATA.iter().enumerate() {
        let pair = format!("{offset:011o}\0{:011o}\0", 512);
        old = old.field(386 + 24 * at, pair.as_bytes());
    }
    vec![
        ("old", with(&old, &data)),
        (
            "0.0",
            named(
                &[
                    ("GNU.sparse.name", "sparse"),
                    ("GNU.sparse.size", &size),
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.offset", "1048576"),
                    ("GNU.sparse.numbytes", "512"),
                    ("GNU.sparse.offset", "3145728"),
                    ("GNU.sparse.numbytes", "512"),
                ],
                &data,
            ),
        ),
        (
            "0.1",
            named(
                &[
                    ("GNU.sparse.name", "sparse"),
                    ("GNU.sparse.size", &size),
                    ("GNU.sparse.map", "1048576,512,3145728,512"),
                ],
                &data,
            ),
        ),
        (
            "1.0",
            named(
                &[
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.name", "sparse"),
                    ("GNU.sparse.realsize", &size),
                ],
                &[map, data.clone()].concat(),
            ),
        ),
    ]
}

#[test]
fn sparse_members_are_whole_and_stay_sparse() {
    for (format, bytes) in sparse() {
        let archive = tar(&[bytes, member("after", b'0', "x")]);
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &["--proof=digest"]));
        assert_eq!(volume.names(), ["after", "sparse"], "{format}");
        assert!(fs::read(volume.dest("sparse")).unwrap() == expanded(), "{format}");
        let blocks = fs::metadata(volume.dest("sparse")).unwrap().blocks();
        assert!(blocks * 512 <= 1 << 20, "{format}: {blocks} blocks");
        assert!(
            code_and_stderr(&unpack_again(&volume, &["--proof=digest"]))
                .1
                .contains("nothing to do")
        );
    }
}

#[test]
fn a_map_that_is_not_of_the_data_is_refused() {
    let data = [b'a'; 512];
    for (map, content, word) in [
        ("0,512,512", &data[..], "odd number"),
        ("512,512,0,512", &data, "overlap"),
        ("0,512,256,512", &data, "overlap"),
        ("0,513", &data, "behind its end"),
        ("18446744073709551615,512", &data, "behind its end"),
        ("0,256", &data, "not of its data"),
        ("0,512", &data[..256], "not of its data"),
        ("0,x", &data, "PAX header is malformed"),
    ] {
        let records = [("GNU.sparse.size", "512"), ("GNU.sparse.map", map)];
        let archive = tar(&[[pax(&records), member("a", b'0', content)].concat()]);
        super::assert_archive_refused(&archive, &[], 18, &[word]);
    }
    for (text, word) in [
        ("1\n0\n", "map of a sparse member"),
        ("x\n", "malformed"),
        ("100001\n", "more than 100000 pieces"),
        ("123456789012345678901\n", "malformed"),
    ] {
        let records = [
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "512"),
        ];
        let archive = tar(&[[pax(&records), member("a", b'0', format!("{text:\0<512}"))].concat()]);
        super::assert_archive_refused(&archive, &[], 18, &[word]);
    }
    let future = [
        ("GNU.sparse.major", "2"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.realsize", "512"),
    ];
    let archive = tar(&[[pax(&future), member("a", b'0', "")].concat()]);
    super::assert_archive_refused(&archive, &[], 18, &["from the future"]);
}

#[test]
fn zeros_behind_a_compressed_stream_are_padding_and_nothing_else_is() {
    for zeros in [1, 511, 100_000] {
        let archive = [gzip(&tree()), vec![0; zeros]].concat();
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &[]));
        assert_is_tree(&volume);
    }
    let twice = [gzip(&tree()[..1000]), gzip(&tree()[1000..]), vec![0; 10]].concat();
    assert_done(&unpack(&Volume::new(), &twice, &[]));
    for rest in [b"\0\0x".as_slice(), b"garbage"] {
        let archive = [&gzip(&tree()), rest].concat();
        super::assert_archive_refused(&archive, &[], 18, &[]);
    }
}

#[test]
fn a_tar_without_its_end_mark_is_taken_when_told_so() {
    let archive = [member("a", b'0', "1"), member("b", b'0', "2")].concat();
    super::assert_archive_refused(
        &archive,
        &["--unpack=tar"],
        18,
        &["without its end mark", "--accept no-end"],
    );
    let volume = Volume::new();
    assert_done(&unpack(&volume, &archive, &["--unpack=tar", "--accept=no-end"]));
    assert_eq!(volume.names(), ["a", "b"]);
    // Inside a member it is cut, whatever the user says.
    super::assert_archive_refused(
        &archive[..700],
        &["--unpack=tar", "--accept=no-end"],
        18,
        &["ends inside a member"],
    );
    super::assert_archive_refused(&[], &["--unpack=tar", "--accept=no-end"], 18, &[]);
}

#[test]
fn of_members_that_come_more_than_once_the_last_one_counts() {
    let archive = tar(&[
        member("a", b'0', "first"),
        member("dir/", b'5', ""),
        link("b", b'2', "a"),
        link("c", b'1', "b2"),
        member("./a", b'0', "second"),
        member("b", b'0', "file now"),
        member("a", b'0', "third"),
        member("dir/", b'5', ""),
    ]);
    let archive = [member("b2", b'0', "linked"), archive].concat();
    let volume = Volume::new();
    let output = unpack(&volume, &archive, &[]);
    assert_done(&output);
    assert!(code_and_stderr(&output).1.contains("\"members\":4"), "{output:?}");
    let read = |name: &str| fs::read_to_string(volume.dest(name)).unwrap();
    assert_eq!(
        (read("a"), read("b"), read("c")),
        ("third".into(), "file now".into(), "linked".into())
    );
    let ino = |name: &str| fs::metadata(volume.dest(name)).unwrap().ino();
    assert_eq!(ino("c"), ino("b2"));
}

#[test]
fn colons_are_letters_and_an_empty_tar_is_empty() {
    let volume = Volume::new();
    let archive = tar(&[member("C:/a", b'0', "x"), member("urn:isbn:1", b'0', "x")]);
    assert_done(&unpack(&volume, &archive, &[]));
    assert_eq!(volume.names(), ["C:", "C:/a", "urn:isbn:1"]);
    for empty in [vec![0; 1024], vec![0; 10_240], gzip(&[0; 10_240])] {
        let volume = Volume::new();
        let output = unpack(&volume, &empty, &[]);
        assert_done(&output);
        assert!(volume.names().is_empty() && code_and_stderr(&output).1.contains("nothing of it"));
    }
    for length in [512, 1023, 1025] {
        super::assert_archive_refused(&vec![0; length], &[], 18, &["no archive that is known"]);
    }
}

#[test]
fn backslashes_are_separators_when_told_so() {
    let archive = tar(&[member("app\\bin\\run", b'0', "x"), member("app\\lib\\", b'5', "")]);
    super::assert_archive_refused(&archive, &[], 18, &["backslash"]);
    let volume = Volume::new();
    assert_done(&unpack(&volume, &archive, &["--accept=backslashes"]));
    assert_eq!(volume.names(), ["app", "app/bin", "app/bin/run", "app/lib"]);
    for name in ["..\\evil", "\\evil", "a\\..\\b"] {
        let archive = tar(&[member(name, b'0', "x")]);
        super::assert_archive_refused(&archive, &["--accept=backslashes"], 18, &[]);
    }
}

#[test]
fn links_that_lead_out_are_kept_or_made_relative_when_told_so() {
    let archive = tar(&[
        member("usr/bin/python3.11", b'0', "x"),
        link("venv/bin/python", b'2', "/usr/bin/python3.11"),
        link("venv/up", b'2', "../usr"),
    ]);
    super::assert_archive_refused(
        &archive,
        &[],
        18,
        &["venv/bin/python leads out of", "to /usr/bin", "--links keep"],
    );
    let to = |volume: &Volume| fs::read_link(volume.dest("venv/bin/python")).unwrap();
    let volume = Volume::new();
    assert_done(&unpack(&volume, &archive, &["--links=keep"]));
    assert_eq!(to(&volume).to_str(), Some("/usr/bin/python3.11"));
    let volume = Volume::new();
    assert_done(&unpack(&volume, &archive, &["--links=relative"]));
    assert_eq!(to(&volume).to_str(), Some("../../usr/bin/python3.11"));
    assert_eq!(fs::read_to_string(volume.dest("venv/bin/python")).unwrap(), "x");
    assert!(
        code_and_stderr(&unpack_again(&volume, &["--links=relative"]))
            .1
            .contains("nothing to do")
    );
    let out = tar(&[link("a", b'2', "../../etc")]);
    super::assert_archive_refused(&out, &["--links=relative"], 18, &["leads out of"]);
}
