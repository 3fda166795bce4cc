//! How a file looks without being read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

/// What changes when a file does. Times are nanoseconds since 1970; no user can set the time of the status change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    inode: u64,
    size: u64,
    modified: i128,
    changed: i128,
}

impl Fingerprint {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            size: meta.size(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }

    pub(crate) fn of_stat(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            modified: nanos(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            changed: nanos(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
        }
    }
}

fn nanos(seconds: i64, nanos: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}
