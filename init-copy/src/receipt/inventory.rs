//! What the receipt lists, and how each of it looks now.
//!
//! Taken while the sources are looked into: both are little else than waiting for `stat`, and neither needs the other.

use std::iter::Peekable;
use std::path::Path;
use std::vec::IntoIter;

use rustix::fs::FileType;

use super::keeping::Keeping;
use super::read::Receipt;
use super::record::{Mark, Record};
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::Root;
use crate::error::Error;
use crate::plan::order;

/// How something looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) kind: FileType,
    pub(crate) fingerprint: Fingerprint,
}

impl Look {
    pub(crate) fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            fingerprint: Fingerprint::of(stat),
        }
    }

    pub(crate) fn is_dir(self) -> bool {
        self.kind == FileType::Directory
    }
}

/// One record, and what stands in its place: nothing, something, or something that cannot be looked at.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) record: Record,
    /// What it overlays, by other steps.
    pub(crate) under: Vec<Record>,
    pub(crate) now: Result<Option<Look>, Error>,
}

/// All records of a destination, in order.
pub(crate) struct Inventory {
    listed: Peekable<IntoIter<Listed>>,
}

impl Inventory {
    /// Reads the receipt of `root`, and looks at everything on it.
    pub(crate) fn take(root: &Root, keeping: &Keeping) -> Self {
        let mut cursor = root.cursor();
        let mut listed: Vec<Listed> = Vec::new();
        for record in Receipt::open(root, keeping) {
            match listed.last_mut() {
                Some(last) if record.mark == Mark::Overlaid => last.under.push(record),
                _ => {
                    let now = cursor.stat(&record.path).map(|stat| stat.as_ref().map(Look::of));
                    listed.push(Listed {
                        record,
                        under: Vec::new(),
                        now,
                    });
                }
            }
        }
        Self {
            listed: listed.into_iter().peekable(),
        }
    }

    /// All that is listed before `path`, one a call; `None` when the next is `path` or behind it.
    pub(crate) fn next_before(&mut self, path: &Path) -> Option<Listed> {
        self.listed.next_if(|listed| order(&listed.record.path, path).is_lt())
    }

    /// What is listed for `path`, if it is the next.
    pub(crate) fn next_at(&mut self, path: &Path) -> Option<Listed> {
        self.listed.next_if(|listed| listed.record.path == path)
    }
}

impl Iterator for Inventory {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        self.listed.next()
    }
}
