//! Archives: listed strictly before anything is unpacked, unpacked only as listed.
//!
//! The walkers are ours because the refusals are: a name spelled in two ways, two headers that disagree, members that overlap and
//! names that come twice are what an attack on the next reader looks like, and libraries repair or merge them.

pub mod tar;
pub mod zip;

mod decode;
mod gzip;
mod kind;
mod leniency;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

pub(crate) use decode::{Packing, decoder};
pub(crate) use kind::{Format, Unpack, unpacked_name};
pub(crate) use leniency::Accept;
pub use leniency::Leniency;

use crate::error::{Error, NO_SPACE, UNSAFE};

/// What is wrong with an archive, with the member if it is about one.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Cut short, or not what its headers say.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Well-formed, and an attack or a mistake.
    #[error("it is not safe: {0}")]
    Unsafe(String),
    /// Something that is not read here.
    #[error("it cannot be unpacked: {0}")]
    Unsupported(String),
    /// The file itself cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// One member as the walkers find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Of normal components only, unless it is unfit.
    pub path: PathBuf,
    /// File, directory or link.
    pub kind: MemberKind,
    /// Bytes when unpacked; 0 for all but files, unfit ones too.
    pub size: u64,
    /// Some of its zeros are holes.
    pub sparse: bool,
    /// Permission bits.
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub modified: i64,
}

impl Member {
    /// A file with nothing said about it but its size.
    pub(crate) fn file(path: PathBuf, size: u64) -> Self {
        Self {
            path,
            kind: MemberKind::File,
            size,
            sparse: false,
            mode: 0o644,
            modified: 0,
        }
    }

    /// What is listed by name only.
    fn unfit(name: &[u8], size: u64, why: &Refused) -> Self {
        Self {
            kind: MemberKind::Unfit(why.to_string()),
            ..Self::file(OsStr::from_bytes(name).into(), size)
        }
    }
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link with this content, which may lead anywhere.
    Link(Vec<u8>),
    /// Another name of an earlier file.
    Hard(PathBuf),
    /// Such as a device, or what has a name that is refused, and why.
    Unfit(String),
}

/// Without permission bits of its own, a file is this.
pub(crate) const FILE_MODE: u32 = 0o644;
/// And a directory this.
pub(crate) const DIR_MODE: u32 = 0o755;

/// An archive whose members have been listed.
#[derive(Debug)]
pub(crate) enum Archive {
    Zip(zip::Zip),
    Tar {
        file: File,
        packing: Packing,
    },
    /// One file by itself.
    File {
        file: File,
        packing: Packing,
    },
}

/// How far an archive is believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Of all members together, bytes.
    pub(crate) bytes: u64,
    /// Of unpacked to packed.
    pub(crate) ratio: u32,
}

/// Below this an archive may have any ratio: a file of zeros is no attack yet.
const HARMLESS: u64 = 16 << 20;

/// Counts what a list of members amounts to.
#[derive(Debug)]
pub(crate) struct Account {
    limits: Limits,
    packed: u64,
    unpacked: u64,
}

impl Account {
    pub(crate) fn new(limits: Limits, packed: u64) -> Self {
        Self {
            limits,
            packed,
            unpacked: 0,
        }
    }

    /// Takes one more member, or says why the archive is refused.
    pub(crate) fn add(&mut self, label: &str, size: u64) -> Result<(), Error> {
        self.unpacked = self.unpacked.saturating_add(size);
        if self.unpacked > self.limits.bytes {
            return Err(Error::new(
                NO_SPACE,
                format!("{label} unpacks to more than {} bytes", self.limits.bytes),
                "raise --max-bytes if the archive is meant to be that large",
            ));
        }
        let allowed = self.packed.saturating_mul(u64::from(self.limits.ratio));
        if self.unpacked > HARMLESS && self.unpacked > allowed {
            return Err(Error::new(
                UNSAFE,
                format!("{label} unpacks to more than {} times its size", self.limits.ratio),
                "this is what a decompression bomb looks like; raise --max-ratio if it is not one",
            ));
        }
        Ok(())
    }
}

/// The error of a refused archive.
pub(crate) fn refused(label: &str, why: &Refused) -> Error {
    let remedy = match why {
        Refused::Damaged(_) => "get the archive again, and give its digest with --sha256",
        Refused::Unsafe(_) => "find out who made this archive, and why",
        Refused::Unsupported(_) => "pack it anew as zip (stored, deflate, zstd) or as a tar",
        Refused::Io(_) => "",
    };
    Error::new(UNSAFE, format!("archive {label} is refused: {why}"), remedy)
}

/// What can go wrong while unpacking: on either side.
#[derive(Debug)]
pub(crate) enum Unpacking {
    Refused(Refused),
    Failed(Error),
}

impl Unpacking {
    pub(crate) fn explain(self, label: &str) -> Error {
        match self {
            Self::Refused(why) => refused(label, &why),
            Self::Failed(error) => error,
        }
    }
}

impl From<Refused> for Unpacking {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

impl From<Error> for Unpacking {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_told_by_bytes_and_by_ratio() {
        let limits = Limits {
            bytes: 1 << 30,
            ratio: 100,
        };
        for (packed, unpacked, good) in [
            (1, HARMLESS, true),
            (1, HARMLESS + 1, false),
            (1 << 20, 100 << 20, true),
            (1 << 20, (100 << 20) + 1, false),
            (1 << 30, 1 << 30, true),
            (1 << 30, (1 << 30) + 1, false),
        ] {
            let mut account = Account::new(limits, packed);
            assert_eq!(
                account
                    .add("x", unpacked - 1)
                    .and_then(|()| account.add("x", 1))
                    .is_ok(),
                good,
                "{packed} {unpacked}"
            );
        }
    }
}
