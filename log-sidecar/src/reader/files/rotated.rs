//! Rotated files that came up since the last look: new ones to read, or copies of what is read already.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Files;
use super::history::History;
use crate::checkpoint::Copied;
use crate::discover::{Found, is_rotation_of};
use crate::identity::{Evidence, Inode};
use crate::reader::tail::{Likeness, Tail, Twin};

/// Birth times come from a coarser clock, nanoseconds.
const CLOCK_GRAIN: i64 = 20_000_000;
/// What equals a file that is followed is a copy of it only if that one is truncated within this time.
const COPY_AFTER: Duration = Duration::from_secs(10);

/// A rotated file that waits for evidence of what it is; it is held, since it may be gone by then.
#[derive(Debug)]
pub(super) struct Young {
    pub(super) path: PathBuf,
    /// None as long as it cannot be opened.
    pub(super) file: Option<File>,
    pub(super) noticed: Instant,
    twin: Option<Twin>,
    pub(super) is_archive: bool,
    /// Of an archive, bytes.
    pub(super) size: u64,
}

impl Young {
    pub(super) fn new() -> Self {
        Self {
            path: PathBuf::new(),
            file: None,
            noticed: Instant::now(),
            twin: None,
            is_archive: false,
            size: 0,
        }
    }
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
    /// Did it come into being since the directories were looked at last, and has nobody read it?
    pub(super) fn is_new(&self, file: &Found) -> bool {
        let is_known = || self.closed.iter().any(|saved| saved.inode.is_likely(&file.inode));
        let is_recent = |history: &History| history.wants_rotated(file);
        let is_born =
            || file.inode.is_born_since(self.looked_at - CLOCK_GRAIN) || self.history.as_ref().is_some_and(is_recent);
        self.young.contains_key(&file.inode) || self.copies.contains_key(&file.inode) || (is_born() && !is_known())
    }

    /// A rotated file that was born and renamed away between two looks, or while the sidecar was down; not a copy of what is read already.
    pub(super) fn came_and_went(&mut self, file: &Found) -> bool {
        match self.copies.get(&file.inode) {
            Some(copy) if file.size == copy.size => return false,
            // Nobody writes to a copy.
            _ => drop(self.copies.remove(&file.inode)),
        }
        let mut young = self.young.remove(&file.inode).unwrap_or_else(Young::new);
        young.path.clone_from(&file.path);
        let opened = young
            .file
            .take()
            .map_or_else(|| self.open_found(file), |file| Ok(Some(file)));
        let judged = match opened {
            Ok(Some(opened)) => {
                let judged = self.judge(&mut young, &opened, &file.inode);
                young.file = Some(opened);
                judged
            }
            Ok(None) => Judged::Open,
            // Whoever opens it again tells why it cannot be read.
            Err(_) => Judged::Wanted,
        };
        if let (Judged::Copy { size }, Some(opened)) = (&judged, &young.file)
            && let Ok(evidence) = Evidence::take(opened, *size)
        {
            let path = file.path.to_string_lossy().into_owned();
            let (inode, size) = (file.inode, *size);
            self.copies.insert(
                inode,
                Copied {
                    inode,
                    path,
                    size,
                    evidence,
                },
            );
            return false;
        }
        // It stays a candidate until it is open.
        self.young.insert(file.inode, young);
        matches!(judged, Judged::Wanted)
    }

    fn judge(&self, young: &mut Young, file: &File, inode: &Inode) -> Judged {
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
        let is_twin = |tail: &&Tail| tail.likeness(file, size) == Likeness::Twin;
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
    pub(super) fn read_what_vanished(
        &mut self,
        there: &HashSet<Inode>,
        size_of: &dyn Fn(&Inode) -> Option<u64>,
    ) -> bool {
        let gone: Vec<_> = self.young.extract_if(.., |inode, _| !there.contains(inode)).collect();
        let mut opened = false;
        for (inode, mut young) in gone {
            // What nobody could open has been told of.
            let Some(file) = young.file.take() else { continue };
            if young.is_archive {
                self.begin_archive(young, file, inode, size_of);
                continue;
            }
            if matches!(self.judge(&mut young, &file, &inode), Judged::Copy { .. }) {
                continue;
            }
            let path = young.path.to_string_lossy();
            match Tail::new(file, inode, &path, &self.scope) {
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
