//! Sources that need not be looked into: the receipt proves that all they held is in place.

use std::sync::Arc;

use rustix::fs::FileType;

use super::Opening;
use crate::dest::beneath::{Cursor, Root};
use crate::error::Error;
use crate::plan::{Builder, Content, Entry, Kind, Opened, Share, Stamp};
use crate::publish::{Publish, Way};
use crate::receipt::{Existing, Look, Mark, Receipt, Record, Whole, is_as_put};

/// What an earlier run put there from a source, all of it untouched, or left to whoever touched it.
pub(super) struct InPlace {
    records: Vec<(Record, Kind)>,
    /// What identified the source then.
    pub(super) identity: Arc<str>,
}

/// A record, and that of what overlays it.
type Layered = (Record, Option<Record>);

impl Opening<'_> {
    /// What is in place of the source `label`, if all of it is.
    pub(super) fn in_place(&self, label: &str) -> Result<Option<InPlace>, Error> {
        let Some(root) = self.current.filter(|_| !self.anew) else {
            return Ok(None);
        };
        let Some((records, whole)) = self.listed(root, label) else {
            return Ok(None);
        };
        let mut cursor = root.cursor();
        let mut found = Vec::with_capacity(records.len());
        for (record, top) in records {
            match self.kind_in_place(&record, top.as_ref(), &whole, &mut cursor)? {
                Some(kind) => found.push((record, kind)),
                None => return Ok(None),
            }
        }
        Ok(Some(InPlace {
            records: found,
            identity: whole.identity,
        }))
    }

    /// The records of the source, if they are those of all that it held, and were wanted as they are now.
    fn listed(&self, root: &Root, label: &str) -> Option<(Vec<Layered>, Whole)> {
        let mut records = Vec::new();
        let mut top: Option<Record> = None;
        let mut receipt = Receipt::open(root, &self.step.receipt);
        for record in receipt.by_ref() {
            let over = match record.mark {
                Mark::Overlaid => top.clone(),
                Mark::Put | Mark::Pending => None,
            };
            // What is staged as a whole would be staged from what stands there, which is the other step's.
            if over.is_some() && matches!(self.step.publish, Publish::As(Way::Exchange | Way::Symlink)) {
                return None;
            }
            if over.is_none() {
                top = Some(record.clone());
            }
            if *record.from == *label && record.by == self.step.name {
                records.push((record, over));
            }
        }
        let whole = receipt
            .wholes()
            .into_iter()
            .find(|whole| *whole.from == *label && whole.by == self.step.name && *whole.options == *self.options)?;
        // There may be records of what it held before and no longer holds; of what was left as it is, the old ones count.
        if !self.step.existing.leaves() {
            records.retain(|(record, _)| is_of(record, &whole));
        }
        let files = records.iter().filter(|(record, _)| !record.dir).count();
        (files as u64 == whole.files).then_some((records, whole))
    }

    /// `None` when it is not in place.
    fn kind_in_place(
        &self,
        record: &Record,
        top: Option<&Record>,
        whole: &Whole,
        cursor: &mut Cursor<'_>,
    ) -> Result<Option<Kind>, Error> {
        let wanted = if record.dir { Kind::Dir } else { Kind::File };
        let now = match cursor.stat(&record.path) {
            Ok(Some(stat)) => Look::of(&stat),
            Ok(None) if self.step.existing == Existing::Seed => return Ok(Some(wanted)),
            Ok(None) | Err(_) => return Ok(None),
        };
        let kind = match now.kind {
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Link,
            _ => Kind::File,
        };
        if record.dir != (kind == Kind::Dir) {
            return Ok(None);
        }
        if record.dir {
            return Ok(Some(kind));
        }
        let is_as_put = is_as_put(self.step.proof, top.unwrap_or(record), now, cursor)?;
        // What somebody changed is left as it is, whatever it was put there from.
        let is_left = !is_as_put && self.step.existing.leaves();
        let is_wanted = is_of(record, whole);
        Ok((is_left || (is_as_put && is_wanted)).then_some(kind))
    }

    /// Takes up what is in place, when the source is still the one with `identity`; `false` when it has to be looked into.
    pub(super) fn keep(&self, label: &str, identity: &str, builder: &mut Builder) -> Result<bool, Error> {
        match self.in_place(label)? {
            Some(found) if *found.identity == *identity => self.take(label, found, builder).map(|()| true),
            _ => Ok(false),
        }
    }

    pub(super) fn take(&self, label: &str, found: InPlace, builder: &mut Builder) -> Result<(), Error> {
        let Some(root) = self.current else { return Ok(()) };
        builder.source(Opened {
            label: label.into(),
            prefix: std::path::PathBuf::new(),
            content: Content::Kept,
            identity: Some(found.identity),
            part: None,
        });
        let mut cursor = root.cursor();
        for (record, kind) in found.records {
            let mode = cursor.stat(&record.path)?.map_or(0, |stat| stat.st_mode & 0o777);
            builder.push(Entry {
                target: record.path.into(),
                source: 0,
                number: 0,
                kind,
                mode: mode as u16,
                share: Share::Alone,
                fingerprint: record.at,
                rendered: None,
            })?;
        }
        Ok(())
    }
}

/// Was it put there from that very source, and as that was wanted?
fn is_of(record: &Record, whole: &Whole) -> bool {
    record.options == whole.options && record.stamp == Stamp::Text(Arc::clone(&whole.identity))
}
