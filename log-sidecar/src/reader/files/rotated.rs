//! Rotated files that nobody knows: new ones to read, or copies of what is read already.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Files;
use super::look::Look;
use super::memory::Known;
use crate::checkpoint::Copied;
use crate::discover::{Found, is_rotation_of};
use crate::identity::{Evidence, Inode};
use crate::reader::former::Twin;
use crate::reader::tail::{Likeness, Tail};

/// What equals a file that is followed is a copy of it only if that one is truncated within this time.
const COPY_AFTER: Duration = Duration::from_secs(10);

/// A rotated file that waits for evidence of what it is; it is held, since it may be gone by then.
#[derive(Debug)]
pub(super) struct Young {
    path: PathBuf,
    pub(super) file: File,
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
        let mut young = Young {
            path: found.path.clone(),
            file,
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
                    evidence,
                })),
                Err(_) => drop(self.young.insert(found.inode, young)),
            },
            Judged::Open => drop(self.young.insert(found.inode, young)),
        }
        None
    }

    fn judge(&self, young: &mut Young, inode: &Inode) -> Judged {
        let file = &young.file;
        let size = file.metadata().map_or(0, |meta| meta.len());
        // The copy may have been made long before the truncation.
        let mut formers = self.formers.iter().filter(|former| former.may_be_in(&young.path));
        if formers.clone().any(|former| former.lives_on_in(file, inode)) {
            return Judged::Wanted;
        }
        let twin = young.twin;
        if size > 0
            && formers.any(|former| {
                former.was_all_of(file, inode, size) || twin.is_some_and(|twin| former.was_equal(twin, size))
            })
        {
            tracing::info!(path = %young.path.display(), "a copy of what was read before a truncation: left out");
            return Judged::Copy { size };
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
        let gone: Vec<_> = self.young.extract_if(.., |inode, _| look.of(inode).is_none()).collect();
        let mut opened = false;
        for (inode, mut young) in gone {
            if matches!(self.judge(&mut young, &inode), Judged::Copy { .. }) {
                continue;
            }
            let path = young.path.to_string_lossy();
            match Tail::new(young.file, inode, &path, &self.scope) {
                Ok(mut tail) => {
                    tracing::info!(path = %path, "reading a file that is gone already");
                    (tail.matched, tail.exists) = (false, false);
                    self.tails.insert(inode, tail);
                    opened = true;
                }
                Err(error) => self.complain(&young.path, &error),
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
