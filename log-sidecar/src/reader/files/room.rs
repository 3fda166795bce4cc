//! How many files may be open, and how much of what is deleted is held.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::Files;
use super::memory::Known;
use crate::reader::tail::Tail;
use crate::reader::trouble::Trouble;

/// Open files that are no log files.
const RESERVED_FILES: usize = 32;

impl Files {
    pub(super) fn open_files(&self) -> usize {
        self.tails.len() + self.archives.len() + self.growing.len() + self.young.len()
    }

    /// Files wait to be opened until others are read.
    pub(in crate::reader) fn wants_room(&self) -> bool {
        self.unreadable.values().any(Trouble::is_want_of_room)
    }

    /// Closes a file that is read to its end, if as many are open as may be.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        if self.open_files() < self.capacity {
            return Ok(());
        }
        let done = self.tails.iter().filter(|(_, tail)| tail.is_done());
        // What has a name is opened again when it grows; of the others, the one that rests longest goes.
        let done = done
            .min_by_key(|(_, tail)| (!tail.exists, tail.grew_at))
            .map(|(inode, _)| *inode);
        let mut tail = done.and_then(|inode| self.tails.remove(&inode)).ok_or(Errno::MFILE)?;
        if !tail.exists {
            let path = &tail.source.path;
            tracing::warn!(
                path,
                "a deleted file is let go, since no more files may be open: what is still written to it is lost"
            );
        }
        self.memory.note(Known::Read(tail.saved()));
        Ok(())
    }

    /// Deleted files take space as long as they are open. Of those that are read and rest, the one that rests longest goes first.
    pub(super) fn limit_what_is_held(&mut self) {
        let deleted = self.tails.values_mut().filter(|tail| !tail.exists);
        let mut deleted: Vec<&mut Tail> = deleted.collect();
        let mut held: u64 = deleted.iter().map(|tail| tail.size()).sum();
        self.ledger
            .held_deleted_bytes
            .set(i64::try_from(held).unwrap_or(i64::MAX));
        deleted.sort_by_key(|tail| tail.grew_at);
        for tail in deleted {
            if held <= self.hold_deleted_max {
                return;
            }
            if tail.is_let_go {
                held -= tail.size();
            } else if tail.is_resting() {
                held -= tail.size();
                let path = &tail.source.path;
                tracing::warn!(
                    path,
                    "deleted files take more than --hold-deleted-max: this one is let go once all of it is settled; what is written to it after that is lost"
                );
                tail.is_let_go = true;
            }
        }
    }
}

/// What the limit of open files leaves beside the sink, the checkpoint and the admin side.
pub(super) fn capacity() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_sub(RESERVED_FILES)
        .max(1)
}
