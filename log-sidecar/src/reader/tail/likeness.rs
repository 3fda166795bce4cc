//! Whether a file is still what it was, and whether another one is the same, or a copy.

use std::fs::File;
use std::path::Path;

use super::{Tail, pread_at};
use crate::discover::is_rotation_of;
use crate::identity::{Evidence, GUARD, HEAD};
use crate::reader::archive::Unpacked;

/// What a young rotated file is to a file that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::reader) enum Likeness {
    Stranger,
    /// Equal so far: `copytruncate` makes the copy first and truncates then.
    Twin,
}

impl Tail {
    /// Is what it goes by, and will be compared with, what `evidence` was taken of? What a file holds may be another thing a moment later.
    pub(in crate::reader) fn holds(&self, evidence: &Evidence) -> bool {
        Evidence::of(&self.head, &self.guard) == *evidence
    }

    /// Was it truncated, and nobody has noticed yet?
    pub(in crate::reader) fn is_cut(&self) -> bool {
        self.size() < self.position
    }

    /// The same, also if it has been written anew beyond where it was read to.
    pub(in crate::reader) fn is_changed(&self) -> bool {
        let length = self.guard.len() as u64;
        self.is_cut()
            || self
                .pread(self.position - length, length)
                .is_ok_and(|bytes| bytes != self.guard)
    }

    /// Compares `file`, `size` bytes long, with this one as it is now: its head, and the end of the shorter one.
    pub(in crate::reader) fn likeness(&self, file: &File, size: u64) -> Likeness {
        let end = size.min(self.size());
        let start = end.saturating_sub(GUARD);
        let same = |from: u64, length: u64| {
            let (a, b) = (pread_at(file, from, length), pread_at(&self.file, from, length));
            matches!((a, b), (Ok(a), Ok(b)) if a == b)
        };
        // A copy cannot be longer than what it is a copy of.
        if size <= self.size() && same(0, end.min(HEAD)) && same(start, end - start) {
            Likeness::Twin
        } else {
            Likeness::Stranger
        }
    }

    /// Is this the file that is written to now, as far as its name tells?
    pub(in crate::reader) fn is_in_use(&self) -> bool {
        self.matched && self.exists
    }

    /// Does what begins an archive begin this file, too?
    pub(in crate::reader) fn begins_like(&self, unpacked: &Unpacked) -> bool {
        let length = self.size().min(unpacked.head.len() as u64);
        length > 0 && self.pread(0, length).is_ok_and(|head| head == unpacked.head_of(length))
    }

    /// Does what was unpacked of an archive begin as this file does, and end as it does there?
    pub(in crate::reader) fn is_like(&self, unpacked: &Unpacked) -> bool {
        let (at, guard) = (unpacked.position, unpacked.guard.len() as u64);
        let head = self.pread(0, at.min(HEAD));
        head.is_ok_and(|head| head == unpacked.head_of(at))
            && self.pread(at - guard, guard).is_ok_and(|bytes| bytes == unpacked.guard)
    }
}

/// May what stands at `path` be a copy of what was read of `own` up to `offset`? A short file says what many say, so its name has to
/// speak for it.
pub(in crate::reader) fn may_be_copy(own: &Path, offset: u64, path: &Path) -> bool {
    offset > HEAD || own == path || is_rotation_of(own, path)
}
