//! One file that is followed: what is read of it, what is settled, and whether it is still the same.

use std::fs::{File, Metadata};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::fs::{SeekFrom, seek};
use rustix::io::pread;

use super::archive::Unpacked;
use super::clock::{Clocks, LOOK_BACK};
use super::ends::Ends;
use super::files::Held;
use super::former::Former;
use super::framing::{Framing, frame, line};
use super::trouble::Trouble;
use crate::batch::{Line, Mark, Segment, Source};
use crate::checkpoint::Saved;
use crate::discover::{Found, Kind, is_rotation_of};
use crate::frontier::Frontier;
use crate::identity::{Evidence, GUARD, HEAD, Inode, content_id};
use crate::lease::{Leases, Writers};
use crate::ledger::{Lag, Watermark};
use crate::parse::Zone;
use crate::recycle::{Pool, Recycled};

/// One read at most, so that files take turns.
pub(super) const BLOCK: usize = 256 * 1024;

/// Bytes.
const LEAST_HOLE: usize = 64;

/// How long a file has to be quiet before it is taken to be at its end.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// What a young rotated file is to a file that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    Stranger,
    /// Equal so far: `copytruncate` makes the copy first and truncates then.
    Twin,
}

/// A file held open from when it is found until nothing more can come from it.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    pub(super) inode: Inode,
    pub(super) source: Arc<Source>,
    generation: u32,
    /// The next byte to read; stands at the start of a line, unless `long` says otherwise.
    position: u64,
    /// The bytes before `position`, checked at each read: a file truncated and written anew past `position` shows here.
    guard: Vec<u8>,
    /// A line longer than a block, whose end is being looked for.
    /// It is not kept, but read again when the end is found.
    long: Option<u64>,
    /// The size up to which there is nothing to read but the start of a line.
    looked_at: u64,
    /// Its size when what is in it was compared last.
    seen: u64,
    /// That of the last look, when nobody compared what is in it.
    measured: u64,
    /// When it was written to last, nanoseconds since 1970.
    modified: i64,
    pub(super) frontier: Frontier,
    /// False once it has been renamed out of the patterns or deleted.
    pub(super) matched: bool,
    /// False once no name in the directories that are looked at leads to it.
    pub(super) exists: bool,
    /// It is not waited for any more.
    pub(super) is_let_go: bool,
    /// What stands before this may have been sent by a run that was killed.
    pub(super) sent_up_to: u64,
    pub(super) clock: Clocks,
    pub(super) trouble: Trouble,
    pub(super) grew_at: Instant,
    watermark: Watermark,
    evidence: (u64, Evidence),
    /// As long as nothing is settled.
    begins: Option<(u64, Evidence)>,
    /// The first bytes as they were read.
    head: Vec<u8>,
    ends: Ends,
    /// When it rested last.
    writers: Writers,
    /// Somebody who may have written to it has closed it, and nobody has written to it since.
    pub(super) is_closed: bool,
    /// At the position, a record begins that may go on.
    is_open: bool,
    /// From the position on, there are only NULs: lines may come in their place, and the size stays.
    in_nuls: bool,
    /// The size of the file when that was found.
    room_of: Option<u64>,
    scope: Arc<str>,
    /// As if it ended there, with the end of a record.
    pub(super) stop_at: Option<u64>,
}

/// What may still be written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    More,
    /// Nobody is left who could, as it was at the last look.
    Nothing,
    /// It is not waited for.
    Whatever,
}

/// What one turn of reading found.
#[derive(Debug)]
pub(super) enum Turn {
    Segment(Segment),
    /// Nothing to read now.
    Idle,
    /// Read something that is no whole record yet.
    More,
    /// Passed over so many bytes that nobody has written.
    Hole(u64),
    /// The file was truncated or replaced in place; it is read from its start under a new id.
    Reset(Box<Former>),
}

impl Tail {
    /// A file that nothing is known of: from its head.
    pub(super) fn new(file: File, inode: Inode, path: &str, scope: &Arc<str>) -> std::io::Result<Self> {
        Self::adopt(file, inode, Former::unread(inode, Path::new(path), scope, 0), scope)
    }

    /// A file of which only what comes is wanted: from its last line on, if that has not ended.
    pub(super) fn at_end(file: File, inode: Inode, path: &str, scope: &Arc<str>) -> std::io::Result<Self> {
        let size = file.metadata()?.len();
        let start = size.saturating_sub(BLOCK as u64);
        let block = pread_at(&file, start, size - start)?;
        let offset = memchr::memrchr(b'\n', &block).map_or(size, |newline| start + newline as u64 + 1);
        Self::behind(file, inode, path, scope, offset)
    }

    /// The same, from `offset` on.
    pub(super) fn behind(file: File, inode: Inode, path: &str, scope: &Arc<str>, offset: u64) -> std::io::Result<Self> {
        let mut former = Former::unread(inode, Path::new(path), scope, 0);
        former.evidence = Evidence::take(&file, offset)?;
        (former.offset, former.resume_at, former.frontier) = (offset, offset, Frontier::at(offset));
        Self::adopt(file, inode, former, scope)
    }

    /// A file that the checkpoint knows: where that ended. If it is not that file any more, from its head, and the former one is given back.
    pub(super) fn resume(
        file: File,
        inode: Inode,
        saved: &Saved,
        scope: &Arc<str>,
    ) -> std::io::Result<(Self, Option<Former>)> {
        let (length, evidence) = saved.known_by();
        let Self { file, .. } = match Self::adopt(file, inode, Former::of(saved), scope)? {
            tail if tail.position > 0 && tail.holds(evidence) => return Ok((tail, None)),
            tail if tail.position == 0 && evidence.agrees(&tail.file, length) => return Ok((tail, None)),
            tail => tail,
        };
        let generation = saved.generation + 1;
        let source = Source {
            id: content_id(scope, &inode, generation),
            path: saved.path.clone(),
            inode,
        };
        let anew = Self::at(file, inode, Arc::new(source), generation, Frontier::at(0), scope)?;
        Ok((anew, Some(Former::of(saved))))
    }

    /// Is what it goes by, and will be compared with, what `evidence` was taken of? What a file holds may be another thing a moment later.
    pub(super) fn holds(&self, evidence: &Evidence) -> bool {
        Evidence::of(&self.head, &self.guard) == *evidence
    }

    /// A file that holds what a former one held: from where that was read to, as if it were that one.
    pub(super) fn adopt(file: File, inode: Inode, former: Former, scope: &Arc<str>) -> std::io::Result<Self> {
        let offset = former.resume_at;
        let mut tail = Self::at(file, inode, former.source, former.generation, former.frontier, scope)?;
        tail.clock = former.clock;
        tail.position = offset;
        tail.looked_at = offset;
        tail.head = tail.pread(0, offset.min(HEAD))?;
        tail.guard = tail.pread(offset.saturating_sub(GUARD), offset.min(GUARD))?;
        if offset == former.offset {
            tail.evidence = (offset, former.evidence);
        }
        Ok(tail)
    }

    fn at(
        file: File,
        inode: Inode,
        source: Arc<Source>,
        generation: u32,
        frontier: Frontier,
        scope: &Arc<str>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            file,
            inode,
            source,
            generation,
            position: 0,
            guard: Vec::new(),
            long: None,
            looked_at: 0,
            seen: 0,
            measured: 0,
            modified: 0,
            frontier,
            matched: true,
            exists: true,
            is_let_go: false,
            sent_up_to: 0,
            clock: Clocks::default(),
            trouble: Trouble::default(),
            grew_at: Instant::now(),
            watermark: Watermark::new(0, Instant::now()),
            evidence: (0, Evidence::none()),
            begins: None,
            head: Vec::new(),
            ends: Ends::default(),
            writers: Writers::Unknown,
            is_closed: false,
            is_open: false,
            in_nuls: false,
            room_of: None,
            scope: Arc::clone(scope),
            stop_at: None,
        })
    }

    /// Was it truncated, and nobody has noticed yet?
    pub(super) fn is_cut(&self) -> bool {
        self.size() < self.position
    }

    /// The same, also if it has been written anew beyond where it was read to.
    pub(super) fn is_changed(&self) -> bool {
        let length = self.guard.len() as u64;
        self.is_cut()
            || self
                .pread(self.position - length, length)
                .is_ok_and(|bytes| bytes != self.guard)
    }

    /// Compares `file`, `size` bytes long, with this one as it is now: its head, and the end of the shorter one.
    pub(super) fn likeness(&self, file: &File, size: u64) -> Likeness {
        let end = size.min(self.size());
        let start = end.saturating_sub(GUARD);
        let same = |from: u64, length: u64| {
            let (a, b) = (pread_at(file, from, length), pread_at(&self.file, from, length));
            matches!((a, b), (Ok(a), Ok(b)) if a == b)
        };
        // A copy cannot be longer than what it is a copy of.
        if size <= self.size() && same(0, end.min(HEAD)) && same(start, end - start) {
            Likeness::Twin
        } else {
            Likeness::Stranger
        }
    }

    /// Is this the file that is written to now, as far as its name tells?
    pub(super) fn is_in_use(&self) -> bool {
        self.matched && self.exists
    }

    /// Does what begins an archive begin this file, too?
    pub(super) fn begins_like(&self, unpacked: &Unpacked) -> bool {
        let length = self.size().min(unpacked.head.len() as u64);
        length > 0 && self.pread(0, length).is_ok_and(|head| head == unpacked.head_of(length))
    }

    /// Does what was unpacked of an archive begin as this file does, and end as it does there?
    pub(super) fn is_like(&self, unpacked: &Unpacked) -> bool {
        let (at, guard) = (unpacked.position, unpacked.guard.len() as u64);
        let head = self.pread(0, at.min(HEAD));
        head.is_ok_and(|head| head == unpacked.head_of(at))
            && self.pread(at - guard, guard).is_ok_and(|bytes| bytes == unpacked.guard)
    }

    /// Bytes not read yet.
    pub(super) fn backlog(&self) -> u64 {
        self.backlog_of(self.size())
    }

    fn backlog_of(&self, size: u64) -> u64 {
        if self.in_nuls {
            0
        } else {
            size.saturating_sub(self.position)
        }
    }

    /// May there be something to read in a file of that size, written to last at that time?
    pub(super) fn has_news(&self, size: u64, modified: i64) -> bool {
        let is_as_it_was = (size, modified) == (self.looked_at, self.modified);
        !is_as_it_was || !self.matched || self.is_open || self.in_nuls || self.trouble.is_there()
    }

    /// Takes in how long it is when it is taken up.
    pub(super) fn is_found(&mut self, size: u64) {
        self.measured = size;
    }

    /// Is it longer than at the last look?
    pub(super) fn has_grown(&self, size: u64) -> bool {
        size > self.measured
    }

    /// The backlog of a file of that size, and how far it is behind.
    pub(super) fn measure(&mut self, size: u64, now: Instant) -> (u64, Option<Lag>) {
        self.measured = size;
        let written = self.written(size);
        let settled = self.frontier.settled();
        let lag = self.watermark.lag(&self.source.path, written, settled, now);
        (self.backlog_of(size), lag)
    }

    /// Up to where there are lines in a file of that size: there may be room for what comes, and the start of a line is none yet.
    fn written(&self, size: u64) -> u64 {
        let is_unfinished = size == self.looked_at && !self.is_open;
        if self.in_nuls || is_unfinished {
            self.unfinished_from()
        } else {
            size
        }
    }

    /// Is everything read and settled?
    pub(super) fn is_done(&self) -> bool {
        self.size() == self.position && self.long.is_none() && self.frontier.settled() == self.position
    }

    /// Renamed away, and without growth for so long that its writer is taken to have let go: should it grow again, it is found by its
    /// inode. What has no name that could be found is waited for as long as it has writers, and where nobody says, `hold_deleted`: a
    /// writer may pause.
    pub(super) fn is_abandoned(&self, hold_deleted: Duration) -> bool {
        let may_be_found = self.exists || self.is_let_go;
        let has_rested = match self.writers {
            Writers::Gone => true,
            Writers::There if !may_be_found => false,
            Writers::Unknown if !may_be_found => self.has_rested(hold_deleted.max(QUIET)),
            Writers::There | Writers::Unknown => self.has_rested(QUIET),
        };
        !self.matched && has_rested
    }

    /// Does it end with the start of a line, and nobody is left who could go on with it?
    pub(super) fn ends_unfinished(&self) -> bool {
        self.writers == Writers::Gone && self.rests_in_line()
    }

    fn rests_in_line(&self) -> bool {
        self.looked_at > self.unfinished_from() && !self.in_nuls && self.has_rested(QUIET)
    }

    /// Looks for who writes to it, if that matters: it may be let go, or ends in the middle of a line.
    pub(super) fn look_for_writers(&mut self, leases: Leases) {
        if self.measured == self.looked_at && (!self.matched || self.rests_in_line()) {
            self.writers = leases.writers(&self.file);
        }
    }

    /// Can nobody write to it any more, as far as that can be known? Where nobody says, whoever closed it after the last line was the last,
    /// and `patience` is enough without that.
    pub(super) fn has_no_writer(&mut self, leases: Option<Leases>, patience: Duration) -> bool {
        self.writers = leases.map_or(Writers::Unknown, |leases| leases.writers(&self.file));
        match self.writers {
            Writers::Gone => true,
            Writers::There => false,
            // What is not read may have been written just now.
            Writers::Unknown => self.is_at_end() && self.has_rested(if self.is_closed { QUIET } else { patience }),
        }
    }

    fn has_rested(&self, quiet: Duration) -> bool {
        self.grew_at.elapsed() > quiet
    }

    /// Read to its end but for the start of a line, and without growth for a while.
    pub(super) fn is_resting(&self) -> bool {
        self.is_at_end() && self.has_rested(QUIET)
    }

    /// Is everything read but the start of a line, or the middle of a long one?
    pub(super) fn is_at_end(&self) -> bool {
        self.size() == self.looked_at
    }

    /// When the record that may go on is taken to be at its end.
    pub(super) fn due_at(&self, framing: &Framing) -> Option<Instant> {
        self.is_open.then(|| self.grew_at + framing.join_wait)
    }

    pub(super) fn size(&self) -> u64 {
        self.file
            .metadata()
            .map_or(self.looked_at, |meta| self.up_to_stop(meta.len()))
    }

    fn up_to_stop(&self, size: u64) -> u64 {
        self.stop_at.map_or(size, |stop| size.min(stop))
    }

    /// The next byte to read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads one block. If nothing more is expected, the start of a line without end is a record too.
    pub(super) fn turn(&mut self, blocks: &Arc<Pool>, framing: &Framing, expected: Expected) -> std::io::Result<Turn> {
        let max_record = framing.max_record;
        let meta = self.file.metadata()?;
        let (size, modified) = (self.up_to_stop(meta.len()), modified(&meta));
        let last = match expected {
            Expected::More => self.stop_at.is_some(),
            Expected::Nothing => self.stop_at.is_some() || size == self.looked_at,
            Expected::Whatever => true,
        };
        if size < self.position {
            self.seen = self.seen.max(self.measured);
            return Ok(self.reset());
        }
        // Written anew after the look, before anything of it was read: a copy of what that has seen is a file of its own.
        self.measured = self.measured.min(meta.len());
        // Written anew, and as long as before.
        let is_touched = std::mem::replace(&mut self.modified, modified) != modified;
        if is_touched && size == self.looked_at && self.is_changed() {
            return Ok(self.reset());
        }
        let is_due = |at: Instant| size == self.looked_at && at <= Instant::now();
        let joins_no_more = last || self.due_at(framing).is_some_and(is_due);
        if size == self.looked_at && !self.in_nuls && !(joins_no_more && size > self.unfinished_from()) {
            return Ok(Turn::Idle);
        }
        if size != self.looked_at {
            self.grew_at = Instant::now();
            self.writers = Writers::Unknown;
        }
        // A block that holds more than the longest record shows whether a line is too long.
        let want = (size - self.position).min(BLOCK.max(max_record + 1) as u64);
        let behind = self.guard.len();
        let mut block = blocks.take(behind + usize::try_from(want).map_err(std::io::Error::other)?);
        pread_into(
            &self.file,
            self.position - behind as u64,
            &mut block,
            behind as u64 + want,
        )?;
        if !block.starts_with(&self.guard) {
            return Ok(self.reset());
        }
        if self.in_nuls && size == self.looked_at && block[behind..].iter().all(|&byte| byte == 0) {
            return Ok(Turn::Idle);
        }
        self.seen = meta.len();
        let before = (self.looked_at, self.long, self.in_nuls);
        self.is_open = false;
        self.looked_at = self.position + (block.len() - behind) as u64;
        let turn = match self.long.take() {
            Some(start) => self.in_long_line(start, &block, behind, max_record, last),
            None => self.at_line_start(block, behind, framing, (last, joins_no_more)),
        };
        if turn.is_err() {
            (self.looked_at, self.long, self.in_nuls) = before;
        }
        turn
    }

    fn at_line_start(
        &mut self,
        mut block: Recycled,
        behind: usize,
        framing: &Framing,
        (last, joins_no_more): (bool, bool),
    ) -> std::io::Result<Turn> {
        let max_record = framing.max_record;
        // NULs up to the end of the file are room that somebody has made for lines to come.
        let text = block
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |at| at + 1)
            .max(behind);
        self.in_nuls = self.is_room(text - behind, block.len() - behind);
        if self.in_nuls {
            block.truncate(text);
            self.looked_at = self.size();
        }
        if hole_at(&block[behind..]) > 0 {
            return self.at_hole();
        }
        let mut framed = frame(&block, behind, max_record);
        if !framed.complete {
            self.looked_at = self.position + framed.consumed as u64;
        }
        let unread = block.len() - behind;
        if framed.consumed == 0 && unread > max_record {
            self.long = Some(self.position);
            self.advance(&block, unread);
            return Ok(Turn::More);
        }
        let is_end = self.looked_at == self.size();
        // It may have grown since it was read: only a block that is full can end a record.
        let is_full = !framed.complete || unread > BLOCK.max(max_record);
        self.is_open = framed.join(framing, &block, behind, joins_no_more && is_end, is_full);
        if last && is_end && framed.consumed < unread {
            let from = behind + framed.consumed;
            framed
                .lines
                .push(line(&block, from, block.len(), max_record, Mark::Partial));
            framed.consumed = unread;
        }
        if framed.lines.is_empty() {
            return Ok(Turn::Idle);
        }
        let start = self.position;
        self.advance(&block, framed.consumed);
        block.truncate(behind + framed.consumed);
        let base = start - behind as u64;
        self.ends.note(base, &block, behind, &self.head);
        Ok(Turn::Segment(Segment {
            source: Arc::clone(&self.source),
            start,
            end: self.position,
            base,
            data: block,
            lines: framed.lines,
            times: Vec::new(),
            ticks: Vec::new(),
            may_be_known: start < self.sent_up_to,
        }))
    }

    /// Of `unread` bytes, those from `text` on are NULs: is there nothing else up to the end of the file? That is looked at once for a
    /// size.
    fn is_room(&mut self, text: usize, unread: usize) -> bool {
        let (nuls, size) = (unread - text, self.size());
        let reaches_end = self.position + unread as u64 == size;
        let is_room = match nuls {
            0 => false,
            _ if reaches_end || self.room_of == Some(size) => true,
            _ => nuls >= LEAST_HOLE && self.end_of_nuls(self.position + text as u64).is_none(),
        };
        if is_room {
            self.room_of = Some(size);
        }
        is_room
    }

    /// Passes over a hole, see [`hole_at`].
    fn at_hole(&mut self) -> std::io::Result<Turn> {
        let start = self.position;
        let Some(end) = self.end_of_nuls(start) else {
            self.in_nuls = true;
            self.looked_at = self.size();
            return Ok(Turn::Idle);
        };
        let guarded = end.saturating_sub(GUARD);
        let (head, guard) = (self.pread(0, end.min(HEAD))?, self.pread(guarded, end - guarded)?);
        (self.head, self.guard) = (head, guard);
        self.position = end;
        self.looked_at = end;
        self.frontier.settle(start, end);
        Ok(Turn::Hole(end - start))
    }

    /// Where something else than a NUL stands, from `offset` on.
    fn end_of_nuls(&self, mut offset: u64) -> Option<u64> {
        loop {
            offset = seek(&self.file, SeekFrom::Data(offset)).ok()?;
            let block = self
                .pread(offset, BLOCK as u64)
                .ok()
                .filter(|block| !block.is_empty())?;
            match block.iter().position(|&byte| byte != 0) {
                Some(at) => return Some(offset + at as u64),
                None => offset += block.len() as u64,
            }
        }
    }

    fn in_long_line(
        &mut self,
        start: u64,
        block: &[u8],
        behind: usize,
        max_record: usize,
        last: bool,
    ) -> std::io::Result<Turn> {
        let unread = &block[behind..];
        let (consumed, ends) = match memchr::memchr(b'\n', unread) {
            Some(newline) => (newline + 1, true),
            None => (unread.len(), last && self.looked_at == self.size()),
        };
        if !ends {
            let turn = if consumed > 0 { Turn::More } else { Turn::Idle };
            self.advance(block, consumed);
            self.long = Some(start);
            return Ok(turn);
        }
        let data = self.pread(start, max_record as u64)?;
        self.advance(block, consumed);
        // The rest of the block was not looked at.
        self.looked_at = self.position;
        let lines = vec![Line::new(0, data.len(), Mark::Truncated)];
        Ok(Turn::Segment(Segment {
            source: Arc::clone(&self.source),
            start,
            end: self.position,
            base: start,
            data: data.into(),
            lines,
            times: Vec::new(),
            ticks: Vec::new(),
            may_be_known: start < self.sent_up_to,
        }))
    }

    /// Moves over `count` bytes after the guard of `block`.
    fn advance(&mut self, block: &[u8], count: usize) {
        let end = self.guard.len() + count;
        if self.position < HEAD {
            let more = count.min((HEAD - self.position) as usize);
            self.head
                .extend_from_slice(&block[self.guard.len()..self.guard.len() + more]);
        }
        self.position += count as u64;
        self.guard = block[end.saturating_sub(GUARD as usize)..end].to_vec();
    }

    fn unfinished_from(&self) -> u64 {
        self.long.unwrap_or(self.position)
    }

    fn reset(&mut self) -> Turn {
        self.generation += 1;
        let id = content_id(&self.scope, &self.inode, self.generation);
        let source = Arc::new(Source {
            id,
            path: self.source.path.clone(),
            inode: self.inode,
        });
        let former = Former {
            source: std::mem::replace(&mut self.source, source),
            inode: self.inode,
            generation: self.generation - 1,
            // A long line that was not ended has not been handed out.
            offset: self.unfinished_from(),
            size: self.written(self.seen),
            sent: 0,
            resume_at: self.unfinished_from(),
            frontier: std::mem::replace(&mut self.frontier, Frontier::at(0)),
            clock: std::mem::take(&mut self.clock),
            evidence: if self.long.is_none() {
                Evidence::of(&self.head, &self.guard)
            } else {
                Evidence::none()
            },
            begins: None,
            ends: std::mem::take(&mut self.ends),
            noticed: 0,
        };
        (self.seen, self.measured) = (0, 0);
        self.is_open = false;
        self.in_nuls = false;
        self.room_of = None;
        self.position = 0;
        self.looked_at = 0;
        self.guard.clear();
        self.head.clear();
        self.long = None;
        self.evidence = (0, Evidence::none());
        self.begins = None;
        self.sent_up_to = 0;
        Turn::Reset(Box::new(former))
    }

    /// What a checkpoint says of this file. Should the bytes be gone, the last good evidence stands: they were settled.
    pub(super) fn saved(&mut self) -> Saved {
        let settled = self.frontier.settled();
        if self.evidence.0 != settled {
            // What was written in the place of what was read is no evidence of that.
            let evidence = if settled == self.position {
                Some(Evidence::of(&self.head, &self.guard))
            } else if self.is_changed() {
                None
            } else {
                Evidence::take(&self.file, settled).ok()
            };
            if let Some(evidence) = evidence {
                self.evidence = (settled, evidence);
            }
        }
        let length = if settled == 0 { self.size().min(HEAD) } else { 0 };
        if self.begins.as_ref().map_or(0, |(length, _)| *length) != length {
            self.begins = Evidence::take(&self.file, length)
                .ok()
                .map(|evidence| (length, evidence));
        }
        let (offset, evidence) = self.evidence.clone();
        // What was read was of that time.
        let (size, modified) = match self.modified {
            0 => self
                .file
                .metadata()
                .map_or((0, 0), |meta| (meta.len(), modified(&meta))),
            modified => (self.written(self.seen.max(self.measured)), modified),
        };
        Saved {
            id: self.source.id.clone(),
            path: self.source.path.clone(),
            inode: self.inode,
            generation: self.generation,
            offset,
            evidence,
            begins: self.begins.clone(),
            read: self.position,
            size,
            modified,
            packed: None,
            // Of that offset, or of none.
            clock: self.clock.saved(settled).filter(|_| offset == settled),
        }
    }

    /// Looks for the time of earlier lines before the position, if the checkpoint does not say it.
    pub(super) fn wind(&mut self, zone: Zone) -> std::io::Result<()> {
        let length = self.position.min(LOOK_BACK);
        self.clock
            .wind(|| pread_at(&self.file, self.position - length, length), zone)
    }

    /// Is so little of it on disk that nobody would know it again under another inode?
    pub(super) fn is_unknown(&self) -> bool {
        self.frontier.settled() == 0 && self.begins.is_none()
    }

    /// For whoever goes on with it, though it has no name.
    pub(super) fn into_held(self, inode: Inode) -> Held {
        let found = Found {
            path: Path::new(&self.source.path).to_owned(),
            inode,
            size: self.seen,
            modified: self.modified,
            kind: Kind::Rotated,
        };
        Held::new(self.file, found)
    }

    /// The id that a file of this inode has if nobody knows it.
    pub(super) fn initial_id(&self) -> String {
        content_id(&self.scope, &self.inode, 0)
    }

    fn pread(&self, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        pread_at(&self.file, offset, length)
    }
}

/// When it was written to last, nanoseconds since 1970.
fn modified(meta: &Metadata) -> i64 {
    meta.mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(meta.mtime_nsec())
}

/// May what stands at `path` be a copy of what was read of `own` up to `offset`? A short file says what many say, so its name has to
/// speak for it.
pub(super) fn may_be_copy(own: &Path, offset: u64, path: &Path) -> bool {
    offset > HEAD || own == path || is_rotation_of(own, path)
}

/// How many of the `bytes` that begin a line belong to a hole: a writer without `O_APPEND` goes on where it was when the file was
/// truncated, and no line begins with so many NULs.
pub(super) fn hole_at(bytes: &[u8]) -> usize {
    let nuls = bytes.iter().take_while(|&&byte| byte == 0).count();
    if nuls < LEAST_HOLE { 0 } else { nuls }
}

/// Up to `length` bytes from `offset`; fewer at the end of the file.
pub(super) fn pread_at(file: &File, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(std::io::Error::other)?);
    pread_into(file, offset, &mut bytes, length)?;
    Ok(bytes)
}

/// The same, appended to nothing.
fn pread_into(file: &File, offset: u64, bytes: &mut Vec<u8>, length: u64) -> std::io::Result<()> {
    let length = usize::try_from(length).map_err(std::io::Error::other)?;
    while bytes.len() < length {
        let before = bytes.len();
        pread(file.as_fd(), spare_capacity(bytes), offset + before as u64)?;
        if bytes.len() == before {
            break;
        }
    }
    bytes.truncate(length);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use pod_contract::config::Setting as _;

    use super::*;
    use crate::reader::framing::Join;

    /// Each line is a record.
    fn lines() -> Framing {
        Framing {
            max_record: 1000,
            joins: Vec::new(),
            join_wait: Duration::ZERO,
        }
    }

    fn followed(file: &tempfile::NamedTempFile) -> Tail {
        let inode = Inode::of(file.as_file()).unwrap();
        Tail::new(file.reopen().unwrap(), inode, "a", &Arc::from("pod")).unwrap()
    }

    /// Nothing that rests gives something at each turn: that would never end.
    #[test]
    fn what_rests_is_idle_however_it_is_joined() {
        let mut framing = Framing {
            max_record: 1000,
            joins: vec![Join::parse("java").unwrap()],
            join_wait: Duration::ZERO,
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let (blocks, long) = (Pool::new(1, 1), vec![b'x'; BLOCK + 1]);
        let mut records = 0;
        // The start of a line, which outgrows a block, and its end; then a whole line, and one that it may be joined with.
        for more in [b"xxxx".as_slice(), &long, b"\n", b"ERROR\n", b"\tat a.B.c(B.java:1)\n"] {
            file.write_all(more).unwrap();
            // While it is waited for, and then no longer.
            for join_wait in [Duration::from_secs(3600), Duration::ZERO] {
                framing.join_wait = if more == b"xxxx" {
                    Duration::from_secs(3600)
                } else {
                    join_wait
                };
                let gives = (0..20).filter(|_| match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                    Turn::Idle => false,
                    Turn::Segment(segment) => {
                        records += segment.lines.len();
                        true
                    }
                    _ => true,
                });
                assert!(gives.count() < 4);
                assert!(matches!(tail.turn(&blocks, &framing, Expected::More), Ok(Turn::Idle)));
            }
        }
        assert_eq!(records, 3);
    }

    /// A look has seen more than was there when it was read: nobody knows what that was.
    #[test]
    fn what_was_never_read_of_a_former_content_is_no_loss_of_this_one() {
        let framing = lines();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let blocks = Pool::new(1, 1);
        let turn = |tail: &mut Tail| tail.turn(&blocks, &framing, Expected::More).unwrap();
        std::fs::write(file.path(), "much that is copied, truncated and seen by a look\n").unwrap();
        tail.measure(tail.size(), Instant::now());
        std::fs::write(file.path(), "something new\n").unwrap();
        assert!(matches!(turn(&mut tail), Turn::Segment(_)));
        std::fs::write(file.path(), "").unwrap();
        match turn(&mut tail) {
            Turn::Reset(former) => assert_eq!(former.loss(0), None, "all of it was read"),
            other => panic!("{other:?}"),
        }
    }

    /// That nobody writes any more was known before the last look at its size.
    #[test]
    fn a_line_that_has_gone_on_is_not_torn() {
        let framing = lines();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let blocks = Pool::new(1, 1);
        for part in ["a line", " that goes", " on"] {
            file.write_all(part.as_bytes()).unwrap();
            let turn = tail.turn(&blocks, &framing, Expected::Nothing).unwrap();
            assert!(matches!(turn, Turn::Idle), "{part}: {turn:?}");
        }
        match tail.turn(&blocks, &framing, Expected::Nothing).unwrap() {
            Turn::Segment(segment) => {
                assert_eq!(segment.data[segment.lines[0].range()], *b"a line that goes on");
                assert_eq!(segment.lines[0].mark, Mark::Partial);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Nobody waits for it, so nobody is behind with it.
    #[test]
    fn the_start_of_a_line_is_not_behind() {
        let framing = lines();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let blocks = Pool::new(1, 1);
        let measure = |tail: &mut Tail| tail.measure(tail.size(), Instant::now());
        // Also one that does not fit into a block.
        for start in [b"start".to_vec(), vec![b'x'; BLOCK + 1]] {
            file.write_all(b"line\n").unwrap();
            file.write_all(&start).unwrap();
            assert!(measure(&mut tail).1.is_some_and(|lag| lag.bytes > start.len() as u64));
            loop {
                match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                    Turn::Idle => break,
                    Turn::Segment(segment) => tail.frontier.settle(segment.start, segment.end),
                    _ => {}
                }
            }
            assert!(measure(&mut tail).1.is_none());
            file.write_all(b"\n").unwrap();
            assert!(measure(&mut tail).1.is_some());
        }
    }

    /// As when the volume is away for a moment.
    #[test]
    fn a_failed_read_does_not_advance() {
        const MAX: usize = 1000;
        let framing = Framing {
            max_record: MAX,
            joins: Vec::new(),
            join_wait: Duration::ZERO,
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"first\n").unwrap();
        let inode = Inode::of(file.as_file()).unwrap();
        let open = |may_read| File::options().read(may_read).write(true).open(file.path()).unwrap();
        let blocks = Pool::new(1, 1);
        let mut tail = Tail::new(open(true), inode, "a", &Arc::from("pod")).unwrap();
        let mut texts = Vec::new();
        // A line, one that is too long for a block, its end, and a hole.
        let long = vec![b'x'; BLOCK + 1];
        for more in [b"second\n".as_slice(), &long, b"end\n", &[0; 100], b"third\n"] {
            file.as_file().write_all(more).unwrap();
            tail.file = open(false);
            for _ in 0..3 {
                tail.turn(&blocks, &framing, Expected::More).unwrap_err();
            }
            tail.file = open(true);
            loop {
                match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                    Turn::Idle => break,
                    Turn::Segment(segment) => {
                        texts.extend(segment.lines.iter().map(|line| segment.data[line.range()].to_vec()));
                    }
                    Turn::More | Turn::Hole(_) => {}
                    Turn::Reset(former) => panic!("{former:?}"),
                }
            }
        }
        let lengths: Vec<_> = texts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [5, 6, MAX, 5], "{texts:?}");
    }
}
