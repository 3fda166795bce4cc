//! A compressed file of which nobody knows yet what it holds: it has to rest, since gzip may still be writing it, and is then unpacked to
//! see whether what is in it is known.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::age_of;
use super::rotated::COPY_AFTER;
use crate::discover::Found;
use crate::identity::{Evidence, HEAD, Inode};
use crate::reader::archive::Unpacked;
use crate::reader::trouble::Trouble;

/// An archive rests for so long before it is read.
const QUIET: Duration = Duration::from_secs(2);
/// One that never rests is read as far as it has come.
const LONGEST: Duration = Duration::from_secs(60);
/// So much is unpacked in a turn, bytes.
const STRIDE: u64 = 1 << 20;

/// So many bytes, and evidence of them.
pub(super) type Mark = (u64, Evidence);

/// A way through an archive to its end, which notes what agrees on the way.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) unpacked: Unpacked,
    /// The shortest last; what of it agrees is moved to `agreed`.
    ahead: Vec<Mark>,
    pub(super) agreed: Vec<Mark>,
    refuted: Vec<Mark>,
    is_done: bool,
}

impl Walk {
    fn new(file: &Arc<File>, mut marks: Vec<Mark>) -> Self {
        marks.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        Self {
            unpacked: Unpacked::of(file),
            ahead: marks,
            agreed: Vec::new(),
            refuted: Vec::new(),
            is_done: false,
        }
    }

    fn stride(&mut self) -> io::Result<()> {
        let limit = self.unpacked.position + STRIDE;
        while let Some((length, _)) = self.ahead.last().filter(|(length, _)| *length <= limit) {
            let is_there = self.unpacked.advance_to(*length)?;
            let Some(mark) = self.ahead.pop() else { break };
            if is_there && self.unpacked.agrees(&mark.1) {
                self.agreed.push(mark);
            } else {
                self.refuted.push(mark);
            }
        }
        self.is_done = !self.unpacked.advance_to(limit)?;
        Ok(())
    }

    /// Does it say of all of `marks` whether they agree?
    pub(super) fn covers(&self, marks: &[Mark]) -> bool {
        marks
            .iter()
            .all(|mark| self.agreed.contains(mark) || self.refuted.contains(mark) || self.ahead.contains(mark))
    }
}

/// Was it written to last so long ago that nobody is still at it?
pub(super) fn is_at_rest(modified: i64) -> bool {
    age_of(modified).is_some_and(|age| age >= QUIET)
}

/// Held open, since it may be gone by the time that it is known.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) path: PathBuf,
    pub(super) inode: Inode,
    pub(super) file: Arc<File>,
    /// Bytes.
    pub(super) size: u64,
    pub(super) modified: i64,
    pub(super) is_gone: bool,
    first_seen: Instant,
    grew_at: Instant,
    pub(super) walk: Option<Walk>,
    pub(super) trouble: Trouble,
}

impl Growing {
    pub(super) fn new(found: &Found, file: File) -> Self {
        let now = Instant::now();
        Self {
            path: found.path.clone(),
            inode: found.inode,
            file: Arc::new(file),
            size: found.size,
            modified: found.modified,
            is_gone: false,
            first_seen: now,
            grew_at: now,
            walk: None,
            trouble: Trouble::default(),
        }
    }

    /// Takes in what a look has found of it.
    pub(super) fn note(&mut self, found: &Found) {
        self.path.clone_from(&found.path);
        if (self.size, self.modified) != (found.size, found.modified) {
            (self.size, self.modified) = (found.size, found.modified);
            self.grew_at = Instant::now();
            if self.first_seen.elapsed() < LONGEST {
                self.walk = None;
            }
        }
    }

    /// May what it is a copy of still be truncated?
    pub(super) fn is_young(&self) -> bool {
        self.first_seen.elapsed() < COPY_AFTER
    }

    /// Is it as it will be, as far as that can be known?
    pub(super) fn rests(&self) -> bool {
        is_at_rest(self.modified)
            || self.is_gone
            || self.grew_at.elapsed() >= QUIET
            || self.first_seen.elapsed() >= LONGEST
    }

    /// What its first bytes are, unpacked.
    pub(super) fn head(&self) -> io::Result<Unpacked> {
        let mut unpacked = Unpacked::of(&self.file);
        unpacked.advance_to(HEAD)?;
        Ok(unpacked)
    }

    pub(super) fn set_out(&mut self, marks: Vec<Mark>) {
        self.walk = Some(Walk::new(&self.file, marks));
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| !walk.is_done)
    }

    /// Unpacks some more of it; false if that cannot be read now.
    pub(super) fn advance(&mut self) -> bool {
        let Some(Err(error)) = self.walk.as_mut().map(Walk::stride) else {
            self.trouble.is_over();
            return true;
        };
        self.trouble.tell(&self.path, &error);
        // The next look sets out again.
        self.walk = None;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::Kind;
    use crate::reader::files::nanos_now;

    #[test]
    fn it_is_waited_for_as_long_as_it_grows_and_not_for_ever() {
        let file = tempfile::tempfile().unwrap();
        let mut found = Found {
            path: "/logs/app.log.1.gz".into(),
            inode: Inode::of(&file).unwrap(),
            size: 1,
            modified: nanos_now(),
            kind: Kind::Rotated,
        };
        let mut growing = Growing::new(&found, file);
        assert!(!growing.rests());
        (found.size, found.modified) = (2, nanos_now());
        growing.grew_at -= QUIET;
        growing.note(&found);
        assert!(!growing.rests(), "it has grown again");
        growing.first_seen -= LONGEST;
        growing.set_out(Vec::new());
        (found.size, found.modified) = (3, nanos_now());
        growing.note(&found);
        assert!(growing.rests() && growing.is_under_way());
    }
}
