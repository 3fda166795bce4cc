//! Zip, and what is one under another name: WAR, JAR, EAR.
//!
//! Source: PKWARE APPNOTE 6.3.10. The central directory is the truth, and every local header has to agree with it; members are
//! stored or deflated, do not overlap, and are not encrypted.

mod directory;
mod extract;
mod fields;

use std::fs::File;

pub use directory::walk;

use super::{Leniency, Member, Refused};

/// A file or a slice of bytes, read anywhere.
pub trait ReadAt {
    /// Fills `buf` from `at`; an end before that is an error.
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> std::io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buf, at)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> std::io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let found = start.checked_add(buf.len()).and_then(|end| self.get(start..end));
        buf.copy_from_slice(found.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Where a member's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Of the local header.
    header: u64,
    /// Of the compressed bytes.
    data: u64,
    compressed: u64,
    /// When unpacked.
    size: u64,
    crc: u32,
    method: Method,
}

/// How a member's bytes are packed (APPNOTE 4.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
    Zstd,
}

impl Method {
    fn of(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Stored),
            8 => Some(Self::Deflated),
            93 => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl Slot {
    /// Where the member lies: from its local header to the end of its compressed bytes.
    pub fn bytes(&self) -> std::ops::Range<u64> {
        self.header..self.data.saturating_add(self.compressed)
    }
}

/// Unpacks the member at `slot`, which [`walk`] gave for the same `zip`, into `sink`, piece by piece.
///
/// `sink` never gets more bytes than the directory announces. Fails with [`Refused::Unsafe`] when there would be more, and with
/// [`Refused::Damaged`] when there are fewer, or their checksum is another: what `sink` took is to be believed after that only.
pub fn unpack<R: ReadAt + ?Sized, E: From<Refused>>(
    zip: &R,
    slot: &Slot,
    sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    extract::member(zip, slot, &mut Scratch::default(), sink)
}

/// A zip that has been listed.
#[derive(Debug)]
pub(crate) struct Zip {
    file: File,
    slots: Vec<Slot>,
}

impl Zip {
    /// Lists `file`, and gives each member with its number to `visit`.
    pub(crate) fn list<E: From<Refused>>(
        file: File,
        leniency: Leniency,
        mut visit: impl FnMut(u32, Member) -> Result<(), E>,
    ) -> Result<Self, E> {
        let size = file.metadata().map_err(Refused::Io)?.len();
        let mut slots = Vec::new();
        walk(&file, size, leniency, |member, slot| {
            slots.push(slot);
            visit(u32::try_from(slots.len()).unwrap_or(u32::MAX), member)
        })?;
        Ok(Self { file, slots })
    }

    /// Unpacks a member, by the number that [`Zip::list`] gave it, into `write`.
    pub(crate) fn extract<E: From<Refused>>(
        &self,
        number: u32,
        scratch: &mut Scratch,
        write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let slot = self.slots[number as usize - 1];
        extract::member(&self.file, &slot, scratch, write)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

pub(crate) use extract::Scratch;

/// Is there a central directory? A zip may begin with something else, such as a start script.
pub(crate) fn has_directory(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| directory::is_there(file, meta.len()))
}

/// Little-endian numbers at fixed places.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn damaged(why: &str) -> Refused {
    Refused::Damaged(why.to_owned())
}

/// Reading past the end means that a header lied, not that the disk fails.
fn read<R: ReadAt + ?Sized>(zip: &R, length: usize, at: u64) -> Result<Vec<u8>, Refused> {
    let mut bytes = vec![0; length];
    match zip.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(damaged("it is cut short")),
        Err(e) => Err(Refused::Io(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zip with one symbolic link: `blocks` empty deflate blocks, then one with `to`.
    fn link(blocks: usize, to: &[u8]) -> Vec<u8> {
        let last = [&[1, to.len() as u8, 0, !to.len() as u8, 0xff], to].concat();
        let data = [[0, 0, 0, 0xff, 0xff].repeat(blocks), last].concat();
        let mut shared = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
        shared.extend(crc32fast::hash(to).to_le_bytes());
        shared.extend((data.len() as u32).to_le_bytes());
        shared.extend((to.len() as u32).to_le_bytes());
        shared.extend([1, 0, 0, 0]);
        let local = [b"PK\x03\x04", &*shared, b"l", &data].concat();
        let attributes = (0o120_777_u32 << 16).to_le_bytes();
        let central = [b"PK\x01\x02\x14\x03", &*shared, &[0; 6], &attributes, &[0; 4], b"l"].concat();
        let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
        end.extend((central.len() as u32).to_le_bytes());
        end.extend((local.len() as u32).to_le_bytes());
        [local, central, end, vec![0; 2]].concat()
    }

    #[test]
    fn a_link_of_empty_blocks_is_not_read() {
        for (packed, to, good) in [(8189, 4, true), (8190, 5, true), (8191, 6, false)] {
            let zip = link(1636, &b"target"[..to]);
            let mut slots = Vec::new();
            let walked = walk(zip.as_slice(), zip.len() as u64, Leniency::default(), |_, slot| {
                slots.push(slot);
                Ok::<(), Refused>(())
            });
            assert_eq!(walked.is_ok(), good, "{packed}: {walked:?}");
            assert_eq!(slots.iter().map(|slot| slot.compressed).sum::<u64>() == packed, good);
        }
    }
}
