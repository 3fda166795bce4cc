use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::tar_writer::{member, tar};
use super::zip_writer::{Member, end_record, zip, zip64};
use super::{assert_archive_refused, noise, unpack, zstd};
use crate::{Volume, assert_done};

fn mode(volume: &Volume, name: &str) -> u32 {
    fs::metadata(volume.dest(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_war_becomes_its_tree() {
    let volume = Volume::new();
    let large = [noise(70_000), vec![b'x'; 200_000]].concat();
    let archive = zip(&[
        Member::file("META-INF/", "").with_mode(0o040_755),
        Member::deflated("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n"),
        Member::file("empty.txt", ""),
        Member::deflated("deflated-empty.txt", ""),
        Member::file("stored.bin", noise(100_000)),
        Member::deflated("WEB-INF/lib/app.jar", &large),
        Member::deflated("bin/start", "#!/bin/sh\n").with_mode(0o100_750),
        Member::file("dir/", "").with_mode(0o040_700),
        Member::link("current", "bin/start"),
    ]);
    assert_done(&unpack(&volume, &archive, &[]));
    let names = [
        "META-INF",
        "META-INF/MANIFEST.MF",
        "WEB-INF",
        "WEB-INF/lib",
        "WEB-INF/lib/app.jar",
        "bin",
        "bin/start",
        "current",
        "deflated-empty.txt",
        "dir",
        "empty.txt",
        "stored.bin",
    ];
    assert_eq!(volume.names(), names);
    assert_eq!(
        fs::read_to_string(volume.dest("META-INF/MANIFEST.MF")).unwrap(),
        "Manifest-Version: 1.0\n"
    );
    assert_eq!(fs::read(volume.dest("WEB-INF/lib/app.jar")).unwrap(), large);
    assert_eq!(fs::read(volume.dest("stored.bin")).unwrap(), noise(100_000));
    for empty in ["empty.txt", "deflated-empty.txt"] {
        assert_eq!(fs::read(volume.dest(empty)).unwrap(), b"");
    }
    assert_eq!(
        fs::read_link(volume.dest("current")).unwrap().to_str(),
        Some("bin/start")
    );
    assert_eq!((mode(&volume, "bin/start"), mode(&volume, "empty.txt")), (0o750, 0o644));
}

#[test]
fn every_way_of_publishing_unpacks_a_zip_without_entries_for_directories() {
    for way in ["rename", "exchange", "symlink"] {
        let volume = Volume::new();
        let archive = zip(&[
            Member::file("a/", "").with_mode(0o040_755),
            Member::file("a/b/c/deep.txt", "deep"),
            Member::file("x/y/z.txt", "z"),
        ]);
        fs::write(volume.source("archive.zip"), archive).unwrap();
        let dest = crate::text(&volume.dest("target"));
        let publish = format!("--publish={way}");
        let source = crate::text(&volume.source("archive.zip"));
        assert_done(&testbed::process::run(
            crate::BIN,
            &["--unpack", &publish, &source, &dest],
        ));
        assert_eq!(
            fs::read_to_string(volume.dest("target/a/b/c/deep.txt")).unwrap(),
            "deep",
            "{way}"
        );
        assert_eq!(
            fs::read_to_string(volume.dest("target/x/y/z.txt")).unwrap(),
            "z",
            "{way}"
        );
    }
}

#[test]
fn names_are_utf8_code_page_437_or_bytes() {
    let volume = Volume::new();
    let dos = |name: &[u8]| Member::file(name, "x").but(|m| (m.mode, m.flags) = (None, 0));
    let unix = Member::file("straße.txt", "x").but(|m| m.flags = 0);
    let archive = zip(&[
        Member::file("grün/日本.txt", "x"),
        dos(b"caf\x82.txt"),
        dos(b"\xe1"),
        unix,
    ]);
    assert_done(&unpack(&volume, &archive, &[]));
    assert_eq!(volume.names(), ["café.txt", "grün", "grün/日本.txt", "straße.txt", "ß"]);
    // What Unix wrote in another character set keeps its bytes, and a field with the name in UTF-8 is followed.
    let volume = Volume::new();
    let latin = Member::file(b"caf\xe9", "x").but(|m| m.flags = 0);
    let hinted = dos(b"?.txt").but(|m| m.unicode = Some((b"?.txt".to_vec(), "日.txt".into())));
    let stale = dos(b"renamed").but(|m| m.unicode = Some((b"before".to_vec(), "früher".into())));
    assert_done(&unpack(&volume, &zip(&[latin, hinted, stale]), &[]));
    let mut names: Vec<_> = fs::read_dir(volume.dest(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.retain(|name| name != ".init-copy.receipt");
    names.sort();
    let latin = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xe9");
    assert_eq!(names, [latin, "renamed".as_ref(), "日.txt".as_ref()]);
    assert_archive_refused(&zip(&[Member::file(b"\xff\xfe", "x")]), &[], 18, &["should be UTF-8"]);
}

#[test]
fn large_archives_and_those_from_a_pipe_are_read() {
    let wide = |member: Member| member.but(|m| m.wide = true);
    let piped = |member: Member| member.but(|m| m.descriptor = true);
    let members = [
        wide(Member::deflated("wide.txt", noise(1000))),
        piped(Member::deflated("piped.txt", noise(1000))),
        wide(piped(Member::deflated("both.txt", noise(1000)))),
    ];
    for archive in [zip(&members), zip64(&members)] {
        let volume = Volume::new();
        assert_done(&unpack(&volume, &archive, &[]));
        assert_eq!(volume.names(), ["both.txt", "piped.txt", "wide.txt"]);
        for name in volume.names() {
            assert_eq!(fs::read(volume.dest(&name)).unwrap(), noise(1000), "{name}");
        }
    }
}

#[test]
fn what_stands_before_and_behind_a_zip_does_no_harm() {
    let archive = zip(&[Member::deflated("a.txt", "a")]);
    // A start script before it, and a comment that reaches the end of the file.
    let mut commented = archive.clone();
    let length = commented.len();
    commented[length - 2..].copy_from_slice(&7_u16.to_le_bytes());
    commented.extend(b"comment");
    let script = [b"#!/bin/sh\nexec java -jar \"$0\"\n".as_slice(), &archive].concat();
    for (bytes, format) in [(commented, "--unpack=auto"), (script, "--unpack=zip")] {
        let volume = Volume::new();
        assert_done(&unpack(&volume, &bytes, &[format]));
        assert_eq!(fs::read_to_string(volume.dest("a.txt")).unwrap(), "a");
    }
}

#[test]
fn an_empty_zip_is_unpacked_to_nothing() {
    let volume = Volume::new();
    assert_done(&unpack(&volume, &end_record(0, 0, 0), &[]));
    assert!(volume.names().is_empty());
}

#[test]
fn leading_names_are_dropped_and_members_left_out() {
    let archive = zip(&[
        Member::file("app-1.0/", "").with_mode(0o040_755),
        Member::file("app-1.0/README.md", "readme"),
        Member::file("app-1.0/docs/guide.txt", "guide"),
        Member::file("app-1.0/lib/app.jar", "jar"),
        Member::file("LICENSE", "at the top"),
        Member::link("app-1.0/current", "lib/app.jar"),
    ]);
    let volume = Volume::new();
    assert_done(&unpack(
        &volume,
        &archive,
        &["--strip-components=1", "--exclude=*.md,docs"],
    ));
    assert_eq!(volume.names(), ["current", "lib", "lib/app.jar"]);
    // With the name that it climbs out of dropped, a link leads out of.
    let climbing = zip(&[Member::link("a/b/link", "../../c"), Member::file("c", "c")]);
    assert_done(&unpack(&Volume::new(), &climbing, &[]));
    assert_archive_refused(&climbing, &["--strip-components=1"], 18, &["leads out of"]);
}

#[test]
fn members_may_be_packed_by_zstd() {
    let content = noise(300_000);
    let packed = zstd(&content);
    let good = Member::packed_by(93, "large", &content, packed.clone());
    let volume = Volume::new();
    assert_done(&unpack(&volume, &zip(&[Member::file("plain", "x"), good]), &[]));
    assert!(fs::read(volume.dest("large")).unwrap() == content);
    let cut = Member::packed_by(93, "large", &content, packed[..packed.len() / 2].to_vec());
    assert_archive_refused(&zip(&[cut]), &[], 18, &[]);
    let longer = Member::packed_by(93, "large", &content[1..], packed.clone());
    assert_archive_refused(&zip(&[longer]), &[], 18, &["longer than its header says"]);
    let mut other = content;
    other[7] ^= 1;
    assert_archive_refused(
        &zip(&[Member::packed_by(93, "large", &other, packed)]),
        &[],
        18,
        &["wrong checksum"],
    );
    for (method, name) in [
        (9, "deflate64"),
        (12, "bzip2"),
        (14, "lzma"),
        (95, "xz"),
        (1, "unknown"),
    ] {
        let member = Member::packed_by(method, "m", b"x", b"x".to_vec());
        assert_archive_refused(&zip(&[member]), &[], 18, &[name]);
    }
}

#[test]
fn members_are_picked_and_each_pattern_has_to_match() {
    let members = [
        "WEB-INF/lib/a.jar",
        "WEB-INF/lib/b.jar",
        "WEB-INF/web.xml",
        "docs/en/index.html",
        "docs/x.md",
    ];
    let zipped = zip(&members.map(|name| Member::file(name, name)));
    let tarred = tar(&members.map(|name| member(name, b'0', name)));
    for archive in [&zipped, &tarred] {
        for (flags, names) in [
            (
                &["--member=WEB-INF/lib/*.jar"][..],
                &["WEB-INF/lib/a.jar", "WEB-INF/lib/b.jar"][..],
            ),
            (
                &["--member=web.xml,docs"],
                &["WEB-INF/web.xml", "docs/en/index.html", "docs/x.md"],
            ),
            (&["--member=docs", "--exclude=*.md"], &["docs/en/index.html"]),
            (&["--member=lib/a.jar", "--strip-components=1"], &["lib/a.jar"]),
        ] {
            let volume = Volume::new();
            assert_done(&unpack(&volume, archive, flags));
            let mut found = volume.names();
            found.retain(|name| volume.dest(name).is_file());
            assert_eq!(found, names, "{flags:?}");
        }
        assert_archive_refused(
            archive,
            &["--member=*.jar", "--member=none"],
            10,
            &["no member of", "\"none\""],
        );
    }
    // Another choice is another content.
    let volume = Volume::new();
    assert_done(&unpack(&volume, &zipped, &["--member=a.jar", "--prune"]));
    assert_done(&unpack(&volume, &zipped, &["--member=b.jar", "--prune"]));
    assert!(volume.dest("WEB-INF/lib/b.jar").is_file() && !volume.dest("WEB-INF/lib/a.jar").exists());
}
