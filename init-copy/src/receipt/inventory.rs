//! What the receipt lists, and how each of it looks now.

use std::path::Path;

use super::keeping::Keeping;
use super::look::Look;
use super::looks::Looks;
use super::read::Receipt;
use super::record::Record;
use crate::dest::beneath::{Cursor, Root};
use crate::error::Error;
use crate::plan::order;

/// One record, and what stands in its place: nothing, something, or something that cannot be looked at.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) record: Record,
    /// What it overlays, by other steps.
    pub(crate) under: Vec<Record>,
    pub(crate) now: Result<Option<Look>, Error>,
}

/// All records of a destination, in order, read in passing.
pub(crate) struct Inventory<'r> {
    receipt: Receipt<'r>,
    looks: Looks,
    cursor: Cursor<'r>,
}

impl<'r> Inventory<'r> {
    /// Of `root`, as it looked when that was taken down.
    pub(crate) fn new(root: &'r Root, keeping: &Keeping, mut looks: Looks) -> Self {
        Self {
            receipt: looks.receipt(root, keeping),
            looks,
            cursor: root.cursor(),
        }
    }

    /// All that is listed before `path`, one a call; `None` when the next is `path` or behind it.
    pub(crate) fn next_before(&mut self, path: &Path) -> Option<Listed> {
        self.next_if(|next| order(next, path).is_lt())
    }

    /// What is listed for `path`, if it is the next.
    pub(crate) fn next_at(&mut self, path: &Path) -> Option<Listed> {
        self.next_if(|next| next.as_os_str() == path.as_os_str())
    }

    /// Could not all of it be read? Known when all has been taken.
    pub(crate) fn is_damaged(&self) -> bool {
        self.receipt.is_damaged()
    }

    fn next_if(&mut self, is_wanted: impl Fn(&Path) -> bool) -> Option<Listed> {
        let (number, _) = self.receipt.peek().filter(|(_, next)| is_wanted(&next.path))?;
        let record = self.receipt.next()?;
        let now = self.looks.take_one(number, &record, &mut self.cursor);
        let under = self.receipt.overlaid();
        Some(Listed { record, under, now })
    }
}

impl Iterator for Inventory<'_> {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        self.next_if(|_| true)
    }
}
