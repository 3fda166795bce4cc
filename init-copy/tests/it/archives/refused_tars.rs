use super::tar_writer::{Header, link, member, pax, tar, with};
use super::{assert_archive_refused, bzip2, gzip, noise, unpack, xz, zstd};
use crate::{Volume, assert_done};

/// Every one is refused, and so is all that comes with it, compressed or not.
#[track_caller]
fn refused(members: &[Vec<u8>], word: &str) {
    let all = [
        &[member("good.txt", b'0', "good")],
        members,
        &[member("last.txt", b'0', "last")],
    ]
    .concat();
    let archive = tar(&all);
    for archive in [&gzip(&archive), &archive] {
        assert_archive_refused(archive, &[], 18, &["archive", word]);
    }
}

#[test]
fn every_spelling_of_a_place_outside_is_refused() {
    for (name, word) in [
        ("../evil", "component .."),
        ("a/../../b", "component .."),
        ("a/../b", "component .."),
        ("..", "component .."),
        ("/etc/evil", "absolute path"),
        ("..\\evil", "backslash"),
        ("\\evil", "backslash"),
        ("evil\n", "control character"),
        (".", "it is empty"),
        ("", "it is empty"),
    ] {
        refused(&[member(name, b'0', "x")], word);
        refused(
            &[[pax(&[("path", name)]), member("harmless", b'0', "x")].concat()],
            word,
        );
    }
    refused(
        &[[pax(&[("path", "evil\0.txt")]), member("harmless", b'0', "x")].concat()],
        "control character",
    );
    refused(
        &[[
            member("././@LongLink", b'L', "../evil\0"),
            member("harmless", b'0', "x"),
        ]
        .concat()],
        "component ..",
    );
}

#[test]
fn links_that_lead_outside_are_refused() {
    for to in ["/etc/passwd", "..", "../x", "a/../../x"] {
        refused(&[link("link", b'2', to)], "leads out of");
    }
    refused(&[link("link", b'2', "")], "leads nowhere");
    refused(
        &[[pax(&[("linkpath", "/etc")]), link("link", b'2', "harmless")].concat()],
        "leads out of",
    );
    refused(
        &[[member("././@LongLink", b'K', "../x\0"), link("link", b'2', "harmless")].concat()],
        "leads out of",
    );
}

#[test]
fn a_link_that_leads_outside_by_way_of_another_is_refused() {
    refused(
        &[link("a/b/up", b'2', "../.."), link("a/out", b'2', "b/up/../secret")],
        "leads out of",
    );
}

#[test]
fn hard_links_lead_to_an_earlier_file() {
    for (to, word) in [
        ("/etc/passwd", "absolute path"),
        ("../x", "component .."),
        ("absent", "no earlier file"),
        ("last.txt", "no earlier file"),
        ("hard", "no earlier file"),
        ("dir", "no earlier file"),
        ("soft", "no earlier file"),
    ] {
        let members = [
            member("dir/", b'5', ""),
            link("soft", b'2', "good.txt"),
            link("hard", b'1', to),
        ];
        refused(&members, word);
    }
}

#[test]
fn nothing_is_unpacked_through_a_link() {
    for members in [
        [link("dir", b'2', "other"), member("dir/evil", b'0', "x")],
        [member("dir/evil", b'0', "x"), link("dir", b'2', "other")],
        [link("dir", b'1', "good.txt"), member("dir/evil", b'0', "x")],
    ] {
        refused(&members, "both become");
    }
}

#[test]
fn one_name_is_for_one_member() {
    refused(
        &[member("a", b'0', "1"), link("b", b'1', "a"), member("a", b'0', "2")],
        "a hard link to it",
    );
    refused(&[member("a", b'0', "1"), member("a/b", b'0', "2")], "both become");
}

#[test]
fn devices_pipes_and_what_is_not_known_are_refused() {
    for (kind, word) in [
        (b'3', "is a device"),
        (b'4', "is a device"),
        (b'6', "is a named pipe"),
        (b'M', "unknown type"),
        (b'8', "unknown type"),
        (b'Z', "unknown type"),
    ] {
        refused(&[member("special", kind, "")], word);
    }
    refused(
        &[[
            pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]),
            member("sparse", b'0', "x"),
        ]
        .concat()],
        "a sparse member has no size",
    );
    for record in ["17 path=evil.txt\n", "17 linkpath=evil\n", "10 size=1\n"] {
        let global = member("pax_global_header", b'g', record);
        refused(&[[global, member("good.txt", b'0', "x")].concat()], "global header");
    }
    for kind in [b'1', b'2'] {
        let header = Header::new("link", kind, 600).link("good.txt");
        refused(&[with(&header, &noise(600))], "has content");
    }
    refused(&[member("dir", b'5', "content")], "has content");
}

#[test]
fn a_header_that_was_altered_is_refused() {
    let mut altered = member("a.txt", b'0', "content");
    altered[0] = b'b';
    refused(&[altered], "wrong checksum");
    refused(&[noise(512)], "wrong checksum");
}

#[test]
fn sizes_beyond_measure_are_refused() {
    let sized = |kind: u8, field: &[u8]| with(&Header::new("huge", kind, 0).size(field), b"");
    let base256 = |high: u8, low: u64| {
        let mut field = vec![0x80, 0, 0, high];
        field.extend(low.to_be_bytes());
        field
    };
    for (field, word) in [
        (b"77777777777\0".to_vec(), ""),
        (base256(0, u64::MAX), ""),
        (base256(0, u64::MAX - 511), ""),
        (base256(0, 1 << 62), ""),
        (base256(1, 0), "size is no number"),
        (vec![0xff; 12], "size is no number"),
        (b"-0000000001\0".to_vec(), "size is no number"),
        (b"99999999999\0".to_vec(), "size is no number"),
    ] {
        refused(&[sized(b'0', &field)], word);
        // A name or a header of gigabytes is not read into memory.
        refused(&[sized(b'L', &field)], "");
        refused(&[sized(b'K', &field)], "");
        refused(&[sized(b'x', &field)], "");
        refused(&[sized(b'g', &field)], "");
    }
    refused(&[sized(b'x', &base256(0, (1 << 20) + 1))], "1048577 bytes");
    for size in ["18446744073709551615", "18446744073709551616", "-1", "", "0x10"] {
        refused(&[[pax(&[("size", size)]), member("a", b'0', "x")].concat()], "");
    }
}

#[test]
fn a_malformed_pax_header_is_refused() {
    for records in [
        "5 a=b", "99 a=b\n", "2 a=b\n", "a=b\n", "0 a=b\n", "7 a b\n", "-6 a=b\n",
    ] {
        let members = [[member("x", b'x', records), member("a", b'0', "x")].concat()];
        refused(&members, "PAX header is malformed");
    }
}

#[test]
fn a_compressed_stream_that_was_altered_is_refused() {
    use std::io::Write as _;
    // Stored, so that an altered byte does not spoil the compression: only the checksum at the end tells.
    let archive = tar(&[member("a.txt", b'0', "content"), member("large", b'0', noise(200_000))]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&archive).unwrap();
    let mut altered = encoder.finish().unwrap();
    let at = altered.windows(7).position(|window| window == b"content").unwrap();
    altered[at] = b'k';
    assert_archive_refused(&altered, &[], 18, &["archive", "is refused"]);
}

#[test]
fn what_stands_behind_the_end_mark_is_refused() {
    // Two archives in one file: most readers see the first only.
    let (first, second) = (tar(&[member("a", b'0', "a")]), tar(&[member("b", b'0', "b")]));
    for both in [
        [first.clone(), second.clone()].concat(),
        [gzip(&first), gzip(&second)].concat(),
        [zstd(&first), zstd(&second)].concat(),
    ] {
        assert_archive_refused(&both, &[], 18, &["behind"]);
    }
    // Padding to whole records is usual.
    let mut padded = first;
    padded.resize(10_240, 0);
    for good in [gzip(&padded), padded] {
        assert_done(&unpack(&Volume::new(), &good, &[]));
    }
}

/// A zstd frame of one raw block (RFC 8878, section 3.1.1).
fn raw_frame(descriptor: u8, window: &[u8], content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, descriptor];
    frame.extend(window);
    frame.extend(&(u32::try_from(content.len()).unwrap() << 3 | 1).to_le_bytes()[..3]);
    frame.extend(content);
    frame
}

#[test]
fn a_zstd_window_is_limited() {
    let archive = tar(&[member("a.txt", b'0', "content")]);
    let window = |exponent: u8| raw_frame(0, &[exponent << 3], &archive);
    assert_done(&unpack(&Volume::new(), &window(7), &[]));
    for exponent in [17, 20, 31] {
        assert_archive_refused(&window(exponent), &[], 18, &["window"]);
    }
}

#[test]
fn a_zstd_window_is_limited_wherever_the_frame_starts() {
    // The second frame's header lies across a boundary of 64 KiB, where a reader's buffer may end.
    let archive = tar(&[member("a.bin", b'0', noise(70_000))]);
    for short in 1..6 {
        let (first, second) = archive.split_at(65_536 - 9 - short);
        let first = raw_frame(0, &[7 << 3], first);
        assert_eq!(first.len(), 65_536 - short);
        let good = [first.clone(), raw_frame(0, &[7 << 3], second)].concat();
        assert_done(&unpack(&Volume::new(), &good, &[]));
        // 80 MiB.
        let large = [first, raw_frame(0, &[16 << 3 | 2], second)].concat();
        assert_archive_refused(&large, &[], 18, &["window of 83886080 bytes"]);
    }
}

#[test]
fn a_zstd_checksum_has_to_hold() {
    let archive = tar(&[member("a.txt", b'0', "content")]);
    // Bit 2 of the descriptor: the low four bytes of XXH64 follow.
    let wrong = [raw_frame(4, &[7 << 3], &archive), vec![0xee; 4]].concat();
    assert_archive_refused(&wrong, &[], 18, &["checksum"]);
}

#[test]
fn a_bomb_is_told_by_its_ratio() {
    let bomb = tar(&[member("zeros", b'0', vec![0; (16 << 20) + 1])]);
    let packed = gzip(&bomb);
    for bomb in [&packed, &zstd(&bomb), &xz(&bomb), &bzip2(&bomb)] {
        assert_archive_refused(bomb, &[], 18, &["more than 200 times its size", "--max-ratio"]);
    }
    assert_done(&unpack(&Volume::new(), &packed, &["--max-ratio=2000"]));
    // Not even read, when its header says enough.
    let header = Header::new("zeros", b'0', 0).size(b"77777777777\0");
    assert_archive_refused(&gzip(&with(&header, b"")), &[], 18, &["more than 200 times its size"]);
}

#[test]
fn headers_without_members_are_counted() {
    let header = pax(&[("comment", &"c".repeat(1_000_000))]);
    let wide = |times: usize| {
        let mut all = header.repeat(times);
        all.extend(member("a", b'0', "a"));
        gzip(&tar(&[all]))
    };
    assert_done(&unpack(&Volume::new(), &wide(16), &[]));
    assert_archive_refused(&wide(17), &[], 18, &["headers have", "for 0 members"]);
    let labels = with(&Header::new("label", b'V', 0), b"").repeat(40_000);
    assert_archive_refused(&gzip(&tar(&[labels])), &[], 18, &["headers have"]);
    let label = with(&Header::new("label", b'V', 3), b"abc");
    assert_archive_refused(&gzip(&tar(&[label])), &[], 18, &["has content"]);
}

#[test]
fn bytes_and_entries_are_counted() {
    let archive = tar(&[
        member("a.txt", b'0', vec![b'a'; 600]),
        member("b.txt", b'0', vec![b'b'; 400]),
        link("twin.txt", b'1', "a.txt"),
    ]);
    for (limit, good) in [(999, false), (1000, true), (1001, true)] {
        let flag = format!("--max-bytes={limit}B");
        if good {
            assert_done(&unpack(&Volume::new(), &archive, &[&flag]));
        } else {
            assert_archive_refused(&archive, &[&flag], 14, &["more than 999 bytes", "--max-bytes"]);
        }
    }
    for (limit, good) in [(2, false), (3, true), (4, true)] {
        let flag = format!("--max-entries={limit}");
        if good {
            assert_done(&unpack(&Volume::new(), &archive, &[&flag]));
        } else {
            assert_archive_refused(&archive, &[&flag], 14, &["more than 2", "--max-entries"]);
        }
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    for (bytes, flags) in [
        (b"<!doctype html><title>Sign in</title>".to_vec(), [].as_slice()),
        (Vec::new(), &[]),
        (noise(2000), &[]),
        (vec![0; 2000], &[]),
        (gzip(b"no tar"), &["--unpack=tar.gz"]),
        (zstd(b"no tar"), &["--unpack=tar.zst"]),
        (noise(2000), &["--unpack=zip"]),
        (noise(2000), &["--unpack=tar"]),
        (noise(2000), &["--unpack=tar.gz"]),
        (noise(2000), &["--unpack=tar.zst"]),
    ] {
        assert_archive_refused(&bytes, flags, 18, &[]);
    }
}
