//! Whether anybody is left who could write more.

use std::path::Path;
use std::time::Instant;

use super::Files;
use crate::checkpoint::Saved;
use crate::identity::content_id;
use crate::reader::tail::{QUIET, Tail};

impl Files {
    /// Asks for those of which it matters now; what ends in the middle of a line that nobody will end is read.
    pub(super) fn look_for_writers(&mut self) {
        let Some(leases) = self.leases else { return };
        for (inode, tail) in &mut self.tails {
            tail.look_for_writers(leases);
            if tail.is_forsaken() {
                self.dirty.insert(*inode);
            }
        }
    }

    /// Notes that somebody who may have written to the file of this name has closed it.
    pub(in crate::reader) fn note_closed(&mut self, path: &Path) {
        let tail = self.names.get(path).and_then(|(inode, _)| self.tails.get_mut(inode));
        if let Some(tail) = tail {
            tail.is_closed = true;
        }
    }

    /// Was something written, is all of it read, and has nobody been there for a while who could write more?
    pub(in crate::reader) fn are_forsaken(&mut self) -> bool {
        let is_of_pod =
            |saved: &Saved| saved.read > 0 && saved.id == content_id(&self.scope, &saved.inode, saved.generation);
        // On a volume that outlives pods, there is what others have written.
        self.has_begun =
            self.has_begun || self.tails.values().any(Tail::has_begun) || self.memory.all_read().any(is_of_pod);
        let is_waiting =
            self.awaits_archives() || !self.young.is_empty() || self.archives.iter().any(|archive| !archive.is_read);
        let (leases, patience) = (self.leases, self.hold_deleted.max(QUIET));
        let is_forsaken =
            self.has_begun && !is_waiting && self.tails.values_mut().all(|tail| tail.has_no_writer(leases, patience));
        let now = Instant::now();
        self.forsaken_since = is_forsaken.then(|| self.forsaken_since.unwrap_or(now));
        self.forsaken_since.is_some_and(|since| since.elapsed() >= QUIET)
    }
}
