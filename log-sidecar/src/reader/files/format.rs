//! What a file is by how it begins, whatever its name says.

use std::fs::File;
use std::io;

use crate::reader::tail::pread_at;

const GZIP: &[u8] = b"\x1f\x8b";
/// How other compressed files begin: xz, zstd, lz4, zip.
const OTHERS: [&[u8]; 4] = [b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"PK\x03\x04"];
const LONGEST_MAGIC: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Nothing is in it yet.
    Empty,
    Text,
    Gzip,
    /// Compressed by something else.
    Packed,
}

impl Format {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let start = pread_at(file, 0, LONGEST_MAGIC)?;
        Ok(if start.is_empty() {
            Self::Empty
        } else if start.starts_with(GZIP) {
            Self::Gzip
        } else if OTHERS.iter().any(|magic| start.starts_with(magic)) || is_bzip2(&start) {
            Self::Packed
        } else {
            Self::Text
        })
    }
}

/// A line of text may well begin with the first letters of it.
fn is_bzip2(start: &[u8]) -> bool {
    start.starts_with(b"BZh") && start.get(4..10) == Some(b"1AY&SY".as_slice())
}

/// Does what was unpacked begin an archive of files? Format: POSIX ustar, whose magic stands in the header of the first file.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar".as_slice())
}
