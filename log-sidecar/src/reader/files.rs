//! Which files are followed: the directories compared with what is open, and what is known of files that are not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pod_contract::start::explain;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::tail::{Former, Likeness, Tail, Twin, pread_at};
use crate::batch::Settled;
use crate::checkpoint::{Positions, Saved};
use crate::config::Reading;
use crate::discover::{Found, Kind, Patterns, Scan, is_compressed_name, is_rotation_of};
use crate::identity::Inode;
use crate::ledger::Ledger;

/// Birth times come from a coarser clock, nanoseconds.
const CLOCK_GRAIN: i64 = 20_000_000;
/// Open files that are no log files.
const RESERVED_FILES: usize = 32;
/// What equals a file that is followed is a copy of it only if that one is truncated within this time.
const COPY_AFTER: Duration = Duration::from_secs(10);

/// A rotated file that waits for evidence of what it is; it is held, since it may be gone by then.
#[derive(Debug)]
struct Young {
    path: PathBuf,
    /// None as long as it cannot be opened.
    file: Option<File>,
    noticed: Instant,
    twin: Option<Twin>,
}

impl Young {
    fn new() -> Self {
        Self {
            path: PathBuf::new(),
            file: None,
            noticed: Instant::now(),
            twin: None,
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

/// The files of the volume, as the reader knows them.
pub(super) struct Files {
    patterns: Patterns,
    /// How long a deleted file has to be quiet, and how many bytes of such files are held at most.
    hold_deleted: Duration,
    hold_deleted_max: u64,
    ledger: Ledger,
    /// Part of every file's id, see [`crate::pod::scope`].
    scope: Arc<str>,
    pub(super) tails: BTreeMap<Inode, Tail>,
    /// Files that may be open at a time.
    capacity: usize,
    /// Of files that are not open: from the checkpoint, or rotated and let go.
    closed: Vec<Saved>,
    /// What truncated files were before; a copy of one is read on from there.
    formers: Vec<Former>,
    /// When the directories were looked at last, nanoseconds since 1970.
    looked_at: i64,
    first_look: bool,
    /// Rotated files that came up since the start and are not read yet.
    young: BTreeMap<Inode, Young>,
    /// Copies of what was read, and their sizes.
    copies: BTreeMap<Inode, u64>,
    unreadable: BTreeMap<PathBuf, String>,
    /// Compressed files that match, and have been told of.
    left_out: BTreeSet<Inode>,
    /// All names that were there at the last look.
    names: HashMap<PathBuf, (Inode, Kind)>,
    /// Which files may have something to read.
    pub(super) dirty: BTreeSet<Inode>,
    /// The end is near: what waits for evidence waits no longer.
    pub(super) is_ending: bool,
}

impl Files {
    pub(super) fn new(config: &Reading, positions: Positions, ledger: Ledger) -> Self {
        Self {
            patterns: config.patterns.clone(),
            hold_deleted: config.hold_deleted,
            hold_deleted_max: config.hold_deleted_max,
            ledger,
            scope: crate::pod::scope().into(),
            tails: BTreeMap::new(),
            capacity: capacity(),
            closed: positions.files,
            formers: Vec::new(),
            looked_at: positions.looked_at,
            first_look: true,
            young: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            copies: BTreeMap::new(),
            left_out: BTreeSet::new(),
            names: HashMap::new(),
            dirty: BTreeSet::new(),
            is_ending: false,
        }
    }

    /// Makes the open files equal to what the directories say; true when one was opened.
    pub(super) fn reconcile(&mut self) -> bool {
        let now = nanos_now();
        let scan = self.patterns.scan();
        for tail in self.tails.values_mut() {
            // Below what could not be looked at, it may still be.
            let is_hidden = scan.hides(Path::new(&tail.source.path));
            tail.matched &= is_hidden;
            tail.exists = is_hidden;
        }
        let there: HashSet<Inode> = scan.files.iter().map(|file| file.inode).collect();
        let exists = |inode: &Inode| there.contains(inode);
        self.left_out.retain(exists);
        self.copies.retain(|inode, _| exists(inode));
        self.formers
            .retain(|former| exists(&former.inode) && former.is_recent(now));
        self.unreadable
            .retain(|path, _| scan.files.iter().any(|f| f.path == *path) || scan.failed.iter().any(|(p, _)| p == path));
        let mut opened = self.read_what_vanished(&there);
        for file in &scan.files {
            if let Some(tail) = self.tails.get_mut(&file.inode) {
                tail.exists = true;
                tail.matched |= file.kind == Kind::Matched;
            } else if self.is_wanted(file) {
                opened |= self.open(file);
            }
        }
        for (path, error) in &scan.failed {
            if error.kind() != io::ErrorKind::NotFound {
                self.complain(path, error);
            }
        }
        self.looked_at = now;
        self.let_go(&scan);
        let name = |file: &Found| (file.path.clone(), (file.inode, file.kind));
        self.names = scan.files.iter().map(name).collect();
        self.dirty = self.tails.keys().copied().collect();
        if self.first_look && !scan.files.iter().any(|file| file.kind == Kind::Matched) {
            tracing::info!("no file matches yet");
        }
        self.first_look = false;
        self.measure();
        opened
    }

    pub(super) fn measure(&self) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let backlog: u64 = self.tails.values().map(Tail::backlog).sum();
        self.ledger
            .backlog_bytes
            .set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.ledger.open_files.set(gauge(self.tails.len()));
        self.ledger.unreadable_files.set(gauge(self.unreadable.len()));
    }

    /// Notes a range as settled. One of a file that was truncated since belongs to content that is gone.
    pub(super) fn settle(&mut self, range: &Settled) {
        let tails = self.tails.values_mut().map(|tail| (&tail.source, &mut tail.frontier));
        let formers = self
            .formers
            .iter_mut()
            .map(|former| (&former.source, &mut former.frontier));
        if let Some((_, frontier)) = tails
            .chain(formers)
            .find(|(source, _)| Arc::ptr_eq(source, &range.source))
        {
            frontier.settle(range.start, range.end);
        }
    }

    /// What a checkpoint has to say.
    pub(super) fn positions(&mut self) -> Positions {
        // What waits for evidence is new to the next run too.
        let waiting = self.young.keys().map(Inode::born);
        let looked_at = waiting.fold(self.looked_at, i64::min);
        let open = self.tails.values_mut().map(Tail::saved);
        Positions::new(looked_at, open.chain(self.closed.iter().cloned()).collect())
    }

    /// Remembers what a file was before it was truncated.
    pub(super) fn remember(&mut self, mut former: Former) {
        former.noticed = nanos_now();
        self.formers.retain(|older| older.inode != former.inode);
        self.formers.push(former);
    }

    fn is_wanted(&mut self, file: &Found) -> bool {
        if self.is_left_out(file) {
            return false;
        }
        if file.kind == Kind::Rotated && self.is_new(file) {
            return self.came_and_went(file);
        }
        if file.kind != Kind::Matched {
            return self.has_more(file);
        }
        // A copy whose name matches too, as `app.log.1` with `app.log*`; at the first look, it is history.
        if !self.first_look
            && self.is_new(file)
            && (self.young.contains_key(&file.inode) || self.may_be_rotated(&file.path))
        {
            return self.came_and_went(file);
        }
        // Under want of file descriptors, a file that is read to its end stays closed until it grows.
        let is_read = || {
            self.closed
                .iter()
                .any(|saved| saved.inode.is_likely(&file.inode) && saved.offset == size_of(file))
        };
        self.tails.len() < self.capacity || !is_read()
    }

    /// A compressed file is no text, whatever its name is like; one that is empty yet may become one.
    fn is_left_out(&mut self, file: &Found) -> bool {
        if file.kind != Kind::Matched || !is_compressed_name(&file.path) {
            return false;
        }
        if self.left_out.contains(&file.inode) {
            return true;
        }
        let start = File::open(&file.path).and_then(|file| pread_at(&file, 0, LONGEST_MAGIC));
        let Ok(start) = start else { return false };
        let is_compressed = MAGIC.iter().any(|magic| start.starts_with(magic));
        if is_compressed {
            self.left_out.insert(file.inode);
            let path = file.path.display();
            tracing::info!(%path, "compressed, and so left out: what is in it was read before it was compressed, or is not read");
        }
        is_compressed || start.is_empty()
    }

    /// Closes a file that is read to its end, if as many are open as may be.
    fn make_room(&mut self) -> io::Result<()> {
        if self.tails.len() < self.capacity {
            return Ok(());
        }
        let done = self.tails.iter().filter(|(_, tail)| tail.is_done());
        // What has a name is opened again when it grows; of the others, the one that rests longest goes.
        let done = done
            .min_by_key(|(_, tail)| (!tail.exists, tail.grew_at))
            .map(|(inode, _)| *inode);
        let mut tail = done.and_then(|inode| self.tails.remove(&inode)).ok_or(Errno::MFILE)?;
        if !tail.exists {
            let path = &tail.source.path;
            tracing::warn!(
                path,
                "a deleted file is let go, since no more files may be open: what is still written to it is lost"
            );
        }
        self.closed.push(tail.saved());
        Ok(())
    }

    /// A file outside the patterns that was read before under a name that matches, and has grown since.
    fn has_more(&self, file: &Found) -> bool {
        let grown = |saved: &&Saved| {
            saved.inode.is_likely(&file.inode)
                && self.patterns.matches(Path::new(&saved.path))
                && saved.offset < size_of(file)
        };
        self.closed.iter().any(|saved| grown(&saved))
    }

    /// Did it come into being since the directories were looked at last, and has nobody read it?
    fn is_new(&self, file: &Found) -> bool {
        let is_known = || self.closed.iter().any(|saved| saved.inode.is_likely(&file.inode));
        let is_born = || file.inode.is_born_since(self.looked_at - CLOCK_GRAIN);
        self.young.contains_key(&file.inode) || self.copies.contains_key(&file.inode) || (is_born() && !is_known())
    }

    /// A rotated file that was born and renamed away between two looks, or while the sidecar was down; not a copy of what is read already.
    fn came_and_went(&mut self, file: &Found) -> bool {
        match self.copies.get(&file.inode) {
            Some(&size) if size_of(file) == size => return false,
            // Nobody writes to a copy.
            _ => drop(self.copies.remove(&file.inode)),
        }
        let mut young = self.young.remove(&file.inode).unwrap_or_else(Young::new);
        young.path.clone_from(&file.path);
        let judged = match young.file.take().map_or_else(|| File::open(&file.path), Ok) {
            Ok(opened) => {
                let judged = self.judge(&mut young, &opened, &file.inode);
                young.file = Some(opened);
                judged
            }
            // Whoever opens it again tells why it cannot be read.
            Err(_) => Judged::Wanted,
        };
        if let Judged::Copy { size } = judged {
            self.copies.insert(file.inode, size);
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
        if size == 0 || self.tails.values().any(Tail::is_cut) {
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
    fn read_what_vanished(&mut self, there: &HashSet<Inode>) -> bool {
        let gone: Vec<_> = self.young.extract_if(.., |inode, _| !there.contains(inode)).collect();
        let mut opened = false;
        for (inode, mut young) in gone {
            // What nobody could open has been told of.
            let Some(file) = young.file.take() else { continue };
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
    fn may_be_rotated(&self, path: &Path) -> bool {
        self.tails
            .values()
            .any(|tail| is_rotation_of(Path::new(&tail.source.path), path))
    }

    /// Notes that the file of this name was written to; false when it may have to be opened.
    pub(super) fn touch(&mut self, path: &Path) -> bool {
        match self.names.get(path) {
            Some((inode, _)) if self.tails.contains_key(inode) => {
                self.dirty.insert(*inode);
                true
            }
            Some((inode, kind)) => *kind == Kind::Other || self.left_out.contains(inode),
            None => false,
        }
    }

    /// True when the file is open now.
    fn open(&mut self, found: &Found) -> bool {
        match self.try_open(found) {
            Ok(()) => {
                self.unreadable.remove(&found.path);
                self.young.remove(&found.inode);
                true
            }
            Err(error) => {
                self.complain(&found.path, &error);
                false
            }
        }
    }

    /// Once for each path and error.
    fn complain(&mut self, path: &Path, error: &io::Error) {
        let text = error.to_string();
        if self.unreadable.insert(path.to_owned(), text.clone()) != Some(text) {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => explain::denied(path),
                _ if matches!(error.raw_os_error(), Some(23 | 24)) => {
                    "raise this container's limit of open files; it is tried again".to_owned()
                }
                _ => "it is tried again as long as it is there".to_owned(),
            };
            tracing::error!(path = %path.display(), %error, remedy, "cannot read a file that matches, or its directory");
        }
    }

    fn try_open(&mut self, found: &Found) -> io::Result<()> {
        self.make_room()?;
        let file = File::open(&found.path)?;
        let inode = Inode::of(&file)?;
        if self.tails.contains_key(&inode) {
            return Ok(());
        }
        let path = found.path.to_string_lossy();
        let mut tail = if let Some(index) = self.closed.iter().position(|saved| saved.inode.is_likely(&inode)) {
            let (tail, former) = Tail::resume(file, inode, &self.closed[index], &self.scope)?;
            // Only now: what could not be opened is still known by its position.
            self.closed.swap_remove(index);
            if let Some(former) = former {
                self.ledger.resets.inc();
                tracing::warn!(path = %path, "not the file that the checkpoint knew under this inode: read from its start");
                self.remember(former);
            }
            tail
        } else if let Some(index) = self.former_of(&found.path, &file, &inode) {
            Tail::adopt(file, inode, self.formers.swap_remove(index), &self.scope)?
        } else {
            Tail::new(file, inode, &path, &self.scope)?
        };
        tail.matched = found.kind == Kind::Matched;
        tracing::info!(path = %path, known_as = tail.source.path, offset = tail.frontier.settled(), "reading");
        self.tails.insert(inode, tail);
        Ok(())
    }

    /// Deleted files take space as long as they are open. Of those that are read and rest, the one that rests longest goes first.
    fn limit_what_is_held(&mut self) {
        let deleted = self.tails.values_mut().filter(|tail| !tail.exists);
        let mut deleted: Vec<&mut Tail> = deleted.collect();
        let mut held: u64 = deleted.iter().map(|tail| tail.size()).sum();
        self.ledger
            .held_deleted_bytes
            .set(i64::try_from(held).unwrap_or(i64::MAX));
        deleted.sort_by_key(|tail| tail.grew_at);
        for tail in deleted {
            if held <= self.hold_deleted_max {
                return;
            }
            if tail.is_let_go {
                held -= tail.size();
            } else if tail.is_resting() {
                held -= tail.size();
                let path = &tail.source.path;
                tracing::warn!(
                    path,
                    "deleted files take more than --hold-deleted-max: this one is let go once all of it is settled; what is written to it after that is lost"
                );
                tail.is_let_go = true;
            }
        }
    }

    fn former_of(&self, path: &Path, file: &File, inode: &Inode) -> Option<usize> {
        let lives_on = |former: &Former| former.may_be_in(path) && former.lives_on_in(file, inode);
        self.formers.iter().position(lives_on)
    }

    /// Closes rotated and deleted files from which nothing more can be expected.
    fn let_go(&mut self, scan: &Scan) {
        self.limit_what_is_held();
        let hold = self.hold_deleted;
        let done: Vec<Inode> = self
            .tails
            .iter()
            .filter(|(_, t)| t.is_abandoned(hold) && t.is_done())
            .map(|(i, _)| *i)
            .collect();
        for inode in done {
            let Some(mut tail) = self.tails.remove(&inode) else {
                continue;
            };
            let exists = scan.files.iter().any(|file| file.inode == inode);
            tracing::info!(
                path = tail.source.path,
                offset = tail.frontier.settled(),
                exists,
                "done with a rotated file"
            );
            self.closed.push(tail.saved());
        }
        // Of a file that is nowhere, nothing can come; but what could not be looked at, or is not there yet, may hold it.
        let exists = |saved: &Saved| {
            let path = Path::new(&saved.path);
            scan.files.iter().any(|file| file.inode.is_likely(&saved.inode))
                || scan.failed.iter().any(|(failed, _)| path.starts_with(failed))
        };
        let (known, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.closed).into_iter().partition(exists);
        self.closed = known;
        for saved in gone.iter().filter(|_| self.first_look) {
            let (path, offset) = (&saved.path, saved.offset);
            tracing::warn!(
                path,
                offset,
                "a file of the checkpoint is gone; what was written to it after this offset is lost"
            );
        }
    }
}

/// How compressed files begin: gzip, bzip2, xz, zstd, lz4, zip.
const MAGIC: [&[u8]; 6] = [
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"PK\x03\x04",
];
const LONGEST_MAGIC: u64 = 6;

/// Bytes; asked only of files that are known by their inode.
fn size_of(file: &Found) -> u64 {
    std::fs::metadata(&file.path).map_or(0, |meta| meta.len())
}

/// What the limit of open files leaves beside the sink, the checkpoint and the admin side.
fn capacity() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_sub(RESERVED_FILES)
        .max(1)
}

pub(super) fn nanos_now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
