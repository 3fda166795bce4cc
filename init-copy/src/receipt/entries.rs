//! What a run enters into the receipt.

use std::sync::Arc;

use std::path::PathBuf;

use super::format::{Receipt, Record, Writer};
use super::keeping::Keeping;
use crate::ask::Step;
use crate::dest::beneath::Root;
use crate::error::Error;
use crate::plan::names::RECEIPT;
use crate::plan::{Kind, Plan};
use crate::stage::{Done, Staging};

/// What the receipt will say.
pub(crate) struct Entered<'r> {
    pub(crate) plan: &'r Plan,
    pub(crate) step: &'r Step,
    pub(crate) options: &'r Arc<str>,
    /// Directories that were there and got other attributes, in order.
    pub(crate) dirs: &'r [usize],
}

impl Entered<'_> {
    fn record(&self, index: usize, done: &Done) -> Record {
        let entry = &self.plan.entries[index];
        Record {
            path: entry.target.to_path_buf(),
            by: Arc::clone(&self.step.name),
            from: Arc::clone(&self.plan.sources[entry.source as usize].label),
            options: Arc::clone(self.options),
            stamp: self.plan.stamp(entry),
            dir: entry.kind == Kind::Dir,
            overlaid: false,
            at: done.fingerprint,
            sha256: done.sha256.clone(),
        }
    }

    /// The old records, those of the staged entries anew, and without what was pruned.
    pub(crate) fn write(&self, root: &Root, staging: &Staging<'_>, stay: Vec<Record>) -> Result<(), Error> {
        let Some(path) = self.step.receipt.path(root.path()) else {
            return Ok(());
        };
        let mut old = Receipt::open(root, &self.step.receipt);
        let mut writer = Writer::create(path)?;
        let mut stay = stay.into_iter().peekable();
        let mut done = staging.todo.iter().zip(&staging.done).peekable();
        for (index, entry) in self.plan.entries.iter().enumerate() {
            while let Some(record) = old.next_before(&entry.target) {
                self.carry(&mut writer, record, &mut stay)?;
            }
            let before = old.next_at(&entry.target);
            let mut under: Vec<_> = std::iter::from_fn(|| old.next_at(&entry.target)).collect();
            let is_overlaid = under.iter().any(|record| record.by == self.step.name);
            if let Some((_, done)) = done.next_if(|(staged, _)| **staged == index) {
                under.retain(|record| record.by != self.step.name);
                if let Some(done) = done {
                    writer.add(&self.record(index, done))?;
                }
                // Who was over this step before is so again, and has to put it there anew.
                if let Some(before) = before.filter(|before| before.by != self.step.name && !before.dir && !is_overlaid)
                {
                    under.retain(|record| record.by != before.by);
                    under.push(Record {
                        overlaid: true,
                        ..before
                    });
                }
            } else if let Some(mut record) = before {
                // Who wants it last is who prunes it.
                if !is_overlaid {
                    record.by = Arc::clone(&self.step.name);
                }
                if self.dirs.binary_search(&index).is_ok() {
                    record.options = Arc::clone(self.options);
                    record.stamp = self.plan.stamp(entry);
                }
                writer.add(&record)?;
            } else if self.dirs.binary_search(&index).is_ok() {
                // It was there before, and has got its attributes.
                let done = Done {
                    fingerprint: entry.fingerprint,
                    sha256: None,
                };
                writer.add(&self.record(index, &done))?;
            }
            under.iter().try_for_each(|record| writer.add(record))?;
        }
        for record in old {
            self.carry(&mut writer, record, &mut stay)?;
        }
        writer.publish(self.step.durable)
    }

    /// A record of another step stays; one of this step only if its entry does.
    fn carry(
        &self,
        writer: &mut Writer,
        record: Record,
        stay: &mut std::iter::Peekable<impl Iterator<Item = Record>>,
    ) -> Result<(), Error> {
        if record.overlaid && record.by == self.step.name {
            return Ok(());
        }
        if record.by != self.step.name || stay.next_if(|kept| kept.path == record.path).is_some() {
            writer.add(&record)?;
        }
        Ok(())
    }

    /// Into the directory that becomes the destination, if it is kept in there.
    pub(crate) fn write_staged(&self, staging: &Staging<'_>) -> Result<(), Error> {
        match staging.units.first().and_then(|unit| unit.temp.as_deref()) {
            Some(temp) if self.step.receipt == Keeping::Inside => {
                self.write_all(staging, staging.base.path().join(temp).join(RECEIPT))
            }
            _ => Ok(()),
        }
    }

    /// Of a destination that was replaced as a whole, to where it is kept outside of that.
    pub(crate) fn write_beside(&self, staging: &Staging<'_>) -> Result<(), Error> {
        match &self.step.receipt {
            Keeping::At(path) => self.write_all(staging, path.clone()),
            Keeping::Inside | Keeping::Off => Ok(()),
        }
    }

    fn write_all(&self, staging: &Staging<'_>, path: PathBuf) -> Result<(), Error> {
        let mut writer = Writer::create(path)?;
        for (index, done) in staging.todo.iter().zip(&staging.done) {
            if let Some(done) = done {
                writer.add(&self.record(*index, done))?;
            }
        }
        writer.publish(self.step.durable)
    }
}
