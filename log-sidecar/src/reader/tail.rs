//! One file that is followed: what is read of it, what is settled, and whether it is still the same.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::pread;

use super::framing::{frame, line};
use crate::batch::{Line, Mark, Segment, Source};
use crate::checkpoint::Saved;
use crate::frontier::Frontier;
use crate::identity::{Evidence, GUARD, HEAD, Inode, content_id};

/// One read at most, so that files take turns.
const BLOCK: usize = 256 * 1024;

/// How long a rotated file has to be quiet.
const ROTATED_QUIET: Duration = Duration::from_secs(10);

/// Whether a file is a copy of another, as `copytruncate` makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    Stranger,
    /// So far it could become one: it may still be being copied.
    Undecided,
    Copy,
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
    long: Option<Long>,
    /// The size up to which there is nothing to read but the start of a line.
    looked_at: u64,
    pub(super) frontier: Frontier,
    /// False once it has been renamed out of the patterns or deleted.
    pub(super) matched: bool,
    pub(super) grew_at: Instant,
    evidence: (u64, Evidence),
    /// The first bytes as they were read, of this content and of the one before a truncation.
    heads: [Vec<u8>; 2],
}

#[derive(Debug)]
struct Long {
    start: u64,
    kept: Vec<u8>,
}

/// What one turn of reading found.
#[derive(Debug)]
pub(super) enum Turn {
    Segment(Segment),
    /// Nothing to read now.
    Idle,
    /// Read something that is no whole record yet.
    More,
    /// The file was truncated or replaced in place; it is read from its start under a new id.
    Reset {
        lost_from: u64,
    },
}

impl Tail {
    /// Goes on where `saved` ended, if there is one and the file is still that file; else starts at the head.
    pub(super) fn open(
        file: File,
        inode: Inode,
        path: &str,
        scope: &str,
        saved: Option<&Saved>,
    ) -> std::io::Result<(Self, bool)> {
        let (id, path, generation, offset, reset) = match saved {
            Some(s) if s.evidence.agrees(&file, s.offset) => {
                (s.id.clone(), s.path.clone(), s.generation, s.offset, false)
            }
            Some(s) => (
                content_id(scope, &inode, s.generation + 1),
                path.to_owned(),
                s.generation + 1,
                0,
                true,
            ),
            None => (content_id(scope, &inode, 0), path.to_owned(), 0, 0, false),
        };
        let mut tail = Self {
            file,
            inode,
            source: Arc::new(Source { id, path }),
            generation,
            position: offset,
            guard: Vec::new(),
            long: None,
            looked_at: offset,
            frontier: Frontier::at(offset),
            matched: true,
            grew_at: Instant::now(),
            evidence: (0, Evidence::none()),
            heads: [Vec::new(), Vec::new()],
        };
        tail.heads[0] = tail.pread(0, offset.min(HEAD))?;
        tail.guard = tail.pread(offset.saturating_sub(GUARD), offset.min(GUARD))?;
        tail.evidence = (offset, Evidence::take(&tail.file, offset)?);
        Ok((tail, reset))
    }

    /// How a file that starts with `start` looks beside this one and what this one was before it was truncated.
    pub(super) fn likeness(&self, start: &[u8]) -> Likeness {
        let compare = |head: &Vec<u8>| match () {
            () if head.is_empty() => Likeness::Stranger,
            () if start.starts_with(head) => Likeness::Copy,
            () if head.starts_with(start) => Likeness::Undecided,
            () => Likeness::Stranger,
        };
        self.heads.iter().map(compare).max().unwrap_or(Likeness::Stranger)
    }

    /// Bytes not read yet.
    pub(super) fn backlog(&self) -> u64 {
        self.size().saturating_sub(self.position)
    }

    /// Is everything read and settled?
    pub(super) fn is_done(&self) -> bool {
        self.size() == self.position && self.long.is_none() && self.frontier.settled() == self.position
    }

    /// Renamed away or deleted, and without growth for so long that its writer is taken to have let go.
    pub(super) fn is_abandoned(&self) -> bool {
        !self.matched && self.grew_at.elapsed() > ROTATED_QUIET
    }

    /// Is everything read but the start of a line, or the middle of a long one?
    pub(super) fn is_at_end(&self) -> bool {
        self.size() == self.looked_at
    }

    fn size(&self) -> u64 {
        self.file.metadata().map_or(self.looked_at, |meta| meta.len())
    }

    /// Reads one block. With `last`, the start of a line without end is a record too.
    pub(super) fn turn(&mut self, max_record: usize, last: bool) -> std::io::Result<Turn> {
        let size = self.file.metadata()?.len();
        if size < self.position {
            return Ok(self.reset());
        }
        if size == self.looked_at && !(last && size > self.unfinished_from()) {
            return Ok(Turn::Idle);
        }
        if size != self.looked_at {
            self.grew_at = Instant::now();
        }
        // A block that holds more than the longest record shows whether a line is too long.
        let want = (size - self.position).min(BLOCK.max(max_record + 1) as u64);
        let behind = self.guard.len();
        let block = self.pread(self.position - behind as u64, behind as u64 + want)?;
        if !block.starts_with(&self.guard) {
            return Ok(self.reset());
        }
        self.looked_at = self.position + (block.len() - behind) as u64;
        match self.long.take() {
            Some(long) => Ok(self.in_long_line(long, &block, behind, last)),
            None => Ok(self.at_line_start(block, behind, max_record, last)),
        }
    }

    fn at_line_start(&mut self, mut block: Vec<u8>, behind: usize, max_record: usize, last: bool) -> Turn {
        let mut framed = frame(&block, behind, max_record);
        if !framed.complete {
            self.looked_at = self.position + framed.consumed as u64;
        }
        let unread = block.len() - behind;
        if framed.consumed == 0 && unread > max_record {
            self.long = Some(Long {
                start: self.position,
                kept: block[behind..behind + max_record].to_vec(),
            });
            self.advance(&block, unread);
            return Turn::More;
        }
        let is_end = self.looked_at == self.size();
        if last && is_end && framed.consumed < unread {
            let from = behind + framed.consumed;
            framed
                .lines
                .push(line(&block, from, block.len(), max_record, Mark::Partial));
            framed.consumed = unread;
        }
        if framed.lines.is_empty() {
            return Turn::Idle;
        }
        let start = self.position;
        self.advance(&block, framed.consumed);
        block.truncate(behind + framed.consumed);
        let base = start - behind as u64;
        Turn::Segment(Segment {
            source: Arc::clone(&self.source),
            start,
            end: self.position,
            base,
            data: block,
            lines: framed.lines,
        })
    }

    fn in_long_line(&mut self, long: Long, block: &[u8], behind: usize, last: bool) -> Turn {
        let unread = &block[behind..];
        let (consumed, ends) = match memchr::memchr(b'\n', unread) {
            Some(newline) => (newline + 1, true),
            None => (unread.len(), last && self.looked_at == self.size()),
        };
        self.advance(block, consumed);
        if !ends {
            self.long = Some(long);
            return Turn::More;
        }
        // The rest of the block was not looked at.
        self.looked_at = self.position;
        let lines = vec![Line::new(0, long.kept.len(), Mark::Truncated)];
        let (source, base) = (Arc::clone(&self.source), long.start);
        Turn::Segment(Segment {
            source,
            start: long.start,
            end: self.position,
            base,
            data: long.kept,
            lines,
        })
    }

    /// Moves over `count` bytes after the guard of `block`.
    fn advance(&mut self, block: &[u8], count: usize) {
        let end = self.guard.len() + count;
        if self.position < HEAD {
            let more = count.min((HEAD - self.position) as usize);
            self.heads[0].extend_from_slice(&block[self.guard.len()..self.guard.len() + more]);
        }
        self.position += count as u64;
        self.guard = block[end.saturating_sub(GUARD as usize)..end].to_vec();
    }

    fn unfinished_from(&self) -> u64 {
        self.long.as_ref().map_or(self.position, |long| long.start)
    }

    fn reset(&mut self) -> Turn {
        let lost_from = self.position;
        self.generation += 1;
        let scope = self.source.id.clone();
        self.source = Arc::new(Source {
            id: content_id(&scope, &self.inode, self.generation),
            path: self.source.path.clone(),
        });
        self.position = 0;
        self.looked_at = 0;
        self.guard.clear();
        self.heads[1] = std::mem::take(&mut self.heads[0]);
        self.long = None;
        self.frontier = Frontier::at(0);
        self.evidence = (0, Evidence::none());
        Turn::Reset { lost_from }
    }

    /// What a checkpoint says of this file. Should the bytes be gone, the last good evidence stands: they were settled.
    pub(super) fn saved(&mut self) -> Saved {
        let settled = self.frontier.settled();
        if self.evidence.0 != settled
            && let Ok(evidence) = Evidence::take(&self.file, settled)
        {
            self.evidence = (settled, evidence);
        }
        let (offset, evidence) = self.evidence.clone();
        Saved {
            id: self.source.id.clone(),
            path: self.source.path.clone(),
            inode: self.inode,
            generation: self.generation,
            offset,
            evidence,
        }
    }

    fn pread(&self, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        pread_at(&self.file, offset, length)
    }
}

/// Up to `length` bytes from `offset`; fewer at the end of the file.
pub(super) fn pread_at(file: &File, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(std::io::Error::other)?;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let before = bytes.len();
        pread(file.as_fd(), spare_capacity(&mut bytes), offset + before as u64)?;
        if bytes.len() == before {
            break;
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}
