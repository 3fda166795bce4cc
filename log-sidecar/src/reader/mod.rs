//! The one blocking thread: finds files, reads them in turns, hands out batches, and keeps the checkpoint.

mod framing;
mod tail;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pod_contract::exit::Failure;
use pod_contract::explain;
use pod_contract::ready::Latch;
use tokio::sync::mpsc::Sender;

use self::tail::{Likeness, Tail, Turn};
use crate::batch::{Batch, Segment, Settled};
use crate::checkpoint::{Checkpoint, Positions, Saved};
use crate::config::Reading;
use crate::discover::{Found, Kind};
use crate::identity::{HEAD, Inode};
use crate::ledger::Ledger;
use crate::mailbox::Mailbox;
use crate::watch::Watch;

/// More batches than this are never out: the byte budget ends first, and tiny batches wait for each other.
pub(crate) const MAX_BATCHES: usize = 16;
/// The checkpoint follows the acknowledgements at this distance.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Birth times come from a coarser clock, nanoseconds.
const CLOCK_GRAIN: i64 = 20_000_000;
/// While draining, whether files still grow is looked at so often.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// What a round over all files brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Progress,
    Idle,
    /// The budget is used up until the sink answers.
    NoRoom,
}

/// Where reading stands between start and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Stop was asked for at this moment: read on until nothing grows any more.
    Draining(Instant),
    /// Nothing grows: the starts of lines that nobody will end are read too.
    Ending,
    /// All is read; what is out has to come back.
    Flushing,
}

/// Everything the reader thread owns.
pub(crate) struct Reader {
    config: Reading,
    scope: String,
    mailbox: Arc<Mailbox>,
    ledger: Ledger,
    batches: Option<Sender<Batch>>,
    checkpoint: Checkpoint,
    watch: Watch,
    tails: BTreeMap<Inode, Tail>,
    /// Of files that are not open: from the checkpoint, or rotated and let go.
    closed: Vec<Saved>,
    /// When the directories were looked at last, nanoseconds since 1970.
    looked_at: i64,
    /// What rotated files that came up since the start were taken for.
    young: BTreeMap<Inode, Likeness>,
    unreadable: BTreeMap<PathBuf, String>,
    pending: Vec<Segment>,
    pending_since: Instant,
    pending_bytes: usize,
    out_bytes: usize,
    out_batches: usize,
    reconcile_at: Instant,
    save_at: Instant,
    first_scan: Option<Latch>,
    phase: Phase,
}

impl Reader {
    pub(crate) fn new(
        config: Reading,
        (checkpoint, positions): (Checkpoint, Positions),
        mailbox: Arc<Mailbox>,
        ledger: Ledger,
        batches: Sender<Batch>,
        first_scan: Latch,
    ) -> Self {
        let watch = Watch::start(config.patterns.bases(), &mailbox);
        let now = Instant::now();
        Self {
            config,
            scope: crate::pod::scope(),
            mailbox,
            ledger,
            batches: Some(batches),
            checkpoint,
            watch,
            tails: BTreeMap::new(),
            closed: positions.files,
            looked_at: positions.looked_at,
            young: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            pending: Vec::new(),
            pending_since: now,
            pending_bytes: 0,
            out_bytes: 0,
            out_batches: 0,
            reconcile_at: now,
            save_at: now,
            first_scan: Some(first_scan),
            phase: Phase::Running,
        }
    }

    /// Reads until told to drain, and then to the end.
    pub(crate) fn run(mut self) {
        loop {
            if Instant::now() >= self.reconcile_at {
                self.reconcile();
            }
            let round = self.read_turns();
            self.hand_out();
            self.advance_phase(round);
            if self.phase == Phase::Flushing && self.out_batches == 0 {
                break;
            }
            if Instant::now() >= self.save_at {
                self.save();
            }
            let wait = if round == Round::Progress {
                Duration::ZERO
            } else {
                self.next_deadline()
            };
            self.take_news(wait);
        }
        self.save();
        self.measure();
    }

    fn take_news(&mut self, wait: Duration) {
        let news = self.mailbox.wait(wait, self.phase != Phase::Running);
        if news.changed {
            // New names may be among the changes; whatever is lost between the hints, the reconcile finds.
            self.reconcile_at = self.reconcile_at.min(Instant::now() + self.config.poll / 10);
        }
        for (ranges, bytes) in news.settled {
            self.out_batches -= 1;
            self.out_bytes -= bytes;
            ranges.into_iter().for_each(|range| self.settle(&range));
        }
        self.ledger
            .in_flight_bytes
            .set(i64::try_from(self.out_bytes + self.pending_bytes).unwrap_or(i64::MAX));
        if news.drain && self.phase == Phase::Running {
            self.phase = Phase::Draining(Instant::now());
            self.reconcile_at = Instant::now();
        }
    }

    fn settle(&mut self, range: &Settled) {
        // A range of a file that was truncated since belongs to content that is gone.
        if let Some(tail) = self
            .tails
            .values_mut()
            .find(|tail| Arc::ptr_eq(&tail.source, &range.source))
        {
            tail.frontier.settle(range.start, range.end);
        }
    }

    /// Makes the open files equal to what the directories say.
    fn reconcile(&mut self) {
        self.reconcile_at = Instant::now() + self.config.poll;
        self.watch.retry();
        let now = nanos_now();
        let found = self.config.patterns.scan();
        for tail in self.tails.values_mut() {
            tail.matched = false;
        }
        self.young.retain(|inode, _| found.iter().any(|f| f.inode == *inode));
        self.unreadable.retain(|path, _| found.iter().any(|f| f.path == *path));
        let mut opened = false;
        for file in &found {
            if let Some(tail) = self.tails.get_mut(&file.inode) {
                tail.matched |= file.kind == Kind::Matched;
            } else if file.kind == Kind::Matched || self.has_more(file) || self.came_and_went(file) {
                opened |= self.open(file);
            }
        }
        self.looked_at = now;
        self.let_go(&found);
        if opened {
            // The id of a file has to be on disk before any record with it can be sent.
            self.save();
        }
        self.measure();
        self.first_scan = None;
    }

    fn measure(&self) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let backlog: u64 = self.tails.values().map(Tail::backlog).sum();
        self.ledger
            .backlog_bytes
            .set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.ledger.open_files.set(gauge(self.tails.len()));
        self.ledger.unreadable_files.set(gauge(self.unreadable.len()));
    }

    /// A file outside the patterns that was read before under another name, and has grown since.
    fn has_more(&self, file: &Found) -> bool {
        let size = || std::fs::metadata(&file.path).map_or(0, |meta| meta.len());
        self.closed
            .iter()
            .any(|saved| saved.inode.is_likely(&file.inode) && saved.offset < size())
    }

    /// A rotated file that was born and renamed away between two looks, or while the sidecar was down; not a copy of a file that is known.
    fn came_and_went(&mut self, file: &Found) -> bool {
        let known = || self.closed.iter().any(|saved| saved.inode.is_likely(&file.inode));
        let judged = self.young.get(&file.inode);
        let unseen = judged.is_none() && file.inode.is_born_since(self.looked_at - CLOCK_GRAIN) && !known();
        if file.kind != Kind::Rotated || !(unseen || judged == Some(&Likeness::Undecided)) {
            return false;
        }
        let likeness = self.likeness(&file.path);
        // A stranger stays a candidate until it is open, should it be unreadable now.
        self.young.insert(file.inode, likeness.max(Likeness::Undecided));
        likeness == Likeness::Stranger
    }

    fn likeness(&self, path: &Path) -> Likeness {
        // Whoever opens it again tells why it cannot be read.
        let Ok(file) = File::open(path) else {
            return Likeness::Stranger;
        };
        let start = tail::pread_at(&file, 0, HEAD).unwrap_or_default();
        if start.is_empty() {
            return Likeness::Undecided;
        }
        if self
            .closed
            .iter()
            .any(|saved| saved.evidence.has_head_of(&file, saved.offset))
        {
            return Likeness::Copy;
        }
        self.tails
            .values()
            .map(|tail| tail.likeness(&start))
            .max()
            .unwrap_or(Likeness::Stranger)
    }

    /// True when the file is open now.
    fn open(&mut self, found: &Found) -> bool {
        match self.try_open(found) {
            Ok(()) => {
                self.unreadable.remove(&found.path);
                true
            }
            Err(error) => {
                let text = error.to_string();
                if self.unreadable.insert(found.path.clone(), text.clone()) != Some(text) {
                    let remedy = match error.kind() {
                        io::ErrorKind::PermissionDenied => explain::denied(&found.path),
                        _ => "it is tried again as long as it is there".to_owned(),
                    };
                    tracing::error!(path = %found.path.display(), %error, remedy, "cannot read a file that matches");
                }
                false
            }
        }
    }

    fn try_open(&mut self, found: &Found) -> io::Result<()> {
        let file = File::open(&found.path)?;
        let inode = Inode::of(&file)?;
        if self.tails.contains_key(&inode) {
            return Ok(());
        }
        let index = self.closed.iter().position(|saved| saved.inode.is_likely(&inode));
        let saved = index.map(|index| self.closed.swap_remove(index));
        let path = found.path.to_string_lossy();
        let (mut tail, reset) = Tail::open(file, inode, &path, &self.scope, saved.as_ref())?;
        tail.matched = found.kind == Kind::Matched;
        if reset {
            self.ledger.resets.inc();
            tracing::warn!(path = %path, "not the file that the checkpoint knew under this inode: read from its start");
        } else {
            tracing::info!(path = %path, known_as = tail.source.path, offset = tail.frontier.settled(), "reading");
        }
        self.tails.insert(inode, tail);
        Ok(())
    }

    /// Closes rotated and deleted files from which nothing more can be expected.
    fn let_go(&mut self, found: &[Found]) {
        let done: Vec<Inode> = self
            .tails
            .iter()
            .filter(|(_, t)| t.is_abandoned() && t.is_done())
            .map(|(i, _)| *i)
            .collect();
        for inode in done {
            let Some(mut tail) = self.tails.remove(&inode) else {
                continue;
            };
            let exists = found.iter().any(|file| file.inode == inode);
            tracing::info!(
                path = tail.source.path,
                offset = tail.frontier.settled(),
                exists,
                "done with a rotated file"
            );
            self.closed.push(tail.saved());
        }
        // Of a file that is nowhere, nothing can come.
        let (known, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.closed)
            .into_iter()
            .partition(|saved| found.iter().any(|f| f.inode.is_likely(&saved.inode)));
        self.closed = known;
        if self.first_scan.is_some() {
            for saved in gone {
                tracing::warn!(
                    path = saved.path,
                    offset = saved.offset,
                    "a file of the checkpoint is gone; what was written to it after this offset is lost"
                );
            }
        }
    }

    /// One block of each file that has something to read, as far as the budget allows.
    fn read_turns(&mut self) -> Round {
        let mut round = Round::Idle;
        if self.phase == Phase::Flushing {
            return round;
        }
        let inodes: Vec<Inode> = self.tails.keys().copied().collect();
        for inode in inodes {
            if !self.has_room() {
                return Round::NoRoom;
            }
            if self.read_turn(inode) {
                round = Round::Progress;
            }
        }
        round
    }

    /// True when the file gave something.
    fn read_turn(&mut self, inode: Inode) -> bool {
        let Some(tail) = self.tails.get_mut(&inode) else {
            return false;
        };
        let last = self.phase == Phase::Ending || tail.is_abandoned();
        match tail.turn(self.config.max_record, last) {
            Ok(Turn::Segment(segment)) => {
                self.take_in(segment);
                true
            }
            Ok(Turn::More) => true,
            Ok(Turn::Idle) => false,
            Ok(Turn::Reset { lost_from }) => {
                self.ledger.resets.inc();
                tracing::warn!(
                    path = tail.source.path,
                    lost_from,
                    "truncated: read from its start; what was written after this offset and not read is lost"
                );
                self.save();
                // A copy that `copytruncate` made is recognised while the former head is remembered.
                self.reconcile_at = Instant::now();
                true
            }
            Err(error) => {
                tracing::error!(path = tail.source.path, %error, "cannot read");
                false
            }
        }
    }

    fn has_room(&self) -> bool {
        let largest = self.config.batch_size.max(self.config.max_record);
        self.out_bytes + self.pending_bytes + largest <= self.config.in_flight && self.out_batches < MAX_BATCHES
    }

    fn take_in(&mut self, segment: Segment) {
        if self.pending.is_empty() {
            self.pending_since = Instant::now();
        }
        self.ledger.read.inc_by(segment.lines.len() as u64);
        self.ledger.read_bytes.inc_by(segment.end - segment.start);
        self.ledger.truncated.inc_by(
            segment
                .lines
                .iter()
                .filter(|l| l.mark == crate::batch::Mark::Truncated)
                .count() as u64,
        );
        self.pending_bytes += segment.bytes();
        self.pending.push(segment);
        if self.pending_bytes >= self.config.batch_size {
            self.seal();
        }
    }

    /// Sends what has waited long enough for company.
    fn hand_out(&mut self) {
        let due = self.phase != Phase::Running || self.pending_since.elapsed() >= self.config.flush_interval;
        if !self.pending.is_empty() && due && self.out_batches < MAX_BATCHES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let batch = Batch {
            segments: std::mem::take(&mut self.pending),
            read_at: SystemTime::now(),
        };
        self.out_bytes += batch.bytes();
        self.pending_bytes = 0;
        self.out_batches += 1;
        if let Some(batches) = &self.batches {
            // The channel holds as many as may be out; it is closed only when the process gives up.
            if batches.try_send(batch).is_err() {
                tracing::debug!("the network side is gone");
            }
        }
    }

    fn advance_phase(&mut self, round: Round) {
        match self.phase {
            Phase::Draining(since) => {
                let quiet = self.config.drain_quiet;
                let still = |tail: &Tail| tail.is_at_end() && tail.grew_at.elapsed() >= quiet;
                if since.elapsed() >= quiet && self.tails.values().all(still) {
                    self.phase = Phase::Ending;
                }
            }
            Phase::Ending if round == Round::Idle && self.pending.is_empty() => {
                tracing::info!("everything is read; waiting for the sink");
                self.phase = Phase::Flushing;
                self.batches = None;
            }
            Phase::Running | Phase::Ending | Phase::Flushing => {}
        }
    }

    fn next_deadline(&self) -> Duration {
        let now = Instant::now();
        let mut at = self.reconcile_at.min(now + self.config.poll);
        if !self.pending.is_empty() {
            at = at.min(self.pending_since + self.config.flush_interval);
        }
        if matches!(self.phase, Phase::Draining(_) | Phase::Ending) {
            at = at.min(now + DRAIN_TICK);
        }
        at.saturating_duration_since(now)
    }

    fn save(&mut self) {
        self.save_at = Instant::now() + SAVE_INTERVAL;
        let open = self.tails.values_mut().map(Tail::saved);
        let files = open.chain(self.closed.iter().cloned()).collect();
        if let Err(error) = self.checkpoint.save(&Positions::new(self.looked_at, files)) {
            tracing::error!(%error, "cannot write the checkpoint; after a restart, lines may be sent twice");
        }
    }
}

/// Opens the checkpoint, or says what to do about it.
pub(crate) fn open_checkpoint(state: Option<&Path>) -> Result<(Checkpoint, Positions), Failure> {
    if state.is_none() {
        tracing::warn!("no --state: after a restart of the container every file is sent from its head again");
    }
    Checkpoint::open(state, nanos_now()).map_err(|error| {
        let dir = state.unwrap_or(Path::new(""));
        let failure = Failure::failed(format!("cannot use the state directory {}: {error}", dir.display()));
        match error.kind() {
            io::ErrorKind::PermissionDenied => failure.remedy(explain::denied(dir)),
            _ => failure.remedy("name a directory on a writable volume; to start anew, and send everything again, remove checkpoint.json from it"),
        }
    })
}

fn nanos_now() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
