//! Which files are followed: the directories compared with what is open, and what is known of files that are not.

mod archives;
mod history;
mod room;
mod rotated;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pod_contract::start::explain;

pub(crate) use self::history::Start;
use self::history::{History, PassedOver};
use self::rotated::Young;
use super::archive::Archive;
use super::tail::{Former, Tail};
use crate::batch::Settled;
use crate::checkpoint::{Copied, Positions, Saved};
use crate::config::Reading;
use crate::discover::{Found, Kind, Patterns, Scan};
use crate::identity::Inode;
use crate::ledger::Ledger;
use crate::parse::{Zone, millis};

/// Nothing is born so late.
const NEVER: i64 = i64::MAX;

/// The files of the volume, as the reader knows them.
pub(super) struct Files {
    patterns: Patterns,
    /// For the times of lines, if they are wanted.
    zone: Option<Zone>,
    /// How long a deleted file has to be quiet, and how many bytes of such files are held at most.
    hold_deleted: Duration,
    hold_deleted_max: u64,
    ledger: Ledger,
    /// Part of every file's id, see [`crate::pod::scope`].
    scope: Arc<str>,
    pub(super) tails: BTreeMap<Inode, Tail>,
    /// Compressed files that are read through, one after the other.
    pub(super) archives: Vec<Archive>,
    /// Files that may be open at a time.
    capacity: usize,
    /// Of files that are not open: from the checkpoint, or rotated and let go.
    closed: Vec<Saved>,
    /// What truncated files were before; a copy of one is read on from there.
    formers: Vec<Former>,
    /// When the directories were looked at last, nanoseconds since 1970.
    looked_at: i64,
    started_at: i64,
    first_look: bool,
    /// A name led to another file, or nowhere, when it was to be opened.
    has_missed: bool,
    /// Up to where a run that was killed may have sent a file.
    may_be_sent: HashMap<(u64, i64), u64>,
    /// Files of the checkpoint that are gone have been told.
    is_gone_told: bool,
    /// Up to the end of the first look of a first start.
    history: Option<History>,
    passed_over: PassedOver,
    /// Rotated files that came up since the start and are not read yet.
    young: BTreeMap<Inode, Young>,
    /// Copies of what was read, and their sizes.
    copies: BTreeMap<Inode, Copied>,
    unreadable: BTreeMap<PathBuf, String>,
    /// Compressed files that hold nothing new, or nothing that can be read, as long as they have this size.
    left_out: BTreeMap<Inode, u64>,
    /// All names that were there at the last look.
    names: HashMap<PathBuf, (Inode, Kind)>,
    /// Which files may have something to read.
    pub(super) dirty: BTreeSet<Inode>,
    /// The end is near: what waits for evidence waits no longer.
    pub(super) is_ending: bool,
}

impl Files {
    /// Without `positions`, this is a first start.
    pub(super) fn new(config: &Reading, positions: Option<Positions>, ledger: Ledger) -> Self {
        let now = nanos_now();
        // Up to where each was read when that was saved; and what may have been read and sent since, which is less than in flight.
        let unclear = positions.iter().filter(|positions| !positions.is_clean);
        let since = 2 * config.in_flight as u64;
        let unclear = unclear.flat_map(|positions| &positions.files);
        let may_be_sent = unclear
            .map(|saved| (saved.inode.lasting(), saved.read.max(saved.offset) + since))
            .collect();
        let is_anew = positions.is_none() || config.start == Start::Head;
        // What is there at a first start is history.
        let mut positions = positions.unwrap_or_else(|| Positions::new(NEVER, Vec::new()));
        if is_anew {
            positions.files.iter_mut().for_each(Saved::forget_offset);
        }
        Self {
            patterns: config.patterns.clone(),
            zone: config.zone,
            hold_deleted: config.hold_deleted,
            hold_deleted_max: config.hold_deleted_max,
            ledger,
            scope: crate::pod::scope().into(),
            tails: BTreeMap::new(),
            archives: Vec::new(),
            capacity: room::capacity(),
            closed: positions.files,
            formers: Vec::new(),
            looked_at: positions.looked_at,
            started_at: now,
            first_look: true,
            has_missed: false,
            may_be_sent,
            is_gone_told: false,
            history: is_anew.then(|| History::new(config.start, config.ignore_older, now)),
            passed_over: PassedOver::default(),
            young: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            copies: positions.copies.into_iter().map(|copy| (copy.inode, copy)).collect(),
            left_out: BTreeMap::new(),
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
        self.left_out.retain(|inode, _| exists(inode));
        // What a new archive holds may be a copy that it was made of.
        if !self.awaits_archives() {
            self.copies.retain(|inode, _| exists(inode));
        }
        self.formers
            .retain(|former| exists(&former.inode) && former.is_recent(now));
        self.unreadable
            .retain(|path, _| scan.files.iter().any(|f| f.path == *path) || scan.failed.iter().any(|(p, _)| p == path));
        let size_of = |inode: &Inode| {
            let found = scan.files.iter().find(|file| file.inode.is_likely(inode));
            found.map(|file| file.size)
        };
        for file in &scan.files {
            if let Some(tail) = self.tails.get_mut(&file.inode) {
                tail.exists = true;
                tail.matched |= file.kind == Kind::Matched;
            }
        }
        let archives = self.archives.len();
        let mut opened = self.read_what_vanished(&there, &size_of);
        let known: HashSet<_> = self.closed.iter().map(|saved| saved.inode.lasting()).collect();
        // First those that are known: what was truncated tells of what is new whether it is a copy.
        let is_known = |file: &&Found| known.contains(&file.inode.lasting());
        let (known, others): (Vec<_>, Vec<_>) = scan.files.iter().partition(is_known);
        for file in known.into_iter().chain(others) {
            if !self.tails.contains_key(&file.inode) && !self.takes_as_archive(file, &size_of) && self.is_wanted(file) {
                opened |= self.open(file);
            }
        }
        opened |= self.archives.len() > archives;
        for (path, error) in &scan.failed {
            if error.kind() != io::ErrorKind::NotFound {
                self.complain(path, error);
            }
        }
        // What this look has missed is new to the next one, too.
        let has_missed = std::mem::take(&mut self.has_missed) || scan.has_missed;
        if !has_missed {
            self.looked_at = now;
        }
        self.let_go(&scan, has_missed);
        self.tell_passed_over();
        let name = |file: &Found| (file.path.clone(), (file.inode, file.kind));
        self.names = scan.files.iter().map(name).collect();
        self.dirty = self.tails.keys().copied().collect();
        if self.first_look && !scan.files.iter().any(|file| file.kind == Kind::Matched) {
            tracing::info!("no file matches yet");
        }
        self.first_look &= has_missed;
        if !self.first_look {
            self.history = None;
        }
        self.measure();
        opened
    }

    /// Are there archives of which nobody knows yet what they hold?
    fn awaits_archives(&self) -> bool {
        self.young.values().any(|young| young.is_archive)
    }

    pub(super) fn measure(&self) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let backlog: u64 = self.tails.values().map(Tail::backlog).sum();
        let waiting = self.young.values().filter(|young| young.is_archive);
        let packed: u64 = self
            .archives
            .iter()
            .map(Archive::backlog)
            .chain(waiting.map(|young| young.size))
            .sum();
        self.ledger
            .backlog_bytes
            .set(i64::try_from(backlog + packed).unwrap_or(i64::MAX));
        self.ledger
            .open_files
            .set(gauge(self.tails.len() + self.archives.len()));
        self.ledger.unreadable_files.set(gauge(self.unreadable.len()));
    }

    /// Notes a range as settled. One of a file that was truncated since belongs to content that is gone.
    pub(super) fn settle(&mut self, range: &Settled) {
        let tails = self.tails.values_mut().map(|tail| (&tail.source, &mut tail.frontier));
        let formers = self
            .formers
            .iter_mut()
            .map(|former| (&former.source, &mut former.frontier));
        let archives = self
            .archives
            .iter_mut()
            .map(|archive| (&archive.source, &mut archive.frontier));
        if let Some((_, frontier)) = tails
            .chain(formers)
            .chain(archives)
            .find(|(source, _)| Arc::ptr_eq(source, &range.source))
        {
            frontier.settle(range.start, range.end);
        }
    }

    /// What a checkpoint has to say.
    pub(super) fn positions(&mut self) -> Positions {
        // What waits for evidence is new to the next run too.
        let waiting = self.young.keys().map(Inode::born);
        // A first look that has missed something says nothing of what was born since the start.
        let looked_at = if self.looked_at == NEVER {
            self.started_at
        } else {
            self.looked_at
        };
        let looked_at = waiting.fold(looked_at, i64::min);
        let open = self.tails.values_mut().map(Tail::saved);
        let open = open.chain(self.archives.iter().map(Archive::saved));
        let mut positions = Positions::new(looked_at, open.chain(self.closed.iter().cloned()).collect());
        positions.copies = self.copies.values().cloned().collect();
        positions
    }

    /// Remembers what a file was before it was truncated.
    pub(super) fn remember(&mut self, mut former: Former) {
        former.noticed = nanos_now();
        self.formers.retain(|older| older.inode != former.inode);
        self.formers.push(former);
    }

    fn is_wanted(&mut self, file: &Found) -> bool {
        if file.kind == Kind::Rotated && self.is_new(file) {
            return self.came_and_went(file);
        }
        if file.kind != Kind::Matched {
            let has_more = self.has_more(file);
            if self.history.is_some() && !has_more {
                self.pass_over(
                    file,
                    "rotated before the first start; --ignore-older says what is too old",
                );
            }
            return has_more;
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
                .any(|saved| saved.inode.is_likely(&file.inode) && saved.offset == file.size)
        };
        self.tails.len() < self.capacity || !is_read()
    }

    /// A file outside the patterns that was read before under a name that was to be read, and has grown since, or was truncated.
    fn has_more(&self, file: &Found) -> bool {
        let has_changed = |saved: &&Saved| {
            saved.inode.is_likely(&file.inode)
                && self.patterns.kind(Path::new(&saved.path)) != Kind::Other
                && saved.packed.is_none()
                && saved.offset != file.size
        };
        self.closed.iter().any(|saved| has_changed(&saved))
    }

    /// Notes that the file of this name was written to; false when it may have to be opened.
    pub(super) fn touch(&mut self, path: &Path) -> bool {
        match self.names.get(path) {
            Some((inode, _)) if self.tails.contains_key(inode) => {
                self.dirty.insert(*inode);
                true
            }
            Some((inode, kind)) => {
                let awaits = |young: &Young| young.is_archive;
                *kind == Kind::Other || self.left_out.contains_key(inode) || self.young.get(inode).is_some_and(awaits)
            }
            None => false,
        }
    }

    /// True when the file is open now.
    fn open(&mut self, found: &Found) -> bool {
        match self.try_open(found) {
            Ok(is_open) => {
                self.unreadable.remove(&found.path);
                if is_open {
                    self.young.remove(&found.inode);
                }
                is_open
            }
            Err(error) => {
                self.complain(&found.path, &error);
                false
            }
        }
    }

    /// Once for each path and error.
    pub(super) fn complain(&mut self, path: &Path, error: &io::Error) {
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

    /// The file that was found; not another that has its name by now.
    fn open_found(&mut self, found: &Found) -> io::Result<Option<File>> {
        match File::open(&found.path) {
            Ok(file) if Inode::of(&file)? == found.inode => Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                self.has_missed = true;
                Ok(None)
            }
        }
    }

    /// The same, if one more may be open.
    fn open_in_room(&mut self, found: &Found) -> io::Result<Option<File>> {
        self.make_room()?;
        self.open_found(found)
    }

    fn try_open(&mut self, found: &Found) -> io::Result<bool> {
        let inode = found.inode;
        let Some(file) = self.open_in_room(found)? else {
            return Ok(false);
        };
        if self.tails.contains_key(&inode) {
            return Ok(true);
        }
        let path = found.path.to_string_lossy();
        let mut known_as = inode;
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
            let former = self.formers.swap_remove(index);
            known_as = former.inode;
            Tail::adopt(file, inode, former, &self.scope)?
        } else if found.kind == Kind::Matched && self.history.as_ref().is_some_and(|h| h.passes_over(found)) {
            self.pass_over(found, "there at the first start; followed from its end");
            Tail::at_end(file, inode, &path, &self.scope)?
        } else {
            Tail::new(file, inode, &path, &self.scope)?
        };
        tail.matched = found.kind == Kind::Matched;
        tail.sent_up_to = self.sent_up_to(&known_as);
        if let Some(zone) = self.zone {
            tail.clock.wind(&tail.before()?, zone, millis(SystemTime::now()));
        }
        tracing::info!(path = %path, known_as = tail.source.path, offset = tail.frontier.settled(), "reading");
        self.tails.insert(inode, tail);
        Ok(true)
    }

    /// Where what may have been sent ends, of what was known as this file.
    fn sent_up_to(&self, inode: &Inode) -> u64 {
        self.may_be_sent.get(&inode.lasting()).copied().unwrap_or_default()
    }

    fn former_of(&self, path: &Path, file: &File, inode: &Inode) -> Option<usize> {
        let lives_on = |former: &Former| former.may_be_in(path) && former.lives_on_in(file, inode);
        self.formers.iter().position(lives_on)
    }

    /// Closes rotated and deleted files from which nothing more can be expected.
    fn let_go(&mut self, scan: &Scan, has_missed: bool) {
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
        for archive in self.archives.extract_if(.., |archive| archive.is_done()) {
            let (path, bytes) = (&archive.source.path, archive.position);
            tracing::info!(path, bytes, "done with what was compressed");
            self.closed.push(archive.saved());
        }
        // Of a file that is nowhere, nothing can come; but what could not be looked at, or is not there yet, may hold it.
        let exists = |saved: &Saved| {
            let path = Path::new(&saved.path);
            scan.files.iter().any(|file| file.inode.is_likely(&saved.inode))
                || scan.failed.iter().any(|(failed, _)| path.starts_with(failed))
        };
        // Nor may anybody say what an archive holds that still waits.
        if has_missed || self.awaits_archives() {
            return;
        }
        let (known, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.closed).into_iter().partition(exists);
        self.closed = known;
        let is_finished = |saved: &&Saved| saved.packed.is_some_and(|packed| packed.is_finished);
        let is_told = std::mem::replace(&mut self.is_gone_told, true);
        for saved in gone.iter().filter(|saved| !is_told && !is_finished(saved)) {
            let (path, offset) = (&saved.path, saved.offset);
            tracing::warn!(
                path,
                offset,
                "a file of the checkpoint is gone; what was written to it after this offset is lost"
            );
        }
    }
}

pub(super) fn nanos_now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
