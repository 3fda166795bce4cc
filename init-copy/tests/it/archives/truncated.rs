use std::fs;

use testbed::process::code_and_stderr;

use super::tar_writer::{member, tar};
use super::zip_writer::{Member, zip, zip64};
use super::{bzip2, gzip, noise, unpack, xz, zstd};
use crate::Volume;

/// Cut anywhere, it is refused; or nothing of its content was cut off, and then all of it is there.
#[track_caller]
fn assert_no_cut_goes_unnoticed(name: &str, archive: &[u8], lengths: impl Iterator<Item = usize>) {
    for length in lengths {
        let volume = Volume::new();
        let output = unpack(&volume, &archive[..length], &[&format!("--unpack={name}")]);
        let shown = format!(
            "{name} cut to {length} of {}: {:?}",
            archive.len(),
            code_and_stderr(&output)
        );
        if output.status.success() {
            assert_eq!(volume.names(), ["a.txt", "b.bin", "c.txt"], "{shown}");
            assert_eq!(fs::read(volume.dest("b.bin")).unwrap(), noise(1500), "{shown}");
        } else {
            assert_eq!(output.status.code(), Some(18), "{shown}");
            assert!(volume.names().is_empty(), "{shown}");
        }
    }
}

fn plain() -> Vec<u8> {
    tar(&[
        member("a.txt", b'0', "a"),
        member("b.bin", b'0', noise(1500)),
        member("c.txt", b'0', "c"),
    ])
}

#[test]
fn a_zip_cut_short_is_refused() {
    let members = [
        Member::file("a.txt", "a"),
        Member::deflated("b.bin", noise(1500)),
        Member::file("c.txt", "c"),
    ];
    for archive in [zip(&members), zip64(&members)] {
        let end = archive.len();
        assert_no_cut_goes_unnoticed("zip", &archive, (0..end - 30).step_by(53).chain(end - 30..end));
    }
}

#[test]
fn a_compressed_tar_cut_short_is_refused() {
    for (name, archive) in [
        ("tar.gz", gzip(&plain())),
        ("tar.zst", zstd(&plain())),
        ("tar.xz", xz(&plain())),
        ("tar.bz2", bzip2(&plain())),
    ] {
        let end = archive.len();
        assert_no_cut_goes_unnoticed(name, &archive, (0..end - 16).step_by(89).chain(end - 16..end));
    }
}

#[test]
fn a_tar_cut_short_inside_a_member_is_refused() {
    let archive = plain();
    let inside = (1..archive.len()).step_by(119).filter(|length| length % 512 != 0);
    assert_no_cut_goes_unnoticed("tar", &archive, inside);
}

#[test]
fn a_tar_cut_short_between_two_members_is_refused() {
    let archive = plain();
    assert_no_cut_goes_unnoticed("tar", &archive, (0..archive.len()).step_by(512));
    for (name, pack) in [("tar.gz", gzip as fn(&[u8]) -> Vec<u8>), ("tar.zst", zstd)] {
        // The tar was cut before it was compressed: only its end mark tells.
        for length in (0..archive.len() - 1024).step_by(512) {
            let packed = pack(&archive[..length]);
            assert_no_cut_goes_unnoticed(name, &packed, std::iter::once(packed.len()));
        }
    }
}
