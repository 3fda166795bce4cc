//! How a file looks without being read.

use std::fmt;

use rustix::fs::Stat;

/// What changes when a file does: inode, size, times of modification and status change (nanoseconds since 1970).
/// No user can set the time of the status change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    inode: u64,
    pub(crate) size: u64,
    pub(crate) modified: i64,
    changed: i64,
}

impl Fingerprint {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            modified: nanos(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            changed: nanos(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
        }
    }

    /// Is it how that file looks `now`? Without a time of its status change, that time is not asked for.
    pub(crate) fn is(self, now: Self) -> bool {
        let changed = if self.changed == 0 { now.changed } else { self.changed };
        Self { changed, ..self } == now
    }

    /// Is it of the same file, however that looks?
    pub(crate) fn is_of_file(self, other: Self) -> bool {
        self.inode == other.inode
    }

    /// Without the time of the status change, which also moves when a file gets or loses a name.
    pub(crate) fn with_any_name(self) -> Self {
        Self { changed: 0, ..self }
    }

    /// Of something that is no file of its own, such as an entry of an archive.
    pub(crate) fn within(size: u64, modified: i64) -> Self {
        Self {
            inode: 0,
            size,
            modified,
            changed: 0,
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.inode, self.size, self.modified, self.changed)
    }
}

impl From<(u64, u64, i64, i64)> for Fingerprint {
    fn from((inode, size, modified, changed): (u64, u64, i64, i64)) -> Self {
        Self {
            inode,
            size,
            modified,
            changed,
        }
    }
}

/// Until the year 2262.
pub(crate) fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}
