//! What a run enters into the receipt.

use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::fstat;

use super::existing::Existing;
use super::keeping::Keeping;
use super::read::Receipt;
use super::record::{Mark, Of, Record, Whole};
use super::write::Writer;
use crate::ask::Step;
use crate::dest::beneath::Root;
use crate::error::{At as _, CONFLICT, Error};
use crate::plan::names::RECEIPT;
use crate::plan::{Kind, Plan, Share, is_within};
use crate::stage::{Done, Staging};

/// What the receipt will say.
pub(crate) struct Entered<'r> {
    pub(crate) plan: &'r Plan,
    pub(crate) step: &'r Step,
    /// The steps that this run has made before.
    pub(crate) earlier: &'r [Step],
    pub(crate) options: &'r Arc<str>,
    /// The destination as it was named.
    pub(crate) dest: &'r Path,
    /// Directories that were there and got other attributes, in order.
    pub(crate) dirs: &'r [usize],
}

/// Refuses a receipt that is kept elsewhere and is of another destination than `dest`, which is `visible` if it is there already; `base`
/// is where it is.
pub(crate) fn refuse_of_another(
    keeping: &Keeping,
    base: &Root,
    visible: Option<&Root>,
    dest: &Path,
) -> Result<(), Error> {
    let Keeping::At(path) = keeping else { return Ok(()) };
    let receipt = Receipt::open(visible.unwrap_or(base), keeping);
    let is_here = |found: &Of| match visible {
        Some(root) => of(dest, root).map(|here| found.is_same(&here)),
        None => Ok(found.path == absolute(dest)),
    };
    match receipt.of() {
        Some(of) if !is_here(of)? => Err(Error::new(
            CONFLICT,
            format!("the receipt {} is of {}", path.display(), of.path.display()),
            "give each destination its own --receipt",
        )),
        _ => Ok(()),
    }
}

fn of(dest: &Path, root: &Root) -> Result<Of, Error> {
    let stat = fstat(root).at("look at", dest)?;
    Ok(Of {
        path: absolute(dest),
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

/// As seen from anywhere in this container.
fn absolute(dest: &Path) -> PathBuf {
    let path = std::path::absolute(dest).unwrap_or_else(|_| dest.to_owned());
    path.components().collect()
}

/// Refuses a receipt that would be kept where something of the plan goes.
pub(crate) fn refuse_as_target(keeping: &Keeping, dest: &Path, plan: &Plan) -> Result<(), Error> {
    let Keeping::At(path) = keeping else { return Ok(()) };
    let (path, dest) = (absolute(path), absolute(dest));
    let below = path.strip_prefix(&dest).ok();
    match below.filter(|below| plan.entries.iter().any(|entry| is_within(&entry.target, below))) {
        Some(_) => Err(Error::new(
            CONFLICT,
            format!("the receipt {} would stand where the content goes", path.display()),
            "keep it elsewhere: --receipt FILE",
        )),
        None => Ok(()),
    }
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
            mark: Mark::Put,
            // Each name that the file gets or loses would change it.
            at: match entry.share {
                Share::Alone => done.fingerprint,
                Share::First | Share::Again => done.fingerprint.with_any_name(),
            },
            sha256: done.sha256.clone(),
        }
    }

    fn pending(&self, index: usize, done: &Done) -> Record {
        let record = self.record(index, done);
        Record {
            mark: Mark::Pending,
            // It is still to be renamed.
            at: record.at.with_any_name(),
            ..record
        }
    }

    fn writer(&self, path: PathBuf, root: &Root) -> Result<Writer, Error> {
        match &self.step.receipt {
            Keeping::At(_) => Writer::create(path, Some(&of(self.dest, root)?)),
            Keeping::Inside | Keeping::Off => Writer::create(path, None),
        }
    }

    /// What it says so far. One that may not be read is not replaced: it has the records of others.
    fn old<'o>(&self, root: &'o Root, path: &Path) -> Result<Receipt<'o>, Error> {
        let old = Receipt::open(root, &self.step.receipt);
        match old.is_closed() {
            true => Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)).at("read", path),
            false => Ok(old),
        }
    }

    /// Does the next run have to know which entries are ours, even if this one is killed before its end?
    fn has_to_announce(&self) -> bool {
        match self.step.existing {
            Existing::Keep | Existing::Seed | Existing::Fail => true,
            Existing::Replace | Existing::Update => self.step.prune,
        }
    }

    /// Before anything gets its name: what is about to stand there, beside the old records.
    pub(crate) fn announce(&self, root: &Root, staging: &Staging<'_>) -> Result<(), Error> {
        match self.step.receipt.path(root.path()).filter(|_| self.has_to_announce()) {
            Some(path) => self.announce_to(path, root, staging),
            None => Ok(()),
        }
    }

    fn announce_to(&self, path: PathBuf, root: &Root, staging: &Staging<'_>) -> Result<(), Error> {
        let mut old = self.old(root, &path)?;
        let mut writer = self.writer(path, root)?;
        for (&index, done) in staging.todo.iter().zip(&staging.done) {
            while let Some(record) = old.next_before(&self.plan.entries[index].target) {
                writer.add(&record)?;
            }
            if let Some(done) = done {
                writer.add(&self.pending(index, done))?;
            }
        }
        old.by_ref().try_for_each(|record| writer.add(&record))?;
        old.wholes().iter().try_for_each(|whole| writer.add_whole(whole))?;
        writer.publish(self.step.durable)
    }

    /// The old records, those of the staged entries anew, and without what was pruned.
    pub(crate) fn write(&self, root: &Root, staging: &Staging<'_>, stay: Vec<Record>) -> Result<(), Error> {
        let Some(path) = self.step.receipt.path(root.path()) else {
            return Ok(());
        };
        let mut old = self.old(root, &path)?;
        let mut writer = self.writer(path, root)?;
        let mut counted = Counted::new(self.plan);
        let mut stay = stay.into_iter().peekable();
        let mut done = staging.todo.iter().zip(&staging.done).peekable();
        for (index, entry) in self.plan.entries.iter().enumerate() {
            while let Some(record) = old.next_before(&entry.target) {
                self.carry(&mut writer, &mut old, record, &mut stay)?;
            }
            let before = old.next_at(&entry.target);
            let mut under: Vec<_> = std::iter::from_fn(|| old.next_at(&entry.target)).collect();
            let top = match done.next_if(|(staged, _)| **staged == index) {
                Some((_, done)) => {
                    let record = done.as_ref().map(|done| self.record(index, done));
                    self.overlay(before, record, &mut under)
                }
                None => self.kept(index, before, &mut under),
            };
            let records = || top.iter().chain(&under);
            counted.add(index, records().any(|record| record.by == self.step.name));
            records().try_for_each(|record| writer.add(record))?;
        }
        while let Some(record) = old.next() {
            self.carry(&mut writer, &mut old, record, &mut stay)?;
        }
        let new = counted.wholes(self);
        let is_renewed = |whole: &Whole| {
            let same = |new: &Whole| new.from == whole.from && new.options == whole.options;
            whole.by == self.step.name && new.iter().any(same)
        };
        let is_there = |whole: &Whole| whole.by != self.step.name || writer.has_from(&whole.from);
        let old = old.wholes();
        let stay: Vec<_> = old
            .iter()
            .filter(|whole| is_there(whole) && !is_renewed(whole))
            .collect();
        stay.into_iter()
            .chain(&new)
            .try_for_each(|whole| writer.add_whole(whole))?;
        writer.publish(self.step.durable)
    }

    /// This step's `record` comes over what stood there `before`.
    fn overlay(&self, before: Option<Record>, record: Option<Record>, under: &mut Vec<Record>) -> Option<Record> {
        let was_overlaid = under.iter().any(|record| record.by == self.step.name);
        under.retain(|record| record.by != self.step.name);
        if let Some(before) = before.filter(|before| before.by != self.step.name && !before.dir) {
            // A later step that was over this one is so again, and has to put it there anew.
            if !was_overlaid || self.earlier.iter().any(|step| step.name == before.by) {
                put_under(under, before);
            }
        }
        record
    }

    /// Nothing was staged for the entry.
    fn kept(&self, index: usize, before: Option<Record>, under: &mut Vec<Record>) -> Option<Record> {
        let entry = &self.plan.entries[index];
        let is_settled = self.dirs.binary_search(&index).is_ok();
        let Some(mut record) = before else {
            // It was there before, and has got its attributes.
            let done = Done {
                fingerprint: entry.fingerprint,
                sha256: None,
            };
            return is_settled.then(|| self.record(index, &done));
        };
        // Who wants it last is who prunes it; and once that one does not, the one before goes on to.
        if record.by != self.step.name && !under.iter().any(|record| record.by == self.step.name) {
            if !record.dir {
                put_under(under, record.clone());
            }
            record.by = Arc::clone(&self.step.name);
        }
        if is_settled {
            record.options = Arc::clone(self.options);
            record.stamp = self.plan.stamp(entry);
        }
        Some(record)
    }

    /// A record of another step stays; one of this step only if its entry does. What this step no longer wants, and leaves there, is
    /// the one's that it overlays, who then sees that it is not what that one wants.
    fn carry(
        &self,
        writer: &mut Writer,
        old: &mut Receipt<'_>,
        mut record: Record,
        stay: &mut Peekable<impl Iterator<Item = Record>>,
    ) -> Result<(), Error> {
        if record.by != self.step.name {
            return writer.add(&record);
        }
        if record.mark == Mark::Overlaid || stay.next_if(|kept| kept.path == record.path).is_none() {
            return Ok(());
        }
        let mut under = old.overlaid();
        if !self.step.prune
            && let Some(below) = under.pop()
        {
            record.by = below.by;
        }
        writer.add(&record)?;
        under.iter().try_for_each(|record| writer.add(record))
    }

    /// Into the directory that becomes the destination, if it is kept in there; else, before that is published, to where it is kept.
    pub(crate) fn write_staged(&self, staging: &Staging<'_>, current: Option<&Root>) -> Result<(), Error> {
        let Some(temp) = staging.units.first().and_then(|unit| unit.temp.as_deref()) else {
            return Ok(());
        };
        let root = staging.base.below(temp)?;
        match (&self.step.receipt, current) {
            (Keeping::Inside, _) => self.write_all(staging, root.path().join(RECEIPT), &root, Self::record),
            // Until it is replaced, both are there.
            (Keeping::At(path), Some(current)) => self.announce_to(path.clone(), current, staging),
            (Keeping::At(path), None) => self.write_all(staging, path.clone(), &root, Self::pending),
            (Keeping::Off, _) => Ok(()),
        }
    }

    /// Of a destination that was replaced as a whole, to where it is kept outside of that.
    pub(crate) fn write_beside(&self, staging: &Staging<'_>) -> Result<(), Error> {
        match &self.step.receipt {
            Keeping::At(path) => self.write_all(staging, path.clone(), &Root::open(self.dest)?, Self::record),
            Keeping::Inside | Keeping::Off => Ok(()),
        }
    }

    fn write_all(
        &self,
        staging: &Staging<'_>,
        path: PathBuf,
        root: &Root,
        record: impl Fn(&Self, usize, &Done) -> Record,
    ) -> Result<(), Error> {
        let mut writer = self.writer(path, root)?;
        let mut counted = Counted::new(self.plan);
        for (&index, done) in staging.todo.iter().zip(&staging.done) {
            counted.add(index, done.is_some());
            if let Some(done) = done {
                writer.add(&record(self, index, done))?;
            }
        }
        counted
            .wholes(self)
            .iter()
            .try_for_each(|whole| writer.add_whole(whole))?;
        writer.publish(self.step.durable)
    }
}

/// The last one to have been over the others of the path.
fn put_under(under: &mut Vec<Record>, record: Record) {
    under.retain(|other| other.by != record.by);
    under.push(Record {
        mark: Mark::Overlaid,
        ..record
    });
}

/// Files and links of each source that have a record; `None` once one of them has none.
struct Counted<'p> {
    plan: &'p Plan,
    files: Vec<Option<u64>>,
}

impl<'p> Counted<'p> {
    fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            files: vec![Some(0); plan.sources.len()],
        }
    }

    fn add(&mut self, index: usize, is_there: bool) {
        let entry = &self.plan.entries[index];
        if entry.kind != Kind::Dir {
            let files = &mut self.files[entry.source as usize];
            *files = files.filter(|_| is_there).map(|files| files + 1);
        }
    }

    /// The layers of an artifact are one source.
    fn wholes(&self, entered: &Entered<'_>) -> Vec<Whole> {
        let mut wholes: Vec<Whole> = Vec::new();
        let is_missing = |label: &str| {
            let mut sources = self.plan.sources.iter().zip(&self.files);
            sources.any(|(source, files)| *source.label == *label && files.is_none())
        };
        for (source, files) in self.plan.sources.iter().zip(&self.files) {
            let (Some(identity), Some(files)) = (&source.identity, *files) else {
                continue;
            };
            match wholes.iter_mut().find(|whole| whole.from == source.label) {
                Some(whole) => whole.files += files,
                None if is_missing(&source.label) => {}
                None => wholes.push(Whole {
                    from: Arc::clone(&source.label),
                    by: Arc::clone(&entered.step.name),
                    options: Arc::clone(entered.options),
                    identity: Arc::clone(identity),
                    files,
                }),
            }
        }
        wholes
    }
}
