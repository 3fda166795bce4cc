//! Whether anybody is left who could write more.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Files, Start, age_of};
use crate::checkpoint::Saved;
use crate::discover::Found;
use crate::reader::archive::Archive;
use crate::reader::tail::QUIET;

/// At a first start, what was written to within this time is of this pod: its application may have ended before.
const RECENT: Duration = Duration::from_secs(600);

impl Files {
    /// Asks for those of which it matters now; what ends in the middle of a line that nobody will end is read.
    pub(super) fn look_for_writers(&mut self) {
        let Some(leases) = self.leases else { return };
        for (inode, tail) in &mut self.tails {
            tail.look_for_writers(leases);
            if tail.ends_unfinished() {
                self.dirty.insert(*inode);
            }
        }
    }

    /// Notes that somebody who may have written to the file of this name has closed it.
    pub(in crate::reader) fn note_closed(&mut self, path: &Path) {
        match self
            .last_look
            .named(path)
            .and_then(|found| self.tails.get_mut(&found.inode))
        {
            Some(tail) => tail.is_closed = true,
            // Bounded by the news of it between two looks.
            None => drop(self.closed.insert(path.to_owned())),
        }
    }

    /// Takes in whether a file that is taken up shows that something was written in this pod.
    pub(super) fn note_begin(&mut self, found: &Found, saved: Option<&Saved>) {
        let is_first = self.first_look && self.history.is_some();
        let is_recent = || age_of(found.modified).is_some_and(|age| age < RECENT);
        self.has_begun |= match saved {
            Some(saved) => found.size > saved.size.max(saved.read),
            None if is_first => self.start != Start::Tail && is_recent(),
            None => true,
        };
    }

    /// Has nobody been there for a while who could write more?
    pub(in crate::reader) fn have_no_writers(&mut self) -> bool {
        let is_read = |archive: &Archive| archive.is_read;
        let is_waiting = self.awaits_archives() || !self.young.is_empty() || !self.archives.iter().all(is_read);
        let (leases, patience) = (self.leases, self.hold_deleted.max(QUIET));
        let mut tails = self.tails.values_mut();
        let are_gone = !is_waiting && tails.all(|tail| tail.has_no_writer(leases, patience));
        let now = Instant::now();
        self.unwritten_since = are_gone.then(|| self.unwritten_since.unwrap_or(now));
        self.unwritten_since.is_some_and(|since| since.elapsed() >= QUIET)
    }
}
