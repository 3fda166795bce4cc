//! One look at the directories, by file: one with several names counts once, under the name that speaks for reading it.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::discover::{Found, Kind, Scan};
use crate::identity::{Inode, Lasting};

#[derive(Debug)]
pub(super) struct Look<'s> {
    scan: &'s Scan,
    by_file: HashMap<Lasting, &'s Found>,
}

impl<'s> Look<'s> {
    pub(super) fn new(scan: &'s Scan) -> Self {
        let rank = |kind| match kind {
            Kind::Matched => 0,
            Kind::Rotated => 1,
            Kind::Other => 2,
        };
        let mut by_file: HashMap<Lasting, &Found> = HashMap::with_capacity(scan.files.len());
        for found in &scan.files {
            let best = by_file.entry(found.inode.lasting()).or_insert(found);
            if rank(found.kind) < rank(best.kind) {
                *best = found;
            }
        }
        Self { scan, by_file }
    }

    pub(super) fn of(&self, inode: &Inode) -> Option<&'s Found> {
        self.by_file.get(&inode.lasting()).copied()
    }

    pub(super) fn has(&self, file: &Lasting) -> bool {
        self.by_file.contains_key(file)
    }

    /// Each file once, by path.
    pub(super) fn files(&self) -> impl Iterator<Item = &'s Found> {
        let is_best = |found: &&Found| self.of(&found.inode).is_some_and(|best| std::ptr::eq(best, *found));
        self.scan.files.iter().filter(is_best)
    }

    /// Is the path below something that could not be looked at, or is not there yet?
    pub(super) fn lacks(&self, path: &Path) -> bool {
        self.scan.failed.iter().any(|(failed, _)| path.starts_with(failed))
    }

    /// Directories and files that are there and could not be looked at.
    pub(super) fn hidden(&self) -> impl Iterator<Item = (&'s Path, &'s io::Error)> {
        let failed = self.scan.failed.iter();
        failed
            .filter(|(_, error)| error.kind() != io::ErrorKind::NotFound)
            .map(|(path, error)| (path.as_path(), error))
    }

    /// Is the path below one of these?
    pub(super) fn hides(&self, path: &Path) -> bool {
        self.hidden().any(|(hidden, _)| path.starts_with(hidden))
    }
}
