//! The one blocking thread: reads files in turns, hands out batches within the budget, and keeps the checkpoint.

mod archive;
mod clock;
mod collect;
mod ends;
mod files;
mod former;
mod framing;
mod pace;
mod pending;
mod tail;
mod trouble;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use pod_contract::run::ready::{Latch, Ready};
use pod_contract::start::exit::Failure;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use self::archive::{Archive, Passage};
use self::collect::Collecting;
use self::files::Files;
pub(crate) use self::files::{Held, Start};
pub(crate) use self::framing::{Framing, Join, Utf16, framed};
use self::pace::Pace;
use self::pending::Pending;
use self::tail::{Expected, Tail, Turn};
use crate::batch::{Batch, Mark, Segment};
use crate::checkpoint::{Checkpoint, Positions};
use crate::config::Reading;
use crate::discover::Watch;
use crate::identity::Inode;
use crate::intent::Intent;
use crate::lease::Leases;
use crate::ledger::Ledger;
use crate::loss::Loss;
use crate::mailbox::Mailbox;
use crate::recycle::Pool;
use crate::sink::Target;
use crate::state::cannot_use;

/// More batches than this are never out: the byte budget ends first, and tiny batches wait for each other.
pub(crate) const MAX_BATCHES: usize = 16;
/// Blocks that are kept for the next ones, and how large one is at least.
pub(crate) const SPARE_BLOCKS: usize = 16;
pub(crate) const LEAST_BLOCK: usize = tail::BLOCK / 2;
/// Batches that are held do not stop the others, up to so many, and as many bytes again as may be in flight.
pub(crate) const MAX_HELD: usize = 256;
/// The checkpoint follows the acknowledgements at this distance; at first it is a share of the time since the start, so that a process
/// that never lives long gets on too.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
const FIRST_SAVE: Duration = Duration::from_millis(20);
const SHARE: u32 = 4;
/// And no farther than this, however long it takes to write it.
const MAX_SAVE: Duration = Duration::from_secs(15);
/// A look at all files, or the checkpoint, takes one part in so many of the time.
const RARE: u32 = 1000;
const OFTEN: u32 = 20;
const MAX_POLL: Duration = Duration::from_secs(30);
/// Between two looks at files that are written to all the time.
const REST: Duration = Duration::from_millis(85);
/// While the sink is busy, a line waits for company so long, unless the user says how long.
const USUAL_FLUSH: Duration = Duration::from_millis(200);
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
    /// Nothing grows, or the time is up: the starts of lines that nobody will end are read too.
    Ending(Instant),
    /// All is read; what is out has to come back.
    Flushing,
}

/// What one reader leaves to the next in the same process.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) positions: Positions,
    pub(crate) held: Vec<Held>,
    /// The sink, if it was there.
    pub(crate) met: Option<Target>,
}

impl Legacy {
    /// The same once more: the first who goes on may fail.
    pub(crate) fn again(&self) -> Result<Self, Failure> {
        let held: io::Result<_> = self.held.iter().map(Held::again).collect();
        Ok(Self {
            positions: self.positions.clone(),
            met: self.met.clone(),
            held: held.map_err(|error| Failure::failed(format!("cannot hold a deleted file any longer: {error}")))?,
        })
    }
}

/// Everything the reader thread owns.
pub(crate) struct Reader {
    config: Reading,
    mailbox: Arc<Mailbox>,
    ledger: Ledger,
    batches: Option<Sender<Batch>>,
    checkpoint: Checkpoint,
    watch: Watch,
    files: Files,
    /// Files of which the last record may go on, and when that is waited for no longer.
    open: BTreeMap<Inode, Instant>,
    last_served: Inode,
    pending: Pending,
    /// If the sink keeps what is sent at once as one object.
    collecting: Option<Collecting>,
    out_bytes: usize,
    out_batches: usize,
    /// Batches and bytes among those that are out, and are held.
    held: (usize, usize),
    /// In how many segments that are held each file is, by its id.
    held_files: HashMap<String, usize>,
    pace: Pace,
    is_stuck_told: bool,
    /// When hints were looked at last.
    looked_at: Instant,
    reconcile_at: Instant,
    save_at: Instant,
    /// What the last checkpoint could not be written for.
    unsaved: Option<String>,
    /// Bytes read since it was written, or could not be.
    read_since: u64,
    first_scan: Option<Latch>,
    ready: Ready,
    /// Held while a file is too far behind.
    behind: Option<Latch>,
    blocks: Arc<Pool>,
    phase: Phase,
    /// What is out is given up.
    is_abandoned: bool,
    /// Another one goes on.
    is_handing_over: bool,
    started: Instant,
}

impl Reader {
    pub(crate) fn new(
        config: Reading,
        (checkpoint, positions, held): (Checkpoint, Option<Positions>, Vec<Held>),
        mailbox: Arc<Mailbox>,
        ledger: Ledger,
        batches: Sender<Batch>,
        (ready, first_scan): (Ready, Latch),
        (blocks, leases): (Arc<Pool>, Option<Leases>),
    ) -> Self {
        let watch = Watch::start(config.patterns.bases(), &mailbox);
        let left = positions.as_ref().filter(|_| config.start != Start::Head);
        let left = left.map(|positions| positions.intents.clone());
        let collecting = config
            .batches
            .collect
            .map(|longest| Collecting::new(longest, left.unwrap_or_default()));
        let files = Files::new(&config, positions, held, ledger.clone(), leases);
        let now = Instant::now();
        Self {
            pace: Pace::new(config.rate, now),
            config,
            mailbox,
            ledger,
            batches: Some(batches),
            checkpoint,
            watch,
            files,
            open: BTreeMap::new(),
            last_served: Inode::default(),
            pending: Pending::default(),
            collecting,
            out_bytes: 0,
            out_batches: 0,
            held: (0, 0),
            held_files: HashMap::new(),
            is_stuck_told: false,
            looked_at: now,
            reconcile_at: now,
            save_at: now,
            unsaved: None,
            read_since: 0,
            first_scan: Some(first_scan),
            ready,
            behind: None,
            blocks,
            phase: Phase::Running,
            is_abandoned: false,
            is_handing_over: false,
            started: now,
        }
    }

    /// Reads until told to drain, and then to the end, or until told to hand over; returns where that is.
    pub(crate) fn run(mut self) -> Legacy {
        loop {
            // Once all is read, what a look finds is for the next run.
            if self.phase != Phase::Flushing && Instant::now() >= self.reconcile_at {
                self.reconcile();
            }
            let round = self.read_turns();
            self.hand_out(round);
            self.advance_phase(round);
            if self.phase == Phase::Flushing && (self.out_batches == 0 || self.is_abandoned) {
                break;
            }
            if Instant::now() >= self.save_at || self.is_far_ahead() {
                self.save();
            }
            let wait = if round == Round::Progress {
                Duration::ZERO
            } else {
                self.next_deadline()
            };
            self.take_news(wait);
        }
        // Also when no position has moved: what was looked at is not new to the next run.
        // Nothing is out any more.
        let positions = Positions {
            is_clean: !self.is_abandoned,
            ..self.positions()
        };
        if let Err(error) = self.checkpoint.end(&positions) {
            tracing::error!(%error, "cannot write the checkpoint");
        }
        self.files.measure_each();
        Legacy {
            positions,
            held: if self.is_handing_over {
                self.files.held()
            } else {
                Vec::new()
            },
            met: None,
        }
    }

    /// Has more been read since the checkpoint than may be in flight? Of a run that was killed, what may have been sent ends there.
    fn is_far_ahead(&self) -> bool {
        self.checkpoint.is_kept() && self.read_since >= self.config.batches.in_flight as u64
    }

    fn reconcile(&mut self) {
        let started = Instant::now();
        self.files.is_ending = self.phase != Phase::Running;
        self.watch.retry();
        // A truncation is noticed also when the budget forbids to read: the copy may not be there for long.
        for inode in self.files.cut(self.watch.is_complete()) {
            self.read_turn(inode);
        }
        if self.files.reconcile() || self.first_scan.is_some() {
            // The id of a file has to be on disk before any record with it can be sent.
            self.save();
        }
        if self.first_scan.take().is_some() {
            self.send_what_was_out();
            // Counted by the run that has noticed them.
            let untold = std::mem::take(&mut self.files.untold);
            self.tell_sink(untold);
        }
        self.tell_losses();
        self.judge_lag();
        if self.config.ends_with_writers {
            let has_no_writers = self.files.have_no_writers();
            self.ledger.has_no_writers.store(has_no_writers, Ordering::Relaxed);
            self.ledger.has_begun.fetch_or(self.files.has_begun, Ordering::Relaxed);
        }
        // Where hints tell of everything, a look at thousands of files is for what they missed; of room they tell nothing.
        let is_told = self.watch.is_complete() && !self.files.wants_room();
        let share = if is_told { RARE } else { OFTEN };
        let pause = (started.elapsed() * share).min(MAX_POLL);
        self.reconcile_at = Instant::now() + self.config.poll.max(pause);
    }

    fn tell_losses(&mut self) {
        let losses = self.files.take_losses();
        for Loss {
            path, from, bytes, why, ..
        } in &losses
        {
            tracing::error!(path, from, bytes, "lines are lost: {}", why.text());
            self.ledger.lost_bytes.inc_by(*bytes);
        }
        self.tell_sink(losses);
    }

    /// The records of losses are in the checkpoint until they are settled.
    fn tell_sink(&mut self, losses: Vec<Loss>) {
        let segments: Vec<Segment> = losses.iter().map(Loss::segment).collect();
        let gaps = segments.iter().map(|segment| Arc::clone(&segment.source)).zip(losses);
        self.files.gaps.extend(gaps);
        for segment in segments {
            self.ledger.read.inc();
            self.collect(segment);
        }
    }

    fn judge_lag(&mut self) {
        let Some(limit) = self.config.ready_lag else { return };
        let is_behind = self.ledger.lags.longest() > limit;
        if is_behind && self.behind.is_none() {
            let sink = self
                .ledger
                .sink
                .iter()
                .map(|sink| format!(" of {sink}"))
                .collect::<String>();
            self.behind = Some(
                self.ready
                    .latch(format!("what was written more than {limit:?} ago{sink}")),
            );
        } else if !is_behind {
            self.behind = None;
        }
    }

    fn take_news(&mut self, wait: Duration) {
        let rest = REST.saturating_sub(self.looked_at.elapsed());
        let news = self.mailbox.wait(wait, rest, self.phase != Phase::Running);
        self.looked_at = Instant::now();
        let mut is_known = true;
        for path in &news.touched {
            is_known &= self.files.touch(path);
        }
        news.closed.iter().for_each(|path| self.files.note_closed(path));
        if news.changed || !is_known {
            // New names may be among the changes; whatever is lost between the hints, the reconcile finds.
            self.reconcile_at = self.reconcile_at.min(Instant::now() + self.config.poll / 10);
        }
        let moved = |held: usize, by: isize| held.saturating_add_signed(by);
        self.held = (moved(self.held.0, news.held.0), moved(self.held.1, news.held.1));
        self.is_stuck_told &= self.held.0 > 0;
        for (file, is_held) in news.held_files {
            let count = self.held_files.entry(file.id.clone()).or_default();
            *count = count.saturating_add_signed(if is_held { 1 } else { -1 });
            if *count == 0 {
                self.held_files.remove(&file.id);
            }
        }
        self.ledger
            .held_bytes
            .set(i64::try_from(self.held.1).unwrap_or(i64::MAX));
        for done in news.settled {
            self.out_batches -= 1;
            self.out_bytes -= done.bytes;
            done.ranges.iter().for_each(|range| self.files.settle(range));
            if let (Some(collecting), Some(name)) = (&mut self.collecting, &done.name) {
                collecting.settle(name);
            }
        }
        self.ledger
            .in_flight_bytes
            .set(i64::try_from(self.out_bytes + self.pending.bytes).unwrap_or(i64::MAX));
        self.is_abandoned |= news.abandon;
        self.is_handing_over |= news.hand_over;
        if news.hand_over && self.phase == Phase::Running {
            self.seal();
            self.phase = Phase::Flushing;
            self.batches = None;
        }
        if news.drain && self.phase == Phase::Running {
            self.phase = Phase::Draining(Instant::now());
            self.reconcile_at = Instant::now();
        }
    }

    /// One block of each file that has something to read, as far as the budget allows.
    fn read_turns(&mut self) -> Round {
        let mut round = Round::Idle;
        if self.phase == Phase::Flushing {
            return round;
        }
        if self.phase != Phase::Running {
            self.files.dirty = self.files.tails.keys().copied().collect();
        }
        let now = Instant::now();
        // That needs no budget.
        let unpacked = self.files.unpack_archive();
        if unpacked == Some(true) {
            self.reconcile_at = now;
        }
        let due: Vec<_> = self.open.extract_if(.., |_, at| *at <= now).collect();
        if let Some(collecting) = self.collecting.as_mut().filter(|_| !due.is_empty()) {
            collecting.hurry(now);
        }
        self.files.dirty.extend(due.into_iter().map(|(inode, _)| inode));
        if self.rests(now) {
            return if unpacked.is_some() {
                Round::Progress
            } else {
                Round::Idle
            };
        }
        // From where the last round ended: under pressure, every file gets its turn.
        let dirty = &self.files.dirty;
        let after = dirty.range((Bound::Excluded(self.last_served), Bound::Unbounded));
        let inodes: Vec<Inode> = after.chain(dirty.range(..=self.last_served)).copied().collect();
        let mut is_full = false;
        for inode in inodes {
            if self.is_paced(now) || !(self.has_room() || self.may_show_fault(inode)) {
                is_full = true;
                continue;
            }
            self.last_served = inode;
            if self.read_turn(inode) {
                round = Round::Progress;
                continue;
            }
            self.files.dirty.remove(&inode);
            let due_at = self
                .files
                .tails
                .get(&inode)
                .and_then(|tail| tail.due_at(&self.config.framing));
            match due_at.filter(|at| *at > now) {
                Some(at) => drop(self.open.insert(inode, at)),
                None => drop(self.open.remove(&inode)),
            }
        }
        if unpacked.is_some() || (!self.is_paced(now) && self.has_room() && self.read_archive()) {
            round = Round::Progress;
        }
        if is_full && round == Round::Idle {
            if !self.is_paced(now) {
                self.tell_if_stuck();
            }
            return Round::NoRoom;
        }
        if round == Round::Idle
            && let Some(collecting) = &mut self.collecting
        {
            collecting.is_over();
        }
        round
    }

    /// The same of the first archive that can be read.
    fn read_archive(&mut self) -> bool {
        // After a crash, the records might come again under other ids.
        if self.unsaved.is_some() {
            return false;
        }
        for archive in self.files.archives.iter_mut().filter(|archive| !archive.is_read) {
            match archive.turn(&self.blocks, &self.config.framing) {
                Ok(Passage::Segment(mut segment)) => {
                    archive.trouble.is_over();
                    archive
                        .clock
                        .note(&mut segment, self.config.times, archive.frontier.settled());
                    self.take_in(segment);
                }
                Ok(Passage::End) => {
                    // Others may wait for its place.
                    self.reconcile_at = self.reconcile_at.min(Instant::now() + self.config.poll);
                }
                Ok(Passage::Broken(error)) => {
                    self.files.has_lost = true;
                    let (path, bytes) = (archive.path.display(), archive.position);
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        tracing::error!(%path, bytes, "a compressed file ends in the middle: what follows is lost, unless it is still being written");
                    } else {
                        tracing::error!(%path, bytes, %error, "a compressed file is broken: what is in it after so many bytes is lost");
                    }
                }
                Err(error) => {
                    archive.trouble.tell(&archive.path, &error);
                    continue;
                }
            }
            return true;
        }
        false
    }

    /// True when the file gave something.
    fn read_turn(&mut self, inode: Inode) -> bool {
        let Some(tail) = self.files.tails.get_mut(&inode) else {
            return false;
        };
        // After a crash, its records would come again under other ids.
        if self.unsaved.is_some() && !self.checkpoint.would_find(&tail.saved(), &tail.initial_id()) {
            return false;
        }
        let expected = if matches!(self.phase, Phase::Ending(_)) {
            Expected::Whatever
        } else if tail.is_abandoned(self.config.hold_deleted) || tail.ends_unfinished() {
            Expected::Nothing
        } else {
            Expected::More
        };
        let turn = tail.turn(&self.blocks, &self.config.framing, expected);
        if turn.is_ok() {
            tail.trouble.is_over();
        }
        match turn {
            Ok(Turn::Segment(mut segment)) => {
                tail.clock
                    .note(&mut segment, self.config.times, tail.frontier.settled());
                if tail.is_unknown() {
                    // How it begins has to be on disk, too.
                    self.save();
                }
                self.take_in(segment);
                true
            }
            Ok(Turn::More) => true,
            Ok(Turn::Hole(bytes)) => {
                self.ledger.hole_bytes.inc_by(bytes);
                self.read_since += bytes;
                if !std::mem::replace(&mut tail.is_hole_told, true) {
                    tracing::info!(
                        path = tail.source.path,
                        bytes,
                        "passed over a hole: it was truncated under a writer without O_APPEND"
                    );
                }
                true
            }
            Ok(Turn::Idle) => false,
            Ok(Turn::Reset(former)) => {
                self.ledger.resets.inc();
                tracing::warn!(
                    path = tail.source.path,
                    "truncated: read from its start; what was not read before is lost, unless a copy has it"
                );
                let is_rotated = !tail.matched && tail.exists;
                self.files.remember(*former);
                if is_rotated {
                    self.files.judge_anew(inode);
                }
                self.save();
                // Before the copy, if there is one, is renamed or compressed.
                self.reconcile_at = Instant::now();
                true
            }
            Err(error) => {
                tail.trouble.tell(Path::new(&tail.source.path), &error);
                false
            }
        }
    }

    /// Enough was read for now.
    fn is_paced(&mut self, now: Instant) -> bool {
        self.phase == Phase::Running && self.pace.opens_at(now) > now
    }

    fn has_room(&self) -> bool {
        let (batches, bytes) = self.in_the_way();
        let largest = self.config.batches.bytes.max(self.config.framing.max_record);
        let may_go = self.collecting.is_none() || self.unsaved.is_none();
        may_go && bytes + self.pending.bytes + largest <= self.config.batches.in_flight && batches < MAX_BATCHES
    }

    /// Batches and bytes that are out, but for those that are held, as far as these do not stop the others.
    fn in_the_way(&self) -> (usize, usize) {
        let (batches, bytes) = self.held;
        (
            self.out_batches - batches.min(MAX_HELD),
            self.out_bytes - bytes.min(self.config.batches.in_flight),
        )
    }

    /// Nothing but what is held is out.
    fn is_stuck(&self) -> bool {
        self.held.0 > 0 && self.held.0 == self.out_batches && self.pending.is_empty()
    }

    /// If there is no room for more, one block of a file of which nothing is held may still show that the sink takes others.
    fn may_show_fault(&self, inode: Inode) -> bool {
        let is_other = |tail: &Tail| !self.held_files.contains_key(&tail.source.id);
        self.is_stuck() && self.files.tails.get(&inode).is_some_and(is_other)
    }

    /// Once, when there is no room for more.
    fn tell_if_stuck(&mut self) {
        let (batches, bytes) = self.held;
        if self.is_stuck() && !std::mem::replace(&mut self.is_stuck_told, true) {
            tracing::error!(
                batches,
                bytes,
                "reading stops: the sink refuses every record of all that was read; mend what it says, or keep them as rejected with --all-refused reject"
            );
        }
    }

    fn take_in(&mut self, mut segment: Segment) {
        self.ledger.read.inc_by(segment.lines.len() as u64);
        self.ledger.read_bytes.inc_by(segment.end - segment.start);
        self.pace.spend(segment.end - segment.start);
        self.read_since += segment.end - segment.start;
        self.ledger
            .truncated
            .inc_by(segment.lines.iter().filter(|line| line.mark == Mark::Truncated).count() as u64);
        self.config.transform.apply(&mut segment, &self.ledger);
        if segment.lines.is_empty() {
            return self.files.settle(&segment.into_settled());
        }
        self.collect(segment);
    }

    /// Puts it into the next batch.
    fn collect(&mut self, segment: Segment) {
        // While something is held, what another file has must not wait with it: it may show whose fault that is.
        let is_other = |last: &Segment| !Arc::ptr_eq(&last.source, &segment.source);
        if self.held.0 > 0 && self.pending.segments.last().is_some_and(is_other) {
            self.seal();
        }
        self.pending.push(segment);
        if self.is_full() && !self.collecting.as_ref().is_some_and(|collecting| collecting.is_again) {
            self.seal();
        }
    }

    fn is_full(&self) -> bool {
        self.pending.bytes >= self.config.batches.bytes || self.pending.records >= self.config.batches.records
    }

    /// Sends what has waited long enough for company.
    fn hand_out(&mut self, round: Round) {
        let due_at = self.pending.due_at(self.patience());
        let is_due = match self.phase {
            _ if due_at.is_some_and(|at| at <= Instant::now()) => true,
            Phase::Ending(_) if self.collecting.is_none() => true,
            // It has waited in the files.
            Phase::Running | Phase::Ending(_) if self.collecting.is_some() => round == Round::Idle || self.is_full(),
            // Until then, more may come.
            _ => false,
        };
        if is_due && self.in_the_way().0 < MAX_BATCHES {
            self.seal();
        }
    }

    /// How long a line waits for company. What is written meanwhile is read together anyway, so a sink that has nothing to do gets it at
    /// once.
    fn patience(&self) -> Duration {
        let usual = if self.out_batches == 0 {
            Duration::ZERO
        } else {
            USUAL_FLUSH
        };
        let given = self.config.batches.collect.or(self.config.batches.flush_interval);
        given.unwrap_or(usual)
    }

    fn seal(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let (now, mut name) = (SystemTime::now(), None);
        if self.collecting.is_some() {
            // What would be in another object after a crash waits for the checkpoint.
            if self.unsaved.is_some() {
                return;
            }
            let intent = Intent::of(&self.pending.segments, now, self.ledger.sink.as_deref());
            name = Some(intent.shared_name());
            if !self.note(intent) {
                return;
            }
        }
        let pending = std::mem::take(&mut self.pending);
        self.dispatch(pending, now, name);
    }

    fn dispatch(&mut self, pending: Pending, read_at: SystemTime, name: Option<Arc<str>>) {
        let batch = Batch {
            segments: pending.segments,
            read_at,
            name,
        };
        if let Some(batches) = &self.batches {
            self.out_bytes += batch.bytes();
            self.out_batches += 1;
            // The channel holds as many as may be out; it is closed only when the process gives up.
            if let Err(error) = batches.try_send(batch) {
                let is_bug = matches!(error, TrySendError::Full(_));
                tracing::debug!(is_bug, "the network side does not take a batch");
                debug_assert!(!is_bug, "the channel is full");
            }
        }
    }

    fn advance_phase(&mut self, round: Round) {
        match self.phase {
            Phase::Draining(since) => {
                let quiet = self.config.drain_quiet;
                let still = |tail: &Tail| tail.is_at_end() && tail.grew_at.elapsed() >= quiet;
                let is_read = |archive: &Archive| archive.is_read;
                let quiet_now = since.elapsed() >= quiet
                    && self.files.tails.values().all(still)
                    && self.files.archives.iter().all(is_read)
                    && !self.files.awaits_archives();
                if quiet_now || since.elapsed() >= self.config.drain_limit {
                    self.phase = Phase::Ending(since);
                }
            }
            Phase::Ending(since) => {
                let read = round == Round::Idle && self.pending.is_empty();
                // Writers that never rest: what they have written since waits for the next run.
                let late = since.elapsed() >= self.config.drain_limit + self.config.drain_limit / 6;
                if read || late {
                    // What waits for the checkpoint is not read either.
                    let is_left = self.files.has_unread(self.unsaved.is_some());
                    self.ledger.cut_off.store(!read || is_left, Ordering::Relaxed);
                    // No copy can come any more.
                    self.files.give_up_copies();
                    self.tell_losses();
                    self.seal();
                    tracing::info!(read, "reading has ended; waiting for the sink");
                    self.phase = Phase::Flushing;
                    self.batches = None;
                    self.files.measure_each();
                }
            }
            Phase::Running | Phase::Flushing => {}
        }
    }

    fn next_deadline(&mut self) -> Duration {
        let now = Instant::now();
        if self.phase == Phase::Flushing {
            return self.save_at.min(now + self.config.poll).saturating_duration_since(now);
        }
        let mut at = self.reconcile_at.min(now + self.config.poll);
        let opens_at = self.pace.opens_at(now);
        if opens_at > now && self.phase == Phase::Running {
            at = at.min(opens_at);
        }
        let rests_until = self.collecting.as_ref().and_then(|collecting| collecting.rests_until);
        // What waits for the checkpoint goes when that is written.
        let due_at = self.pending.due_at(self.patience()).filter(|_| self.unsaved.is_none());
        at = rests_until.into_iter().chain(due_at).fold(at, Instant::min);
        if let Some(due) = self.open.values().min() {
            at = at.min(*due);
        }
        if matches!(self.phase, Phase::Draining(_) | Phase::Ending(_)) {
            at = at.min(now + DRAIN_TICK);
        }
        at.saturating_duration_since(now)
    }

    fn positions(&mut self) -> Positions {
        let collecting = self.collecting.iter();
        let intents = collecting
            .flat_map(|collecting| collecting.intents())
            .cloned()
            .collect();
        Positions {
            intents,
            ..self.files.positions()
        }
    }

    fn save(&mut self) {
        let started = Instant::now();
        self.read_since = 0;
        let positions = self.positions();
        match self.checkpoint.save(&positions) {
            Ok(()) => {
                if self.unsaved.take().is_some() {
                    tracing::info!("the checkpoint is written again");
                    self.files.dirty = self.files.tails.keys().copied().collect();
                }
            }
            Err(error) => {
                let why = error.to_string();
                if self.unsaved.as_ref() != Some(&why) {
                    tracing::error!(%error, "cannot write the checkpoint; after a restart, lines may be sent twice; it is tried again");
                }
                self.unsaved = Some(why);
            }
        }
        let age = self.started.elapsed();
        let usual = (age / SHARE).clamp(FIRST_SAVE, SAVE_INTERVAL);
        // A checkpoint of thousands of files takes its time.
        let costly = started.elapsed() * if age < SAVE_INTERVAL { SHARE } else { RARE };
        self.save_at = Instant::now() + usual.max(costly.min(MAX_SAVE));
    }
}

/// All of a file that nobody writes to, as it would be read.
pub(crate) fn segments_of(file: File, config: &Reading) -> io::Result<impl Iterator<Item = io::Result<Segment>>> {
    let inode = Inode::of(&file)?;
    let mut tail = Tail::new(file, inode, "sample", &Arc::from(""))?;
    let blocks = Pool::new(LEAST_BLOCK, 1);
    Ok(std::iter::from_fn(move || {
        loop {
            match tail.turn(&blocks, &config.framing, Expected::Whatever) {
                Ok(Turn::Segment(mut segment)) => {
                    tail.clock.note(&mut segment, config.times, 0);
                    return Some(Ok(segment));
                }
                Ok(Turn::More | Turn::Hole(_)) => {}
                Ok(Turn::Idle | Turn::Reset(_)) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }))
}

/// Opens the checkpoint, or says what to do about it.
pub(crate) fn open_checkpoint(state: Option<&Path>) -> Result<(Checkpoint, Option<Positions>), Failure> {
    if state.is_none() {
        tracing::warn!("no --state: after a restart of the container every file is sent from its head again");
    }
    Checkpoint::open(state).map_err(|error| {
        let otherwise = "name a directory on a writable volume; to start anew, and send everything again, remove checkpoint.json from it";
        cannot_use(state.unwrap_or(Path::new("")), &error, otherwise)
    })
}
