//! Sources that need not be looked into: the receipt proves that what they hold is in place.

use std::sync::Arc;

use rustix::fs::FileType;

use super::Opening;
use crate::content::fingerprint::Fingerprint;
use crate::error::Error;
use crate::plan::Stamp;
use crate::plan::{Builder, Content, Entry, Kind, Opened, Share};
use crate::publish::{Publish, Way};
use crate::receipt::Proof;
use crate::receipt::{Receipt, Record};

/// What an earlier run put there from a source, all of it untouched.
pub(super) struct InPlace {
    records: Vec<(Record, Kind)>,
    /// What identified the source then.
    pub(super) identity: Arc<str>,
}

impl Opening<'_> {
    /// What is in place of the source `label`, if all of it is as it was put there.
    pub(super) fn in_place(&self, label: &str) -> Result<Option<InPlace>, Error> {
        // Whoever asks for digests wants the content looked at.
        let Some(root) = self.current.filter(|_| self.step.proof == Proof::Stat) else {
            return Ok(None);
        };
        let mut cursor = root.cursor();
        let mut found: Option<InPlace> = None;
        // Of the path that the record of an overlaid entry is about, too.
        let mut top: Option<Record> = None;
        for record in Receipt::open(root, &self.step.receipt) {
            // What is staged as a whole would be staged from what stands there, which is the other step's.
            if record.overlaid && matches!(self.step.publish, Publish::As(Way::Exchange | Way::Symlink)) {
                return Ok(None);
            }
            let over = if record.overlaid {
                top.as_ref().filter(|top| top.path == record.path)
            } else {
                None
            };
            let at = over.map_or(record.at, |top| top.at);
            if !record.overlaid {
                top = Some(record.clone());
            }
            if *record.from != *label || record.by != self.step.name {
                continue;
            }
            let Stamp::Text(identity) = &record.stamp else {
                return Ok(None);
            };
            let identity = Arc::clone(identity);
            if *record.options != *self.options {
                return Ok(None);
            }
            let Ok(Some(stat)) = cursor.stat(&record.path) else {
                return Ok(None);
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Kind::Dir,
                FileType::Symlink => Kind::Link,
                _ => Kind::File,
            };
            if record.dir != (kind == Kind::Dir) || (!record.dir && at != Fingerprint::of(&stat)) {
                return Ok(None);
            }
            let found = found.get_or_insert_with(|| InPlace {
                records: Vec::new(),
                identity: Arc::clone(&identity),
            });
            if found.identity != identity {
                return Ok(None);
            }
            found.records.push((record, kind));
        }
        Ok(found)
    }

    /// Takes up what is in place, when the source is still the one with `identity`; `false` when it has to be looked into.
    pub(super) fn keep(&self, label: &str, identity: &str, builder: &mut Builder) -> Result<bool, Error> {
        match self.in_place(label)? {
            Some(found) if *found.identity == *identity => self.take(label, found, builder).map(|()| true),
            _ => Ok(false),
        }
    }

    /// The entries come from the destination itself, should they have to be staged again.
    pub(super) fn take(&self, label: &str, found: InPlace, builder: &mut Builder) -> Result<(), Error> {
        let Some(root) = self.current else { return Ok(()) };
        builder.source(Opened {
            label: label.into(),
            prefix: std::path::PathBuf::new(),
            content: Content::Local(root.path().to_owned()),
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
