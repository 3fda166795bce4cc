//! Archives: what is unpacked, and what is refused before anything of it is visible.

pub(crate) mod tar_writer;
mod zip_writer;

mod changes;
mod one_file;
mod refused_tars;
mod refused_zips;
mod tars;
mod truncated;
mod zips;

use std::fs;
use std::io::Write as _;
use std::process::Output;

use testbed::process::run;

use crate::{BIN, Volume, assert_refused, text};

/// Unpacks `archive` into the destination.
fn unpack(volume: &Volume, archive: &[u8], flags: &[&str]) -> Output {
    fs::write(volume.source("archive"), archive).unwrap();
    unpack_again(volume, flags)
}

fn unpack_again(volume: &Volume, flags: &[&str]) -> Output {
    let (source, dest) = (text(&volume.source("archive")), text(&volume.dest("")));
    let mut own = vec!["--durability=none"];
    if !flags.iter().any(|flag| flag.starts_with("--unpack")) {
        own.push("--unpack");
    }
    own.extend(flags);
    own.extend([source.as_str(), &dest]);
    run(BIN, &own)
}

/// Refused with this code and reason, and nothing of it is to be seen.
#[track_caller]
fn assert_archive_refused(archive: &[u8], flags: &[&str], code: i32, words: &[&str]) {
    let volume = Volume::new();
    let output = unpack(&volume, archive, flags);
    assert_refused(&output, code, words);
    assert!(volume.names().is_empty(), "{:?}", volume.names());
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Text that does not compress to nothing.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}
