//! What a file was before it was truncated.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::archive::Unpacked;
use super::clock::Clocks;
use super::ends::Ends;
use super::tail::may_be_copy;
use crate::batch::Source;
use crate::checkpoint::{Saved, Truncated};
use crate::frontier::Frontier;
use crate::identity::{Evidence, HEAD, Inode, content_id};
use crate::loss::{Loss, Why};

/// A file that a young one equals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Twin {
    pub(super) of: Inode,
    /// Of the young one.
    pub(super) size: u64,
}

/// How much of a copy was read before the truncation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Everything, and it is settled.
    All,
    /// Everything, and it is on its way.
    Open,
    /// A part is settled; of the rest, nobody knows.
    Rest,
}

/// What a file was before it was truncated. A copy of it, if `copytruncate` made one, holds what was not read in time.
#[derive(Debug, Clone)]
pub(super) struct Former {
    pub(super) source: Arc<Source>,
    pub(super) inode: Inode,
    pub(super) generation: u32,
    /// Everything before was read.
    pub(super) offset: u64,
    /// Up to where there were lines in it when it was seen last.
    pub(super) size: u64,
    /// What is before may have been delivered by a run that was killed.
    pub(super) sent: u64,
    /// Where a copy is read on: there, or, if a run was ended meanwhile, where everything before is settled.
    pub(super) resume_at: u64,
    pub(super) frontier: Frontier,
    pub(super) clock: Clocks,
    pub(super) evidence: Evidence,
    /// How it began, if nothing was settled when it was known last.
    pub(super) begins: Option<(u64, Evidence)>,
    pub(super) ends: Ends,
    /// When the truncation was noticed, nanoseconds since 1970.
    pub(super) noticed: i64,
}

impl Former {
    /// Of a file that the checkpoint knew.
    pub(super) fn of(saved: &Saved) -> Self {
        Self {
            source: Arc::new(Source {
                id: saved.id.clone(),
                path: saved.path.clone(),
                inode: saved.inode,
            }),
            inode: saved.inode,
            generation: saved.generation,
            offset: saved.offset,
            size: saved.size,
            sent: 0,
            resume_at: saved.offset,
            frontier: Frontier::at(saved.offset),
            clock: Clocks::from(saved.clock.as_ref()),
            evidence: saved.evidence,
            begins: saved.begins,
            ends: Ends::default(),
            noticed: 0,
        }
    }

    /// As the checkpoint has it.
    pub(super) fn restored(truncated: Truncated) -> Self {
        let Truncated { file, noticed, ends } = truncated;
        Self {
            offset: file.read,
            resume_at: file.offset,
            ends: Ends::of(ends),
            noticed,
            ..Self::of(&file)
        }
    }

    /// For the checkpoint.
    pub(super) fn saved(&self) -> Truncated {
        Truncated {
            file: Saved {
                id: self.source.id.clone(),
                path: self.source.path.clone(),
                inode: self.inode,
                generation: self.generation,
                offset: self.frontier.settled(),
                evidence: self.evidence,
                begins: self.begins,
                read: self.offset,
                size: self.size,
                modified: 0,
                packed: None,
                clock: self.clock.saved(self.frontier.settled()),
            },
            noticed: self.noticed,
            ends: self.ends.all().collect(),
        }
    }

    /// Of a file of which nothing was read.
    pub(super) fn unread(inode: Inode, path: &Path, scope: &str, generation: u32) -> Self {
        Self {
            source: Arc::new(Source {
                id: content_id(scope, &inode, generation),
                path: path.to_string_lossy().into_owned(),
                inode,
            }),
            inode,
            generation,
            offset: 0,
            size: 0,
            sent: 0,
            resume_at: 0,
            frontier: Frontier::at(0),
            clock: Clocks::default(),
            evidence: Evidence::none(),
            begins: None,
            ends: Ends::default(),
            noticed: 0,
        }
    }

    /// May what stands at `path` be a copy?
    pub(super) fn may_be_in(&self, path: &Path) -> bool {
        may_be_copy(Path::new(&self.source.path), self.known_by().0, path)
    }

    /// What it is known by: so many bytes, and evidence of them.
    pub(super) fn known_by(&self) -> (u64, &Evidence) {
        Evidence::deciding(self.offset, &self.evidence, self.begins.as_ref())
    }

    /// Does `file`, of `size` bytes, hold what was read before the truncation, or what was read and sent by a run that did not come to know
    /// whether that was taken?
    pub(super) fn lives_on_in(&self, file: &File, inode: &Inode, size: u64) -> bool {
        let (length, evidence) = self.known_by();
        let holds_all = length > 0 && self.may_be_as_old(inode, length) && evidence.agrees(file, length);
        holds_all || self.share_of(file, inode, size) == Some(Share::Rest)
    }

    /// A short one says what many say; it was made before the truncation, or is no copy.
    fn may_be_as_old(&self, inode: &Inode, length: u64) -> bool {
        length > HEAD || !inode.is_born_since(self.noticed)
    }

    /// What is known of `file`, of `size` bytes, if it is a copy of which everything was read before the truncation. It was made a few lines
    /// before that, and so is shorter.
    pub(super) fn share_of(&self, file: &File, inode: &Inode, size: u64) -> Option<Share> {
        let share = self.share(size)?;
        (self.may_be_as_old(inode, size) && self.ends.agree(file, size)).then_some(share)
    }

    /// The same, of what is in an archive.
    pub(super) fn share_in(&self, unpacked: &Unpacked) -> Option<Share> {
        let size = unpacked.position;
        let share = self.share(size)?;
        self.ends
            .agree_with(size, &unpacked.head, &unpacked.guard)
            .then_some(share)
    }

    fn share(&self, size: u64) -> Option<Share> {
        match size {
            0 => None,
            _ if size > self.offset => None,
            _ if size <= self.frontier.settled() => Some(Share::All),
            _ if self.resume_at < self.offset => Some(Share::Rest),
            _ => Some(Share::Open),
        }
    }

    /// Was a file of `size` bytes found to equal this one before the truncation, and is all of that settled?
    pub(super) fn was_equal(&self, twin: Twin, size: u64) -> bool {
        self.inode == twin.of && size == twin.size && size <= self.frontier.settled()
    }

    /// What nobody has read, if a copy holds so many bytes, or none.
    pub(super) fn loss(&self, copied: u64) -> Option<Loss> {
        let from = self.offset.max(self.sent).max(copied);
        (self.size > from).then(|| Loss::of(&self.source, from, self.size - from, Why::Truncated))
    }

    /// May a copy still come up? `exists` if the file still has a name.
    pub(super) fn may_come(&self, now: i64, exists: bool) -> bool {
        const LONGEST: i64 = 60_000_000_000;
        // Who deletes it after the truncation has made the copy before.
        const ONCE_GONE: i64 = 5_000_000_000;
        let age = now - self.noticed;
        // What is on its way is compared with once it is settled.
        let is_open = self.frontier.settled() < self.offset;
        if exists {
            is_open || age < LONGEST
        } else {
            age < ONCE_GONE
        }
    }
}
