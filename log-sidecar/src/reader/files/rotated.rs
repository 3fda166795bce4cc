//! Rotated files that nobody knows: new ones to read, or copies of what is read already.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Files;
use super::look::Look;
use super::memory::Known;
use crate::checkpoint::Copied;
use crate::discover::{Found, Kind, is_rotation_of};
use crate::identity::{Evidence, Inode};
use crate::reader::former::{Former, Share, Twin};
use crate::reader::tail::{Likeness, Tail};

/// What equals a file that is followed is a copy of it only if that one is truncated within this time.
pub(super) const COPY_AFTER: Duration = Duration::from_secs(10);

/// A rotated file that waits for evidence of what it is; it is held, since it may be gone by then.
#[derive(Debug)]
pub(super) struct Young {
    path: PathBuf,
    pub(super) file: File,
    /// Bytes.
    pub(super) size: u64,
    /// When it had this size first.
    noticed: Instant,
    twin: Option<Twin>,
}

/// What a young file is.
enum Judged {
    Wanted,
    /// Of which all was read.
    Copy {
        size: u64,
    },
    /// Nobody knows yet.
    Open,
}

impl Files {
    /// A rotated file that was born and renamed away between two looks, or while the sidecar was down: given back if it is to be read,
    /// as it is if it is no copy of what is read already.
    pub(super) fn came_and_went(&mut self, found: &Found, file: File) -> Option<File> {
        let known = self.young.remove(&found.inode);
        // As long as it grows, it is still being copied.
        let known = known.filter(|known| known.size == found.size);
        let mut young = Young {
            path: found.path.clone(),
            file,
            size: found.size,
            noticed: known.as_ref().map_or_else(Instant::now, |known| known.noticed),
            twin: known.and_then(|known| known.twin),
        };
        match self.judge(&mut young, &found.inode) {
            Judged::Wanted => return Some(young.file),
            Judged::Copy { size } => match Evidence::take(&young.file, size) {
                Ok(evidence) => self.memory.note(Known::Copy(Copied {
                    inode: found.inode,
                    path: found.path.to_string_lossy().into_owned(),
                    size,
                    modified: found.modified,
                    evidence,
                })),
                Err(_) => drop(self.young.insert(found.inode, young)),
            },
            Judged::Open => drop(self.young.insert(found.inode, young)),
        }
        None
    }

    /// A rotated file was written over: by the next copy, as in `cp app.log app.log.1`, or by whoever still writes to it.
    pub(in crate::reader) fn judge_anew(&mut self, inode: Inode) {
        if let Some(mut tail) = self.tails.remove(&inode) {
            self.generations.insert(inode.lasting(), tail.saved().generation);
        }
    }

    fn judge(&self, young: &mut Young, inode: &Inode) -> Judged {
        let file = &young.file;
        let size = file.metadata().map_or(0, |meta| meta.len());
        // The copy may have been made long before the truncation.
        let formers = || self.formers.iter().filter(|former| former.may_be_in(&young.path));
        if formers().any(|former| former.lives_on_in(file, inode, size)) {
            return Judged::Wanted;
        }
        let twin = young.twin;
        let was_equal = |former: &Former| twin.is_some_and(|twin| former.was_equal(twin, size));
        let shares = formers().map(|former| {
            let share = former.share_of(file, inode, size);
            share.or(was_equal(former).then_some(Share::All))
        });
        match shares.flatten().next() {
            Some(Share::All) => {
                tracing::info!(path = %young.path.display(), "a copy of what was read before a truncation: left out");
                return Judged::Copy { size };
            }
            // Whether it was taken shows soon.
            Some(Share::Open) => return Judged::Open,
            Some(Share::Rest) => return Judged::Wanted,
            None => {}
        }
        // A truncation that is about to be noticed makes a former file, to compare with.
        if size == 0 || self.tails.values().any(Tail::is_changed) {
            return Judged::Open;
        }
        // Only what is in use can still be truncated.
        let is_twin = |tail: &&Tail| tail.is_in_use() && tail.likeness(file, size) == Likeness::Twin;
        let Some(tail) = self.tails.values().find(is_twin) else {
            return Judged::Wanted;
        };
        young.twin = Some(Twin { of: tail.inode, size });
        // A copy without a truncation and a file that says the same look alike: what cannot be told is sent.
        if self.is_ending || young.noticed.elapsed() >= COPY_AFTER {
            tracing::info!(path = %young.path.display(), "equal to what is read already, and nothing was truncated: it is read too");
            return Judged::Wanted;
        }
        Judged::Open
    }

    /// Files that waited for evidence, and are there no longer: what cannot be told is sent.
    pub(super) fn read_what_vanished(&mut self, look: &Look<'_>) -> bool {
        let is_gone = |inode: &Inode, young: &Young| look.of(inode).is_none() && !look.lacks(&young.path);
        let gone: Vec<_> = self
            .young
            .extract_if(.., |inode, young| is_gone(inode, young))
            .collect();
        let mut opened = false;
        for (inode, mut young) in gone {
            match self.judge(&mut young, &inode) {
                Judged::Copy { .. } => continue,
                Judged::Open if !self.is_ending && young.noticed.elapsed() < COPY_AFTER => {
                    self.young.insert(inode, young);
                    continue;
                }
                Judged::Open | Judged::Wanted => {}
            }
            let found = Found {
                path: young.path,
                inode,
                size: young.size,
                modified: 0,
                kind: Kind::Rotated,
            };
            tracing::info!(path = %found.path.display(), "reading a file that is gone already");
            match self.follow(&found, young.file, None) {
                Ok(is_open) => opened |= is_open,
                Err(error) => self.complain(&found.path, &error),
            }
            if let Some(tail) = self.tails.get_mut(&inode) {
                (tail.matched, tail.exists) = (false, false);
            }
        }
        opened
    }

    /// Is the file named as if rotation had made it of one that is followed?
    pub(super) fn may_be_rotated(&self, path: &Path) -> bool {
        self.tails
            .values()
            .any(|tail| is_rotation_of(Path::new(&tail.source.path), path))
    }
}
