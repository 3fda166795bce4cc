//! Which files are followed: the directories compared with what is open, and what is known of files that are not.

mod archives;
mod format;
mod growing;
mod history;
mod look;
mod memory;
mod open;
mod room;
mod rotated;
mod writers;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use self::growing::Growing;
pub(crate) use self::history::Start;
use self::history::{History, PassedOver};
use self::look::Look;
use self::memory::{Known, Memory};
use self::rotated::Young;
use super::archive::Archive;
use super::former::Former;
use super::framing::Utf16;
use super::tail::Tail;
use super::trouble::Trouble;
use crate::batch::{Settled, Source};
use crate::checkpoint::{Positions, Saved};
use crate::clock::Times;
use crate::config::Reading;
use crate::discover::{Found, Kind, Patterns, Scan, is_compressed_name};
use crate::identity::{Inode, Lasting};
use crate::lease::Leases;
use crate::ledger::Ledger;
use crate::loss::{Loss, Why};

/// Of one file.
const MOST_FORMERS: usize = 16;

/// A file that has no name any more, and may still be written to or have something to read.
#[derive(Debug)]
pub(crate) struct Held {
    file: File,
    found: Found,
}

impl Held {
    pub(in crate::reader) fn new(file: File, found: Found) -> Self {
        Self { file, found }
    }

    pub(in crate::reader) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            found: self.found.clone(),
        })
    }
}

/// The files of the volume, as the reader knows them.
pub(super) struct Files {
    patterns: Patterns,
    times: Times,
    utf16: Option<Utf16>,
    start: Start,
    /// How long a deleted file has to be quiet, and how many bytes of such files are held at most.
    hold_deleted: Duration,
    hold_deleted_max: u64,
    ledger: Ledger,
    leases: Option<Leases>,
    /// Part of every file's id, see [`crate::pod::scope`].
    scope: Arc<str>,
    /// Files that may be open at a time.
    capacity: usize,
    pub(super) tails: BTreeMap<Inode, Tail>,
    /// Which of them may have something to read.
    pub(super) dirty: BTreeSet<Inode>,
    /// Compressed files that are read through, one after the other.
    pub(super) archives: Vec<Archive>,
    /// Those of which nobody knows yet what they hold; and are there more, which wait until one of these is done?
    growing: Vec<Growing>,
    has_more_archives: bool,
    /// Rotated files that came up and are not read yet.
    young: BTreeMap<Inode, Young>,
    /// Files that are not open.
    memory: Memory,
    /// What truncated files were before; a copy of one is read on from there.
    formers: Vec<Former>,
    /// Of files in whose place others were written: what they are read as.
    generations: HashMap<Lasting, u32>,
    /// Up to where a run that was killed may have sent a file.
    may_be_sent: HashMap<Lasting, u64>,
    /// Of a first start.
    history: Option<History>,
    passed_over: PassedOver,
    unreadable: BTreeMap<PathBuf, Trouble>,
    /// All names that were there.
    last_look: Scan,
    first_look: bool,
    /// A name led to another file, or nowhere, when it was to be opened.
    has_missed: bool,
    /// Of the reader before in this process.
    inherited: Vec<Held>,
    /// What is lost, and not told.
    losses: Vec<Loss>,
    /// By a run before, which did not get so far as to tell the sink.
    pub(super) untold: Vec<Loss>,
    /// What the sink is told, and has not taken yet.
    pub(super) gaps: Vec<(Arc<Source>, Loss)>,
    /// An archive was broken.
    pub(super) has_lost: bool,
    /// Files of the checkpoint that are gone have been told.
    is_gone_told: bool,
    /// The end is near: what waits for evidence waits no longer.
    pub(super) is_ending: bool,
    /// Something was written in this pod.
    pub(super) has_begun: bool,
    /// Files that somebody has closed, of names that are not known yet.
    closed: HashSet<PathBuf>,
    /// Since when nobody is left who could write.
    unwritten_since: Option<Instant>,
}

impl Files {
    /// Without `positions`, this is a first start.
    pub(super) fn new(
        config: &Reading,
        positions: Option<Positions>,
        held: Vec<Held>,
        ledger: Ledger,
        leases: Option<Leases>,
    ) -> Self {
        // Up to where each was read when that was saved; and what may have been read and sent since: as much as may be in flight, and a block.
        let unclear = positions.iter().filter(|positions| !positions.is_clean);
        let since = 2 * config.batches.in_flight as u64;
        let unclear = unclear.flat_map(|positions| {
            let truncated = positions.truncated.iter().map(|truncated| &truncated.file);
            positions.files.iter().chain(truncated)
        });
        let mut may_be_sent = HashMap::new();
        for saved in unclear {
            let end: &mut u64 = may_be_sent.entry(saved.inode.lasting()).or_default();
            *end = saved.read.max(saved.offset).saturating_add(since).max(*end);
        }
        let is_anew = positions.is_none() || config.start == Start::Head;
        let mut positions = positions.unwrap_or_default();
        if is_anew {
            positions.files.iter_mut().for_each(Saved::forget_offset);
            positions.copies.clear();
            positions.left_out.clear();
            positions.truncated.clear();
        }
        let scope = crate::pod::scope();
        Self {
            patterns: config.patterns.clone(),
            times: config.times,
            utf16: config.framing.utf16,
            start: config.start,
            hold_deleted: config.hold_deleted,
            hold_deleted_max: config.hold_deleted_max,
            ledger,
            leases,
            has_begun: positions.begun_in.as_deref() == Some(&scope),
            scope: scope.into(),
            capacity: room::capacity(),
            tails: BTreeMap::new(),
            dirty: BTreeSet::new(),
            archives: Vec::new(),
            growing: Vec::new(),
            has_more_archives: false,
            young: BTreeMap::new(),
            memory: Memory::new(positions.files, positions.copies, positions.left_out),
            formers: positions.truncated.into_iter().map(Former::restored).collect(),
            may_be_sent,
            generations: HashMap::new(),
            history: is_anew.then(|| History::new(config.start, config.ignore_older, nanos_now())),
            passed_over: PassedOver::default(),
            unreadable: BTreeMap::new(),
            last_look: Scan::default(),
            first_look: true,
            has_missed: false,
            losses: Vec::new(),
            untold: positions.losses,
            gaps: Vec::new(),
            inherited: held,
            has_lost: false,
            is_gone_told: false,
            is_ending: false,
            closed: HashSet::new(),
            unwritten_since: None,
        }
    }

    /// Makes the open files equal to what the directories say; true when one was opened.
    pub(super) fn reconcile(&mut self) -> bool {
        let scan = self.patterns.scan();
        let look = Look::new(&scan);
        for tail in self.tails.values_mut() {
            let found = look.of(&tail.inode);
            // Below what could not be looked at, it may still be.
            let is_hidden = || look.hides(Path::new(&tail.source.path));
            tail.exists = found.is_some() || is_hidden();
            tail.matched = match found {
                Some(found) => found.kind == Kind::Matched,
                None => tail.matched && is_hidden(),
            };
        }
        self.unreadable
            .retain(|path, _| look.lacks(path) || scan.named(path).is_some());
        let mut opened = self.read_what_vanished(&look) | self.take_up_inherited(&look);
        self.has_more_archives = false;
        // First those that are known: what was truncated tells of what is new whether it is a copy.
        let (known, others): (Vec<_>, Vec<_>) = look
            .files()
            .filter(|file| !self.tails.contains_key(&file.inode))
            .partition(|file| self.memory.read(&file.inode).is_some());
        for found in known.into_iter().chain(others) {
            opened |= match self.take_up(found) {
                Ok(is_open) => is_open,
                Err(error) => {
                    self.complain(&found.path, &error);
                    false
                }
            };
        }
        opened |= self.judge_archives(&look);
        let (now, awaits) = (nanos_now(), self.awaits_archives());
        let may_come = |former: &Former| awaits || former.may_come(now, look.of(&former.inode).is_some());
        let forgotten = self.formers.extract_if(.., |former| !may_come(former));
        self.losses.extend(forgotten.filter_map(|former| former.loss(0)));
        look.hidden().for_each(|(path, error)| self.complain(path, error));
        // What this look has missed has another name by now, or none.
        let has_missed = std::mem::take(&mut self.has_missed) || scan.has_missed;
        self.look_for_writers();
        self.let_go(&look);
        if !has_missed {
            self.forget_what_is_gone(&look);
            if let Some(history) = &mut self.history {
                history.note(&look, self.unreadable.keys());
            }
        }
        self.tell_passed_over();
        if self.first_look && !look.files().any(|file| file.kind == Kind::Matched) {
            tracing::info!("no file matches yet");
        }
        self.first_look &= has_missed;
        let may_have_news = |(inode, tail): &(&Inode, &Tail)| {
            let found = look.of(inode);
            found.is_none_or(|found| tail.has_news(found.size, found.modified))
        };
        let news = self.tails.iter().filter(may_have_news).map(|(inode, _)| *inode);
        self.dirty.extend(news);
        self.measure(Some(&look));
        self.last_look = scan;
        for path in std::mem::take(&mut self.closed) {
            self.note_closed(&path);
        }
        self.closed.clear();
        opened
    }

    /// All of them, by a look at them or else at each.
    fn measure(&mut self, look: Option<&Look<'_>>) {
        let now = Instant::now();
        let (mut backlog, mut lags) = (0, Vec::new());
        for (inode, tail) in &mut self.tails {
            let found = look.and_then(|look| look.of(inode));
            let size = found.map_or_else(|| tail.size(), |found| found.size);
            // On a volume that outlives pods, there is what others have written.
            self.has_begun |= tail.has_grown(size);
            let (unread, lag) = tail.measure(size, now);
            backlog += unread;
            lags.extend(lag);
        }
        self.ledger.lags.set(lags);
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let archives = self.archives.iter().map(Archive::backlog);
        let packed: u64 = archives.chain(self.growing.iter().map(|growing| growing.size)).sum();
        self.ledger
            .backlog_bytes
            .set(i64::try_from(backlog + packed).unwrap_or(i64::MAX));
        let open = self.tails.len() + self.archives.len() + self.growing.len();
        self.ledger.open_files.set(gauge(open));
        let tails = self.tails.values().map(|tail| &tail.trouble);
        let archives = self.archives.iter().map(|archive| &archive.trouble);
        let growing = self.growing.iter().map(|growing| &growing.trouble);
        let troubles = tails.chain(archives).chain(growing).chain(self.unreadable.values());
        self.ledger
            .unreadable_files
            .set(gauge(troubles.filter(|trouble| trouble.is_there()).count()));
    }

    /// How far they are now.
    pub(super) fn measure_each(&mut self) {
        self.measure(None);
    }

    /// Is there something that was not, or could not be, read to its end?
    pub(super) fn has_unread(&self, is_held_back: bool) -> bool {
        let is_log = |path: &PathBuf| (self.last_look.named(path)).is_some_and(|found| found.kind != Kind::Other);
        let is_unread = |tail: &Tail| (is_held_back || tail.trouble.is_there()) && tail.backlog() > 0;
        self.has_lost
            || self.awaits_archives()
            || self.young.values().any(|young| young.size > 0)
            || self
                .unreadable
                .iter()
                .any(|(path, trouble)| trouble.is_there() && is_log(path))
            || self.archives.iter().any(|archive| !archive.is_read)
            || self.tails.values().any(is_unread)
    }

    /// Those that were truncated and not read since; where hints are `complete`, one has told of them.
    pub(super) fn cut(&self, complete: bool) -> Vec<Inode> {
        let is_cut = |inode: &Inode| self.tails.get(inode).is_some_and(Tail::is_cut);
        match complete {
            true => self.dirty.iter().copied().filter(is_cut).collect(),
            false => self.tails.keys().copied().filter(is_cut).collect(),
        }
    }

    /// Nothing comes any more: what only a copy could have is lost.
    pub(super) fn give_up_copies(&mut self) {
        for former in &mut self.formers {
            self.losses.extend(former.loss(0));
            former.size = former.offset;
        }
    }

    /// Files that have no name any more, for whoever goes on.
    pub(super) fn held(&mut self) -> Vec<Held> {
        let scan = self.patterns.scan();
        let look = Look::new(&scan);
        let nameless = self.tails.extract_if(.., |inode, _| look.of(inode).is_none());
        nameless.map(|(inode, tail)| tail.into_held(inode)).collect()
    }

    fn take_up_inherited(&mut self, look: &Look<'_>) -> bool {
        let mut opened = false;
        for Held { file, found } in std::mem::take(&mut self.inherited) {
            let saved = self.memory.read(&found.inode).cloned();
            if look.of(&found.inode).is_some() || saved.is_none() {
                continue;
            }
            match self.follow(&found, file, saved.as_ref()) {
                Ok(is_open) => opened |= is_open,
                Err(error) => self.complain(&found.path, &error),
            }
            if let Some(tail) = self.tails.get_mut(&found.inode) {
                (tail.matched, tail.exists) = (false, false);
            }
        }
        opened
    }

    /// What is lost since the last time.
    pub(super) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// Notes a range as settled. One of a file that was truncated since belongs to content that is gone.
    pub(super) fn settle(&mut self, range: &Settled) {
        // Nearly always it is where it was.
        let tail = self.tails.get_mut(&range.source.inode);
        if let Some(tail) = tail.filter(|tail| Arc::ptr_eq(&tail.source, &range.source)) {
            return tail.frontier.settle(range.start, range.end);
        }
        // It stands for a loss.
        if range.start == range.end {
            return self.gaps.retain(|(source, _)| !Arc::ptr_eq(source, &range.source));
        }
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

    /// What a checkpoint has to say. What waits for evidence is new to the next run, too.
    pub(super) fn positions(&mut self) -> Positions {
        let open = self.tails.values_mut().map(Tail::saved);
        let open = open.chain(self.archives.iter().map(Archive::saved));
        let mut files: Vec<_> = open.chain(self.memory.all_read().cloned()).collect();
        let mut copies: Vec<_> = self.memory.copies().cloned().collect();
        let mut left_out: Vec<_> = self.memory.left_out().cloned().collect();
        files.sort_by_key(|file| file.inode);
        copies.sort_by_key(|file| file.inode);
        left_out.sort_by_key(|file| file.inode);
        Positions {
            files,
            copies,
            left_out,
            begun_in: self.has_begun.then(|| self.scope.to_string()),
            truncated: self.formers.iter().map(Former::saved).collect(),
            losses: self
                .losses
                .iter()
                .chain(&self.untold)
                .chain(self.gaps.iter().map(|(_, loss)| loss))
                .cloned()
                .collect(),
            ..Positions::default()
        }
    }

    /// Remembers what a file was before it was truncated.
    pub(super) fn remember(&mut self, mut former: Former) {
        former.noticed = nanos_now();
        // Of a file that is truncated again and again, the oldest are known longest.
        if self.formers.iter().filter(|older| older.inode == former.inode).count() >= MOST_FORMERS
            && let Some(oldest) = self.formers.iter().position(|older| older.inode == former.inode)
        {
            let forgotten = self.formers.remove(oldest);
            self.losses.extend(forgotten.loss(0));
        }
        self.formers.push(former);
    }

    /// Notes that the file of this name was written to; false when it may have to be opened.
    pub(super) fn touch(&mut self, path: &Path) -> bool {
        let Some(Found { inode, kind, .. }) = self.last_look.named(path) else {
            self.closed.remove(path);
            return false;
        };
        if let Some(tail) = self.tails.get_mut(inode) {
            tail.is_closed = false;
            self.dirty.insert(*inode);
            return true;
        }
        // The next look at all files is soon enough for what only a look can judge.
        *kind == Kind::Other
            || matches!(self.memory.of(inode), Some(Known::LeftOut(_)))
            || self.growing.iter().any(|growing| growing.inode == *inode)
    }

    /// Once for each path and error.
    fn complain(&mut self, path: &Path, error: &io::Error) {
        self.unreadable.entry(path.to_owned()).or_default().tell(path, error);
    }

    /// Where what may have been sent ends, of what was known as this file.
    fn sent_up_to(&self, inode: &Inode) -> u64 {
        self.may_be_sent.get(&inode.lasting()).copied().unwrap_or_default()
    }

    /// Closes rotated and deleted files from which nothing more can be expected.
    fn let_go(&mut self, look: &Look<'_>) {
        self.limit_what_is_held();
        let hold = self.hold_deleted;
        let done = self
            .tails
            .extract_if(.., |_, tail| tail.is_abandoned(hold) && tail.is_done());
        for (inode, mut tail) in done {
            let (path, offset) = (&tail.source.path, tail.frontier.settled());
            let exists = look.of(&inode).is_some();
            tracing::info!(path, offset, exists, "done with a rotated file");
            self.memory.note(Known::Read(tail.saved()));
        }
        for archive in self.archives.extract_if(.., |archive| archive.is_done()) {
            let bytes = archive.position;
            tracing::info!(path = %archive.path.display(), bytes, "done with what was compressed");
            self.memory.note(Known::Read(archive.saved()));
        }
    }

    /// Of a file that is nowhere, nothing can come; but what could not be looked at, or is not there yet, may hold it, and so may an archive
    /// of which nobody can say yet what it holds.
    fn forget_what_is_gone(&mut self, look: &Look<'_>) {
        let mut unreadable = self.unreadable.iter();
        if self.awaits_archives() || unreadable.any(|(path, trouble)| trouble.is_there() && is_compressed_name(path)) {
            return;
        }
        let exists = |file: &Lasting, known: &Known| look.has(file) || look.lacks(known.path());
        let gone = self.memory.forget_gone(exists);
        let is_finished = |saved: &Saved| saved.packed.is_some_and(|packed| packed.is_finished);
        let is_told = std::mem::replace(&mut self.is_gone_told, true);
        for saved in gone.into_iter().filter(|saved| !is_finished(saved)) {
            let (path, offset) = (&saved.path, saved.offset);
            if !is_told {
                tracing::warn!(
                    path,
                    offset,
                    "a file of the checkpoint is gone; what was written to it after this offset is lost"
                );
            }
            // What was on its way may be delivered.
            let from = offset.max(self.sent_up_to(&saved.inode));
            if saved.packed.is_none() && saved.size > from {
                let source = Source {
                    id: saved.id,
                    path: saved.path,
                    inode: saved.inode,
                };
                self.losses.push(Loss::of(&source, from, saved.size - from, Why::Gone));
            }
        }
    }
}

/// How long ago a file was written to last, by its nanoseconds since 1970; none of what is yet to come.
fn age_of(modified: i64) -> Option<Duration> {
    let age = nanos_now().saturating_sub(modified);
    u64::try_from(age).ok().map(Duration::from_nanos)
}

pub(super) fn nanos_now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
