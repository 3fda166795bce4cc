//! One file that is followed: what is read of it, what is settled, and whether it is still the same.

mod likeness;
mod read;
mod rest;
mod saved;

use std::fs::{File, Metadata};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::io::pread;

pub(super) use self::likeness::{Likeness, may_be_copy};
pub(super) use self::read::{BLOCK, Expected, Turn};
pub(super) use self::rest::QUIET;
use super::clock::Clocks;
use super::ends::Ends;
use super::former::Former;
use super::framing::{Units, Utf16};
use super::trouble::Trouble;
use crate::batch::Source;
use crate::frontier::Frontier;
use crate::identity::{Evidence, GUARD, HEAD, Inode, content_id};
use crate::lease::Writers;
use crate::ledger::{Lag, Watermark};

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
    pub(super) is_hole_told: bool,
    /// At the position, a record begins that may go on.
    is_open: bool,
    /// From the position on, there are only NULs: lines may come in their place, and the size stays.
    in_nuls: bool,
    /// At its start, there is a byte order mark, and nothing else was read.
    is_blank: bool,
    /// The size of the file when room was found.
    room_of: Option<u64>,
    scope: Arc<str>,
    /// As if it ended there, with the end of a record.
    pub(super) stop_at: Option<u64>,
}

impl Tail {
    /// A file that nothing is known of: from its head.
    pub(super) fn new(file: File, inode: Inode, path: &str, scope: &Arc<str>) -> std::io::Result<Self> {
        Self::adopt(file, inode, Former::unread(inode, Path::new(path), scope, 0), scope)
    }

    /// A file of which only what comes is wanted: from its last line on, if that has not ended.
    pub(super) fn at_end(
        file: File,
        inode: Inode,
        path: &str,
        scope: &Arc<str>,
        utf16: Option<Utf16>,
    ) -> std::io::Result<Self> {
        let (size, units) = (file.metadata()?.len(), Units::of(utf16, &pread_at(&file, 0, 2)?));
        let start = size.saturating_sub(BLOCK as u64).next_multiple_of(units.width() as u64);
        let block = pread_at(&file, start, size - start)?;
        let offset = (units.breaks(&block).next_back()).map_or(size, |at| start + (at + units.width()) as u64);
        Self::behind(file, inode, path, scope, offset)
    }

    /// The same, from `offset` on.
    pub(super) fn behind(file: File, inode: Inode, path: &str, scope: &Arc<str>, offset: u64) -> std::io::Result<Self> {
        let mut former = Former::unread(inode, Path::new(path), scope, 0);
        former.evidence = Evidence::take(&file, offset)?;
        (former.offset, former.resume_at, former.frontier) = (offset, offset, Frontier::at(offset));
        Self::adopt(file, inode, former, scope)
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
            is_hole_told: false,
            is_open: false,
            in_nuls: false,
            is_blank: false,
            room_of: None,
            scope: Arc::clone(scope),
            stop_at: None,
        })
    }

    /// Bytes not read yet.
    pub(super) fn backlog(&self) -> u64 {
        self.backlog_of(self.size())
    }

    fn backlog_of(&self, size: u64) -> u64 {
        if self.in_nuls || self.is_blank_at(size) {
            0
        } else {
            size.saturating_sub(self.position)
        }
    }

    /// Is there nothing but a byte order mark in a file of that size?
    fn is_blank_at(&self, size: u64) -> bool {
        self.is_blank && self.position == 0 && size == self.looked_at
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
        let size = self.size();
        let is_read = size == self.position || self.is_blank_at(size);
        is_read && self.long.is_none() && self.frontier.settled() == self.position
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
        self.is_blank = false;
        self.is_hole_told = false;
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
