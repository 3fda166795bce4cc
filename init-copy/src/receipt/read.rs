//! Reading a receipt.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode;

use super::inventory::Look;
use super::keeping::Keeping;
use super::record::{Mark, Of, Record, Whole};
use super::write::{END, HEAD};
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::{Cursor, Root};
use crate::plan::{Stamp, order};

/// A line holds a path or two; a longer one is not ours.
const MAX_LINE: u64 = 64 << 10;

/// The records of a destination, in order.
pub(crate) struct Receipt<'r> {
    lines: Option<BufReader<File>>,
    line: Vec<u8>,
    texts: Vec<Arc<str>>,
    shown: PathBuf,
    of: Option<Of>,
    wholes: Vec<Whole>,
    /// To see what has become of what was about to be there.
    cursor: Cursor<'r>,
    /// Path and step of the last record of something that stands there.
    top: Option<(PathBuf, Arc<str>)>,
    /// One record read ahead.
    next: Option<Record>,
    read: u64,
    damaged: bool,
}

impl<'r> Receipt<'r> {
    /// The receipt of the destination; empty when there is none, or none that can be believed.
    pub(crate) fn open(root: &'r Root, keeping: &Keeping) -> Self {
        let shown = keeping.path(root.path()).unwrap_or_default();
        let lines = match keeping.open(root).and_then(|file| file.map(lines_of).transpose()) {
            Ok(lines) => lines,
            Err(error) => {
                tracing::warn!(receipt = %shown.display(), %error, "the receipt cannot be used: everything is copied again");
                None
            }
        };
        let mut receipt = Self {
            lines,
            line: Vec::new(),
            texts: Vec::new(),
            shown,
            of: None,
            wholes: Vec::new(),
            cursor: root.cursor(),
            top: None,
            next: None,
            read: 0,
            damaged: false,
        };
        receipt.advance();
        receipt
    }

    /// Is there one at all?
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    /// Could not all of it be read? Known when all records have been taken.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The destination that it says to be of.
    pub(crate) fn of(&self) -> Option<&Of> {
        self.of.as_ref()
    }

    /// The sources of which everything is there. Known when all records have been taken.
    pub(crate) fn wholes(&mut self) -> Vec<Whole> {
        std::mem::take(&mut self.wholes)
    }

    /// All records before `path`, one a call; `None` when the next one is `path` or behind it.
    pub(crate) fn next_before(&mut self, path: &Path) -> Option<Record> {
        match &self.next {
            Some(next) if order(&next.path, path).is_lt() => self.next(),
            _ => None,
        }
    }

    /// The record of `path`, if it is the next one.
    pub(crate) fn next_at(&mut self, path: &Path) -> Option<Record> {
        match &self.next {
            Some(next) if next.path == path => self.next(),
            _ => None,
        }
    }

    fn advance(&mut self) {
        self.next = loop {
            match self.read_record() {
                Ok(None) => break None,
                Ok(Some(record)) => {
                    if let Some(record) = self.settle(record) {
                        break Some(record);
                    }
                }
                Err(error) => {
                    tracing::warn!(receipt = %self.shown.display(), %error, "the rest of the receipt cannot be used");
                    self.damaged = true;
                    break None;
                }
            }
        };
        if self.next.is_none() {
            self.lines = None;
        }
    }

    /// Decides between what stood there and what was about to, and leaves out what overlays nothing.
    fn settle(&mut self, mut record: Record) -> Option<Record> {
        let top = self.top.as_ref().filter(|(path, _)| *path == record.path);
        match (record.mark, top) {
            (Mark::Pending, _) => {
                let now = Look::of(&self.cursor.stat(&record.path).ok()??);
                let is_there = if record.dir {
                    now.is_dir() && now.fingerprint.is_of_file(record.at)
                } else {
                    record.at.is(now.fingerprint)
                };
                if !is_there {
                    return None;
                }
                record.mark = Mark::Put;
            }
            (Mark::Put, None) => {}
            (Mark::Overlaid, None) => return None,
            (_, Some((_, by))) if *by == record.by || record.dir => return None,
            (_, Some(_)) => record.mark = Mark::Overlaid,
        }
        if record.mark == Mark::Put {
            let (path, by) = self.top.get_or_insert_with(|| (PathBuf::new(), Arc::clone(&record.by)));
            path.clone_from(&record.path);
            by.clone_from(&record.by);
        }
        Some(record)
    }

    fn read_record(&mut self) -> std::io::Result<Option<Record>> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        loop {
            self.line.clear();
            lines.take(MAX_LINE).read_until(b'\n', &mut self.line)?;
            let line = self.line.strip_suffix(b"\n").unwrap_or_default();
            if let Some(count) = line.strip_prefix(END.as_bytes()) {
                return match number(count) == Some(self.read) {
                    true => Ok(None),
                    false => Err(std::io::Error::other("entries are missing")),
                };
            }
            let broken = || std::io::Error::other("a line is not of its form");
            if let Some(text) = line.strip_prefix(b"s\t") {
                self.texts.push(percent_decode(text).decode_utf8_lossy().into());
            } else if let Some(of) = line.strip_prefix(b"of\t") {
                self.of = Some(destination(of).ok_or_else(broken)?);
            } else if let Some(fields) = line.strip_prefix(b"w\t") {
                self.wholes.push(whole(fields, &self.texts).ok_or_else(broken)?);
            } else {
                self.read += 1;
                return record(line, &self.texts).map(Some).ok_or_else(broken);
            }
        }
    }
}

impl Iterator for Receipt<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let record = self.next.take();
        if record.is_some() {
            self.advance();
        }
        record
    }
}

fn lines_of(file: File) -> std::io::Result<BufReader<File>> {
    // Written whole or not at all, so the last line stands for all.
    let length = file.metadata()?.len();
    let mut tail = [0; 32];
    let tail_length = length.min(32);
    let tail = &mut tail[..usize::try_from(tail_length).unwrap_or(0)];
    file.read_exact_at(tail, length - tail_length)?;
    let last = tail
        .strip_suffix(b"\n")
        .unwrap_or_default()
        .rsplit(|&b| b == b'\n')
        .next();
    if !last.is_some_and(|last| last.starts_with(END.as_bytes())) {
        return Err(std::io::Error::other("it has no last line"));
    }
    let mut lines = BufReader::with_capacity(64 << 10, file);
    let mut head = [0; HEAD.len()];
    lines.read_exact(&mut head)?;
    if head != HEAD {
        return Err(std::io::Error::other("it is of another version, or none of ours"));
    }
    Ok(lines)
}

fn record(line: &[u8], texts: &[Arc<str>]) -> Option<Record> {
    let mut fields = line.split(|&b| b == b'\t');
    let (dir, mark) = match fields.next()? {
        b"d" => (true, Mark::Put),
        b"f" => (false, Mark::Put),
        b"o" => (false, Mark::Overlaid),
        b"p" => (false, Mark::Pending),
        b"q" => (true, Mark::Pending),
        _ => return None,
    };
    let path = path(fields.next()?);
    let mut text = || text(fields.next()?, texts);
    let (by, from, options) = (text()?, text()?, text()?);
    let stamp = match fields.next()? {
        [b'=', field @ ..] => Stamp::Text(self::text(field, texts)?),
        field => Stamp::Stat(fingerprint(field)?),
    };
    let at = fingerprint(fields.next()?)?;
    let sha256 = match fields.next()? {
        b"-" => None,
        hex => Some(std::str::from_utf8(hex).ok()?.to_owned()),
    };
    Some(Record {
        path,
        by,
        from,
        options,
        stamp,
        dir,
        mark,
        at,
        sha256,
    })
}

fn whole(line: &[u8], texts: &[Arc<str>]) -> Option<Whole> {
    let mut fields = line.split(|&b| b == b'\t');
    let mut text = || text(fields.next()?, texts);
    let (from, by, options, identity) = (text()?, text()?, text()?, text()?);
    let files = number(fields.next()?)?;
    Some(Whole {
        from,
        by,
        options,
        identity,
        files,
    })
}

fn destination(line: &[u8]) -> Option<Of> {
    let mut fields = line.split(|&b| b == b'\t');
    let path = path(fields.next()?);
    Some(Of {
        path,
        device: number(fields.next()?)?,
        inode: number(fields.next()?)?,
    })
}

fn path(field: &[u8]) -> PathBuf {
    match field.contains(&b'%') {
        true => PathBuf::from(OsStr::from_bytes(&percent_decode(field).collect::<Vec<u8>>())),
        false => PathBuf::from(OsStr::from_bytes(field)),
    }
}

fn text(field: &[u8], texts: &[Arc<str>]) -> Option<Arc<str>> {
    texts.get(usize::try_from(number(field)?).ok()?).map(Arc::clone)
}

fn fingerprint(field: &[u8]) -> Option<Fingerprint> {
    let mut parts = field.split(|&b| b == b'.');
    let mut signed = || {
        let part = parts.next()?;
        let (negative, digits) = part.strip_prefix(b"-").map_or((false, part), |digits| (true, digits));
        let value = number(digits)?;
        Some(if negative { value.wrapping_neg() } else { value })
    };
    let (inode, size, modified, changed) = (signed()?, signed()?, signed()?, signed()?);
    Some((inode, size, modified.cast_signed(), changed.cast_signed()).into())
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, &digit| {
        n.checked_mul(10)?
            .checked_add(u64::from(digit.checked_sub(b'0').filter(|&d| d < 10)?))
    })
}
