use super::zip_writer::{Lies, Member, end_record, zip};
use super::{assert_archive_refused, noise, unpack};
use crate::{Volume, assert_done};

/// What is said wrongly, and how it is called.
type Lie<T> = (fn(&mut T), &'static str);

/// Every one is refused, and so is all that comes with it.
#[track_caller]
fn refused(members: &[Member], word: &str) {
    let all = [
        &[Member::file("good.txt", "good")],
        members,
        &[Member::file("last.txt", "last")],
    ]
    .concat();
    assert_archive_refused(&zip(&all), &[], 18, &["archive", word]);
}

#[test]
fn every_spelling_of_a_place_outside_is_refused() {
    for (name, word) in [
        ("../evil", "component .."),
        ("a/../../b", "component .."),
        ("a/../b", "component .."),
        ("..", "component .."),
        ("../", "component .."),
        ("/etc/evil", "absolute path"),
        ("//evil", "absolute path"),
        ("..\\evil", "backslash"),
        ("a\\..\\..\\b", "backslash"),
        ("\\evil", "backslash"),
        ("evil\0.txt", "control character"),
        ("evil\n", "control character"),
        (".", "it is empty"),
        ("", "it is empty"),
    ] {
        refused(&[Member::file(name, "")], word);
    }
    refused(&[Member::file("n".repeat(256), "")], "too long");
    refused(&[Member::file("n/".repeat(2100) + "n", "")], "too long");
}

#[test]
fn links_that_lead_outside_are_refused() {
    for to in ["/etc/passwd", "..", "../x", "a/../../x", "./../x"] {
        refused(&[Member::link("link", to)], "leads out of");
    }
    refused(&[Member::link("a/link", "../../x")], "leads out of");
    refused(&[Member::link("link", "")], "leads nowhere");
    refused(&[Member::link("link", &"x".repeat(4096))], "4096 bytes");
}

#[test]
fn nothing_is_unpacked_through_a_link() {
    for members in [
        [Member::link("dir", "other"), Member::file("dir/evil", "x")],
        [Member::file("dir/evil", "x"), Member::link("dir", "other")],
        [Member::link("dir", "."), Member::link("dir/dir", "x")],
    ] {
        refused(&members, "both become");
    }
}

#[test]
fn a_link_that_leads_outside_by_way_of_another_is_refused() {
    refused(
        &[Member::link("a/b/up", "../.."), Member::link("a/out", "b/up/../secret")],
        "leads out of",
    );
}

#[test]
fn one_name_is_for_one_member() {
    refused(&[Member::file("a", "1"), Member::file("a", "2")], "both become");
    refused(&[Member::file("a", "1"), Member::file("./a", "2")], "both become");
    refused(&[Member::file("a", "1"), Member::file("a/", "")], "both become");
    refused(&[Member::file("a", "1"), Member::file("a/b", "2")], "both become");
}

#[test]
fn devices_and_pipes_are_refused() {
    for kind in [0o010_000, 0o020_000, 0o060_000, 0o140_000] {
        refused(&[Member::file("special", "").with_mode(kind | 0o644)], "is a device");
    }
    refused(
        &[Member::file("dir", "").with_mode(0o040_755)],
        "directory by its mode only",
    );
    refused(&[Member::file("dir/", "content")], "has content");
}

#[test]
fn two_headers_that_disagree_are_refused() {
    let lies: [Lie<Lies>; 7] = [
        (|l| l.name = Some(b"b.txt".to_vec()), "about its name"),
        (|l| l.method = Some(0), "about its compression"),
        (|l| l.size = Some(1), "about its size"),
        (|l| l.compressed = Some(1), "about its size"),
        (|l| l.crc = Some(1), "about its checksum"),
        (|l| l.flags = Some(1 << 3), "about its flags"),
        (|l| l.flags = Some(1), "about its flags"),
    ];
    for (lie, word) in lies {
        refused(&[Member::deflated("a.txt", "content").but(|m| lie(&mut m.local))], word);
    }
}

#[test]
fn what_the_headers_say_has_to_hold() {
    let lies: [Lie<Member>; 8] = [
        (|m| m.crc = Some(1), "wrong checksum"),
        (|m| m.size = Some(6), "longer than its header says"),
        (|m| m.size = Some(8), "shorter than its header says"),
        (|m| m.flags = 1, "is encrypted"),
        (|m| m.flags = 1 << 13, "is encrypted"),
        (|m| m.method = Some(12), "compression method 12"),
        (|m| m.method = Some(93), "does not decompress"),
        (|m| m.method = Some(99), "compression method 99"),
    ];
    for (lie, word) in lies {
        refused(&[Member::deflated("a.txt", "content").but(lie)], word);
    }
    let stored: [Lie<Member>; 3] = [
        (|m| m.crc = Some(1), "wrong checksum"),
        (|m| m.size = Some(8), "stored and has two sizes"),
        (|m| m.method = Some(8), "does not decompress"),
    ];
    for (lie, word) in stored {
        refused(&[Member::file("a.txt", "this is no deflate stream").but(lie)], word);
    }
}

#[test]
fn members_that_overlap_are_refused() {
    // Listed in the directory, and the local header is that of another.
    let at = |member: Member, offset: u32| {
        member.but(|m| {
            m.central.offset = Some(offset);
            m.without_local = true;
        })
    };
    let first = Member::deflated("a.txt", noise(100));
    let archive = zip(&[first.clone(), at(first, 0)]);
    assert_archive_refused(&archive, &[], 18, &["overlap"]);

    // A member inside the data of another (David Fifield, "A better zip bomb", 2019).
    let inner = Member::deflated("inner.txt", "inner");
    let outer = Member::file("outer.bin", inner.local());
    let archive = zip(&[outer, at(inner, 30 + 9)]);
    assert_archive_refused(&archive, &[], 18, &["overlap"]);

    // Data that reaches into the directory.
    let reaching = Member::file("a.txt", "content").but(|m| long(m, 60));
    assert_archive_refused(&zip(&[reaching]), &[], 18, &["overlap"]);
}

/// Both headers say so.
fn long(member: &mut Member, size: u32) {
    for lies in [&mut member.local, &mut member.central] {
        (lies.size, lies.compressed) = (Some(size), Some(size));
    }
}

#[test]
fn a_zip_with_two_directories_is_refused() {
    let (first, second) = (
        zip(&[Member::file("a.txt", "first")]),
        zip(&[Member::file("a.txt", "second")]),
    );
    // The comment of the first archive is the whole second one: both end records reach the end of the file.
    let mut both = first;
    let length = both.len();
    both[length - 2..].copy_from_slice(&u16::try_from(second.len()).unwrap().to_le_bytes());
    both.extend(second);
    assert_archive_refused(&both, &[], 18, &["two end records"]);
}

#[test]
fn an_end_record_that_lies_is_refused() {
    let archive = zip(&[Member::file("a.txt", "a"), Member::file("b.txt", "b")]);
    let end = archive.len() - 22;
    let directory = u32::from_le_bytes(archive[end + 16..end + 20].try_into().unwrap()) as usize;
    let length = end - directory;
    for (count, length, at, word) in [
        (1, length, directory, "more members than its end record says"),
        (3, length, directory, "ends inside a member"),
        (2, length, directory + 1, "not where its end record says"),
        (2, end + 1, 0, "longer than the file"),
        (2, length - 1, directory, ""),
        (2, length + 1, directory - 1, ""),
    ] {
        let lying = [&archive[..end], &end_record(count, length, at)].concat();
        assert_archive_refused(&lying, &[], 18, &[word]);
    }
    for disk in [4, 6] {
        let mut split = archive.clone();
        split[end + disk] = 1;
        assert_archive_refused(&split, &[], 18, &["several files"]);
    }
}

#[test]
fn an_offset_or_a_size_beyond_measure_is_refused() {
    let good = Member::file("a.txt", "a");
    let far = |offset| good.clone().but(|m| m.central.offset = Some(offset));
    refused(&[far(0x7fff_ffff)], "cut short");
    refused(&[far(1)], "not where the directory says");
    refused(
        &[good.clone().but(|m| long(m, u32::MAX - 1))],
        "more than 200 times its size",
    );
    // All ones stand for the 64-bit field, and there is none.
    refused(
        &[good.but(|m| m.central.size = Some(u32::MAX))],
        "64-bit size is missing",
    );
}

#[test]
fn a_bomb_is_told_by_its_ratio() {
    // Up to 16 MiB any ratio is harmless.
    let harmless = zip(&[Member::deflated("zeros", vec![0; 16 << 20])]);
    assert_done(&unpack(&Volume::new(), &harmless, &[]));
    let bomb = zip(&[Member::deflated("zeros", vec![0; (16 << 20) + 1])]);
    assert_archive_refused(&bomb, &[], 18, &["more than 200 times its size", "--max-ratio"]);
    assert_done(&unpack(&Volume::new(), &bomb, &["--max-ratio=2000"]));
    // A size that lies is found out when it is unpacked.
    let liar = Member::deflated("zeros", vec![0; 1 << 20]).but(|m| m.size = Some(100));
    refused(&[liar], "longer than its header says");
}

#[test]
fn bytes_and_entries_are_counted() {
    let archive = zip(&[
        Member::deflated("a.txt", vec![b'a'; 600]),
        Member::file("b.txt", vec![b'b'; 400]),
        Member::file("dir/", ""),
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
