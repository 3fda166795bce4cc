//! What makes a file the same file: evidence, never its path.
//!
//! Inode numbers are reused within moments (ext4 does), so birth time, the head of the file and the bytes before the offset have to
//! agree too before reading goes on where it ended.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use pod_contract::units::hex;
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, StatxTimestamp, statx};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The head that is remembered, bytes.
pub(crate) const HEAD: u64 = 1024;
/// The bytes before the offset that are remembered.
pub(crate) const GUARD: u64 = 64;

/// A file as the kernel knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Inode {
    device: u64,
    number: u64,
    /// Birth, nanoseconds since 1970; 0 where the file system does not know it.
    born: i64,
}

impl Inode {
    /// Of an open file.
    pub(crate) fn of(file: &File) -> std::io::Result<Self> {
        Ok(Self::from(&statx(file, "", AtFlags::EMPTY_PATH, wanted())?))
    }

    /// Did it come into being at `time` (nanoseconds since 1970) or later? False where birth is not known.
    pub(crate) fn is_born_since(&self, time: i64) -> bool {
        self.born != 0 && self.born >= time
    }

    /// What stays when the volume gets another device number, as after a reboot of the node. Without a birth, that is not enough to
    /// know a file by: two volumes may well have one of this number.
    pub(crate) fn lasting(&self) -> Lasting {
        let device = if self.born == 0 { self.device } else { 0 };
        (device, self.number, self.born)
    }
}

/// A file as it is known from one run to the next.
pub(crate) type Lasting = (u64, u64, i64);

/// A regular file as it was at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) inode: Inode,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written to last, nanoseconds since 1970.
    pub(crate) modified: i64,
}

impl Seen {
    /// The regular file behind `path`, links followed; `None` for anything else.
    pub(crate) fn at(path: &Path) -> std::io::Result<Option<Self>> {
        let stat = statx(CWD, path, AtFlags::empty(), wanted())?;
        let regular = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile;
        Ok(regular.then(|| Self {
            inode: Inode::from(&stat),
            size: stat.stx_size,
            modified: nanos(&stat.stx_mtime),
        }))
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

fn nanos(time: &StatxTimestamp) -> i64 {
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(time.tv_nsec))
}

impl From<&Statx> for Inode {
    fn from(stat: &Statx) -> Self {
        Self {
            device: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            number: stat.stx_ino,
            born: nanos(&stat.stx_btime),
        }
    }
}

/// The name of a file's content towards the sink; part of every record's id. A truncated file gets the next generation.
pub(crate) fn content_id(scope: &str, inode: &Inode, generation: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(scope);
    if inode.born == 0 {
        // Two volumes may well have a file of this number.
        hash.update(inode.device.to_be_bytes());
    }
    hash.update(inode.number.to_be_bytes());
    hash.update(inode.born.to_be_bytes());
    hash.update(generation.to_be_bytes());
    hex(&hash.finalize()[..12])
}

/// Digests of the file's head and of the bytes before an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Evidence {
    head: Digest,
    guard: Digest,
}

impl Evidence {
    /// Of nothing: agrees with any file.
    pub(crate) fn none() -> Self {
        Self::of(&[], &[])
    }

    /// Of bytes that were read: the first of a file, and the last before an offset.
    pub(crate) fn of(head: &[u8], guard: &[u8]) -> Self {
        Self {
            head: Digest::of(head),
            guard: Digest::of(guard),
        }
    }

    /// Of what `file` holds before `offset`.
    pub(crate) fn take(file: &File, offset: u64) -> std::io::Result<Self> {
        let head = read_exact(file, 0, offset.min(HEAD))?;
        let start = offset.saturating_sub(GUARD);
        let guard = read_exact(file, start, offset - start)?;
        Ok(Self::of(&head, &guard))
    }

    /// What a file is known by that was read to `offset`: so many bytes, and evidence of them. Of nothing, there is none; then it is how
    /// it `begins`.
    pub(crate) fn deciding<'e>(offset: u64, evidence: &'e Self, begins: Option<&'e (u64, Self)>) -> (u64, &'e Self) {
        match begins {
            Some((length, beginning)) if offset == 0 => (*length, beginning),
            _ => (offset, evidence),
        }
    }

    /// Is it of a file that begins with `head`? That has to be as long as what it was taken of, or [`HEAD`].
    pub(crate) fn has_head(&self, head: &[u8]) -> bool {
        self.head == Digest::of(head)
    }

    /// Does `file` still hold the same before `offset`? A shorter file does not.
    pub(crate) fn agrees(&self, file: &File, offset: u64) -> bool {
        Self::take(file, offset).is_ok_and(|now| now == *self)
    }
}

fn read_exact(file: &File, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// The first half of a SHA-256; in hexadecimal digits where it is written. Small, since thousands of files have some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
struct Digest([u8; 16]);

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
        Self(digest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_whole = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digest = u128::from_str_radix(&text, 16).ok().filter(|_| is_whole);
        let digest = digest.ok_or_else(|| format!("{text:?} is no digest"))?;
        Ok(Self(digest.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn evidence_holds_while_the_file_only_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, "x".repeat(3000)).unwrap();
        let evidence = Evidence::take(&File::open(&path).unwrap(), 2000).unwrap();
        let agrees = |content: String| {
            fs::write(&path, content).unwrap();
            evidence.agrees(&File::open(&path).unwrap(), 2000)
        };
        assert!(agrees("x".repeat(2000)));
        assert!(!agrees("x".repeat(1999)), "shorter than the offset");
        assert!(!agrees("y".to_owned() + &"x".repeat(2999)), "another head");
        assert!(
            !agrees("x".repeat(1999) + &"y".repeat(1001)),
            "other bytes before the offset"
        );
        assert!(agrees("x".repeat(2000) + &"y".repeat(9)), "what comes after is new");
    }

    #[test]
    fn an_id_changes_with_scope_inode_and_generation() {
        let file = tempfile::tempfile().unwrap();
        let inode = Inode::of(&file).unwrap();
        let other = Inode {
            born: inode.born + 1,
            ..inode
        };
        let ids = [
            content_id("p", &inode, 0),
            content_id("q", &inode, 0),
            content_id("p", &other, 0),
            content_id("p", &inode, 1),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(ids[0], content_id("p", &inode, 0));
    }
}
