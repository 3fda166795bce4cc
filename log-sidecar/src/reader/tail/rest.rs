//! Whether more can come from a file.

use std::time::{Duration, Instant};

use super::Tail;
use crate::lease::{Leases, Writers};
use crate::reader::framing::Framing;

/// How long a file has to be quiet before it is taken to be at its end.
pub(in crate::reader) const QUIET: Duration = Duration::from_secs(10);

impl Tail {
    /// Renamed away, and without growth for so long that its writer is taken to have let go: should it grow again, it is found by its
    /// inode. What has no name that could be found is waited for as long as it has writers, and where nobody says, `hold_deleted`: a
    /// writer may pause.
    pub(in crate::reader) fn is_abandoned(&self, hold_deleted: Duration) -> bool {
        let may_be_found = self.exists || self.is_let_go;
        let has_rested = match self.writers {
            Writers::Gone => true,
            Writers::There if !may_be_found => false,
            Writers::Unknown if !may_be_found => self.has_rested(hold_deleted.max(QUIET)),
            Writers::There | Writers::Unknown => self.has_rested(QUIET),
        };
        !self.matched && has_rested
    }

    /// Does it end with the start of a line, and nobody is left who could go on with it?
    pub(in crate::reader) fn ends_unfinished(&self) -> bool {
        self.writers == Writers::Gone && self.rests_in_line()
    }

    fn rests_in_line(&self) -> bool {
        self.looked_at > self.unfinished_from() && !self.in_nuls && self.has_rested(QUIET)
    }

    /// Looks for who writes to it, if that matters: it may be let go, or ends in the middle of a line.
    pub(in crate::reader) fn look_for_writers(&mut self, leases: Leases) {
        if self.measured == self.looked_at && (!self.matched || self.rests_in_line()) {
            self.writers = leases.writers(&self.file);
        }
    }

    /// Can nobody write to it any more, as far as that can be known? Where nobody says, whoever closed it after the last line was the last,
    /// and `patience` is enough without that.
    pub(in crate::reader) fn has_no_writer(&mut self, leases: Option<Leases>, patience: Duration) -> bool {
        self.writers = leases.map_or(Writers::Unknown, |leases| leases.writers(&self.file));
        match self.writers {
            Writers::Gone => true,
            Writers::There => false,
            // What is not read may have been written just now.
            Writers::Unknown => self.is_at_end() && self.has_rested(if self.is_closed { QUIET } else { patience }),
        }
    }

    fn has_rested(&self, quiet: Duration) -> bool {
        self.grew_at.elapsed() > quiet
    }

    /// Read to its end but for the start of a line, and without growth for a while.
    pub(in crate::reader) fn is_resting(&self) -> bool {
        self.is_at_end() && self.has_rested(QUIET)
    }

    /// Is everything read but the start of a line, or the middle of a long one?
    pub(in crate::reader) fn is_at_end(&self) -> bool {
        self.size() == self.looked_at
    }

    /// When the record that may go on is taken to be at its end.
    pub(in crate::reader) fn due_at(&self, framing: &Framing) -> Option<Instant> {
        self.is_open.then(|| self.grew_at + framing.join_wait)
    }
}
