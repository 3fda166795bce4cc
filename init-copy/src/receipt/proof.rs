//! What is left to do: the entries that the receipt does not prove to be in place.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use pod_contract::config::Word;
use rustix::fs::{FileType, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use super::existing::Existing;
use super::inventory::{Inventory, Listed};
use super::look::Look;
use super::record::Record;
use crate::ask::Step;
use crate::content::checksum::{self, Hasher};
use crate::dest::beneath::{Cursor, Root, kind_name};
use crate::error::{At as _, CONFLICT, Error};
use crate::plan::{Content, Entry, Kind, Plan, Share, is_within};
use pod_contract::units::hex;

/// What counts as proof that an entry is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Inode, size and times of source and target are as they were.
    Stat,
    /// Source and target are read, and have the digest that was written.
    Digest,
}

impl Word for Proof {
    const FORM: &'static str = "stat or digest";
    const WORDS: &'static [(&'static str, Self)] = &[("stat", Self::Stat), ("digest", Self::Digest)];
}

/// Names in a message; more are counted.
const SHOWN: usize = 10;

/// The state of the destination, against the plan.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Entries to stage: indices into the plan, in its order.
    pub(crate) todo: Vec<usize>,
    /// Directories that are there, and get other attributes.
    pub(crate) dirs: Vec<usize>,
    /// All directories that are there and that this step made, if directories are to have attributes at all.
    pub(crate) own_dirs: Vec<usize>,
    /// Entries of which something stands there that init-copy did not put there, or that was changed since; what becomes of it is
    /// the policy's: it is among `todo`, or stays.
    pub(crate) touched: Vec<usize>,
    /// How many entries stay as they are, or away, although that is not proven to be what is wanted.
    pub(crate) left: usize,
    /// What this step put there before and no longer wants.
    pub(crate) stale: Vec<Record>,
    /// Is there something of other steps under what is stale? Once that is pruned, they have to put it there again.
    pub(crate) exposes: bool,
    /// Does the receipt hold records of other steps?
    pub(crate) others: bool,
}

/// How a plan is compared with a destination.
pub(crate) struct Comparison<'a> {
    pub(crate) plan: &'a Plan,
    /// The step's name.
    pub(crate) by: &'a str,
    /// Describes the wanted attributes.
    pub(crate) options: &'a str,
    pub(crate) proof: Proof,
    pub(crate) existing: Existing,
    pub(crate) prune: bool,
    /// The steps that this run has made before: what they put there, this one overlays.
    pub(crate) earlier: &'a [Step],
    /// Are directories to have the wanted attributes too, once they are there?
    pub(crate) dir_attributes: bool,
    /// Also those that nobody says to be ours, as with `cp`; but never the destination itself.
    pub(crate) all_dirs: bool,
}

impl Comparison<'_> {
    /// Everything that is not proven; refuses, before anything is written, what cannot be put where something else stands.
    pub(crate) fn with(&self, root: &Root, mut inventory: Inventory<'_>) -> Result<Found, Error> {
        let mut cursor = root.cursor();
        let mut found = Found::default();
        // Below something that is not there, nothing is.
        let mut absent: Option<&Path> = None;
        // Directories that were removed and come back only for what goes into them.
        let mut gone: Vec<usize> = Vec::new();
        // Below something else that stays in the place of a directory, nothing can be.
        let mut left: Option<&Path> = None;
        for (index, entry) in self.plan.entries.iter().enumerate() {
            while let Some(listed) = inventory.next_before(&entry.target) {
                found.unplanned(listed, self.by);
            }
            let listed = inventory.next_at(&entry.target);
            if left.is_some_and(|left| is_within(&entry.target, left)) {
                found.leave(index);
                continue;
            }
            let is_below_absent = absent.is_some_and(|above| is_within(&entry.target, above));
            let (record, under, now) = match listed {
                Some(listed) if is_below_absent => (Some(listed.record), listed.under, None),
                Some(listed) => (Some(listed.record), listed.under, listed.now?),
                None if is_below_absent => (None, Vec::new(), None),
                None => (None, Vec::new(), cursor.stat(&entry.target)?.as_ref().map(Look::of)),
            };
            let Some(now) = now else {
                if !is_below_absent && entry.kind == Kind::Dir {
                    absent = Some(&*entry.target);
                }
                gone.retain(|&dir| is_within(&entry.target, &self.plan.entries[dir].target));
                match (self.existing, &record) {
                    (Existing::Seed, Some(_)) => {
                        found.left += 1;
                        gone.extend((entry.kind == Kind::Dir).then_some(index));
                    }
                    _ => found.todo.extend(gone.drain(..).chain([index])),
                }
                continue;
            };
            if self.stays_in_the_way(root, entry, now.kind)? {
                found.leave(index);
                left = Some(&*entry.target);
                continue;
            }
            // What was wanted otherwise is not proven, whatever its content.
            let record = record.as_ref();
            let wanted = record.filter(|r| *r.options == *self.options);
            let fresh = wanted.is_some_and(|r| r.stamp == self.plan.stamp(entry));
            let as_put = match record {
                Some(record) if entry.kind != Kind::Dir => is_as_put(self.proof, record, now, &mut cursor)?,
                _ => false,
            };
            match entry.kind {
                // Somebody else's directory keeps its attributes.
                Kind::Dir if self.dir_attributes && self.is_own(entry, record) => {
                    found.own_dirs.push(index);
                    if !fresh {
                        found.dirs.push(index);
                    }
                }
                Kind::Dir => {}
                _ if as_put && record.is_some_and(|record| self.is_overlaid(entry, record, &under)) => {}
                _ if as_put && self.proven(entry, wanted, fresh)? => {}
                _ => self.unproven(index, as_put, now, &mut found),
            }
        }
        self.conclude(root, inventory, found)
    }

    /// What is behind the last entry, and what the policy says of the whole.
    fn conclude(&self, root: &Root, mut inventory: Inventory<'_>, mut found: Found) -> Result<Found, Error> {
        for listed in inventory.by_ref() {
            found.unplanned(listed, self.by);
        }
        if inventory.is_damaged()
            && (self.prune || matches!(self.existing, Existing::Keep | Existing::Seed | Existing::Fail))
        {
            return Err(unknown(root));
        }
        if self.existing == Existing::Fail && !found.touched.is_empty() {
            return Err(self.touched(root, &found.touched));
        }
        if matches!(self.existing, Existing::Replace | Existing::Fail) {
            self.take_whole_files(&mut found.todo);
        }
        Ok(found)
    }

    /// Something stands there that is not proven to be what is wanted.
    fn unproven(&self, index: usize, as_put: bool, now: Look, found: &mut Found) {
        if !as_put {
            found.touched.push(index);
        }
        let is_newer = now.fingerprint.modified >= self.plan.entries[index].fingerprint.modified;
        if self.existing.stays(!as_put, is_newer) {
            found.left += 1;
        } else {
            found.todo.push(index);
        }
    }

    fn is_own(&self, entry: &Entry, record: Option<&Record>) -> bool {
        record.is_some_and(|record| *record.by == *self.by) || (self.all_dirs && !entry.target.as_os_str().is_empty())
    }

    /// Did a later step put something else over what this one would put there again? Then that one goes on to have it. Of steps in
    /// other containers nobody knows the order: the last one goes on to be.
    fn is_overlaid(&self, entry: &Entry, record: &Record, under: &[Record]) -> bool {
        let own = under.iter().find(|own| *own.by == *self.by);
        let is_later = *record.by != *self.by && !self.earlier.iter().any(|step| *step.name == *record.by);
        is_later && own.is_some_and(|own| *own.options == *self.options && own.stamp == self.plan.stamp(entry))
    }

    /// Is what was put there, and is still, what is wanted?
    fn proven(&self, entry: &Entry, record: Option<&Record>, fresh: bool) -> Result<bool, Error> {
        let Some(record) = record else { return Ok(false) };
        if self.proof == Proof::Stat || entry.kind != Kind::File {
            return Ok(fresh);
        }
        let Some(wanted) = &record.sha256 else { return Ok(false) };
        let is_local = matches!(self.plan.sources[entry.source as usize].content, Content::Local(_));
        if !is_local || entry.rendered.is_some() || self.plan.sources[entry.source as usize].identity.is_some() {
            return Ok(fresh);
        }
        let origin = self.plan.origin(entry);
        let file = File::open(&origin).at("read", &origin)?;
        Ok(digest(&file, &origin)? == *wanted)
    }

    /// The names of one file are one inode: if one of them is to be made, all are.
    fn take_whole_files(&self, todo: &mut Vec<usize>) {
        let shared = |entry: &Entry| entry.share != Share::Alone;
        let files: HashSet<_> = todo
            .iter()
            .map(|&index| &self.plan.entries[index])
            .filter(|entry| shared(entry))
            .map(Entry::file)
            .collect();
        if files.is_empty() {
            return;
        }
        let mut kept = std::mem::take(todo).into_iter().peekable();
        for (index, entry) in self.plan.entries.iter().enumerate() {
            if kept.next_if_eq(&index).is_some() || (shared(entry) && files.contains(&entry.file())) {
                todo.push(index);
            }
        }
    }

    fn touched(&self, root: &Root, touched: &[usize]) -> Error {
        let names: Vec<_> = touched
            .iter()
            .take(SHOWN)
            .map(|&index| format!("\n  {}", root.path().join(&self.plan.entries[index].target).display()))
            .collect();
        Error::new(
            CONFLICT,
            format!(
                "{} entries stand at the destination that were not put there, or were changed since:{}{}",
                touched.len(),
                names.concat(),
                if touched.len() > SHOWN { "\n  …" } else { "" }
            ),
            "remove them, or say with --existing what becomes of them: replace, keep or seed",
        )
    }

    /// Does a directory stay where something else is wanted, or the other way round? A conflict is an error, unless what stands there
    /// is to be kept.
    fn stays_in_the_way(&self, root: &Root, entry: &Entry, found: FileType) -> Result<bool, Error> {
        if (found == FileType::Directory) == (entry.kind == Kind::Dir) {
            return Ok(false);
        }
        if self.existing.leaves() {
            return Ok(true);
        }
        Err(Error::Conflict {
            target: root.path().join(&entry.target),
            found: kind_name(found),
            origin: self.plan.origin(entry),
            brought: entry.kind.name(),
        })
    }
}

impl Found {
    /// Nothing is there yet.
    pub(crate) fn everything(plan: &Plan) -> Self {
        Self {
            todo: (0..plan.entries.len()).collect(),
            ..Self::default()
        }
    }

    /// Somebody else's stays.
    fn leave(&mut self, index: usize) {
        self.touched.push(index);
        self.left += 1;
    }

    fn unplanned(&mut self, listed: Listed, by: &str) {
        if *listed.record.by == *by {
            self.exposes |= !listed.under.is_empty();
            self.stale.push(listed.record);
        } else {
            self.others = true;
        }
    }
}

/// Whoever wants to spare what is not ours has to know what is.
fn unknown(root: &Root) -> Error {
    Error::new(
        CONFLICT,
        format!(
            "the receipt of {} cannot be read to its end, so that nobody knows what was put there",
            root.path().display()
        ),
        "let this user read it, whose mode is 0640: by fsGroup, or by the user that wrote it; or remove it, and all that stands there counts \
         as somebody else's",
    )
}

/// Is what stands there what the record is of?
pub(crate) fn is_as_put(proof: Proof, record: &Record, now: Look, cursor: &mut Cursor<'_>) -> Result<bool, Error> {
    match (proof, &record.sha256) {
        // Whoever asks for digests has a volume that changes owners and times by itself.
        (Proof::Digest, Some(wanted)) => Ok(!now.is_dir()
            && record.at.size == now.fingerprint.size
            && digest_at(cursor, &record.path)?.as_ref() == Some(wanted)),
        _ => Ok(record.at.is(now.fingerprint)),
    }
}

/// The digest of the file or link at `target`; `None` when it is neither.
pub(crate) fn digest_at(cursor: &mut Cursor<'_>, target: &Path) -> Result<Option<String>, Error> {
    let parent = cursor.parent(target)?;
    let name = target.file_name().unwrap_or_default();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match openat(parent, name, flags, Mode::empty()) {
        Ok(fd) => digest(&File::from(fd), target).map(Some),
        Err(Errno::LOOP) => match readlinkat(parent, name, Vec::new()) {
            Ok(to) => Ok(Some(digest_of_link(to.to_bytes()))),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(e) => Err(e).at("read the link", target),
        },
        Err(Errno::NOENT | Errno::ISDIR | Errno::NXIO) => Ok(None),
        Err(e) => Err(e).at("read", target),
    }
}

/// Never that of a file.
pub(crate) fn digest_of_link(to: &[u8]) -> String {
    let mut hasher = Hasher::sha256();
    hasher.update(b"a link to ");
    hasher.update(to);
    hex(&hasher.finish())
}

fn digest(file: &File, shown: &Path) -> Result<String, Error> {
    checksum::digest(file, Hasher::sha256())
        .map(|digest| hex(&digest))
        .at("read", shown)
}
