//! Reading a receipt.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memchr;
use percent_encoding::percent_decode;

use super::keeping::Keeping;
use super::look::Look;
use super::record::{Mark, Of, Record, Whole};
use super::write::{END, HEAD};
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::{Cursor, Root};
use crate::plan::{Stamp, is_normal, order};

/// A line holds a path or two; a longer one is not ours.
const MAX_LINE: u64 = 64 << 10;

/// The records of a destination, in order.
pub(crate) struct Receipt<'r> {
    lines: Option<Lines>,
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
    is_closed: bool,
}

impl<'r> Receipt<'r> {
    /// The receipt of the destination; empty when there is none, or none that can be believed.
    pub(crate) fn open(root: &'r Root, keeping: &Keeping) -> Self {
        Self::of_file(root, keeping, keeping.open(root))
    }

    pub(super) fn of_file(root: &'r Root, keeping: &Keeping, file: std::io::Result<Option<File>>) -> Self {
        let shown = keeping.path(root.path()).unwrap_or_default();
        let (lines, refused) = match file.and_then(|file| file.map(Lines::new).transpose()) {
            Ok(lines) => (lines, None),
            Err(error) => {
                tracing::warn!(receipt = %shown.display(), %error, "the receipt cannot be used: nothing is known of what stands there");
                (None, Some(error))
            }
        };
        let mut receipt = Self {
            lines,
            texts: Vec::new(),
            shown,
            of: None,
            wholes: Vec::new(),
            cursor: root.cursor(),
            top: None,
            next: None,
            read: 0,
            damaged: refused.is_some(),
            is_closed: refused.is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied),
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

    /// May it not be read by this user?
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The destination that it says to be of.
    pub(crate) fn of(&self) -> Option<&Of> {
        self.of.as_ref()
    }

    /// The sources of which everything is there. Known when all records have been taken.
    pub(crate) fn wholes(&mut self) -> Vec<Whole> {
        std::mem::take(&mut self.wholes)
    }

    /// The next record, and which of all lines of records it is from, counted from 0.
    pub(super) fn peek(&self) -> Option<(usize, &Record)> {
        let number = usize::try_from(self.read).unwrap_or(usize::MAX).saturating_sub(1);
        self.next.as_ref().map(|next| (number, next))
    }

    /// All records before `path`, one a call; `None` when the next one is `path` or behind it.
    pub(crate) fn next_before(&mut self, path: &Path) -> Option<Record> {
        match &self.next {
            Some(next) if order(&next.path, path).is_lt() => self.next(),
            _ => None,
        }
    }

    /// What the record before overlays.
    pub(crate) fn overlaid(&mut self) -> Vec<Record> {
        let mut under = Vec::new();
        while self.peek().is_some_and(|(_, next)| next.mark == Mark::Overlaid) {
            under.extend(self.next());
        }
        under
    }

    /// The record of `path`, if it is the next one.
    pub(crate) fn next_at(&mut self, path: &Path) -> Option<Record> {
        match &self.next {
            Some(next) if next.path.as_os_str() == path.as_os_str() => self.next(),
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
        let top = self.top.as_ref();
        let top = top.filter(|(path, _)| path.as_os_str() == record.path.as_os_str());
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
            let Some(line) = lines.next()? else {
                return match lines.count == Some(self.read) {
                    true => Ok(None),
                    false => Err(std::io::Error::other("entries are missing")),
                };
            };
            let broken = || std::io::Error::other("a line is not of its form");
            if let Some(text) = line.strip_prefix(b"s\t") {
                self.texts.push(percent_decode(text).decode_utf8_lossy().into());
            } else if let Some(of) = line.strip_prefix(b"of\t") {
                self.of = Some(destination(of).ok_or_else(broken)?);
            } else if let Some(fields) = line.strip_prefix(b"w\t") {
                self.wholes.push(whole(fields, &self.texts).ok_or_else(broken)?);
            } else {
                self.read += 1;
                let record = record(line, &self.texts).ok_or_else(broken)?;
                let top = self.top.as_ref();
                if top.is_some_and(|(path, _)| order(&record.path, path).is_lt()) {
                    return Err(std::io::Error::other("its entries are not in order"));
                }
                return Ok(Some(record));
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

/// The lines of a receipt behind the first one.
pub(super) struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// What the last line says of how many records there are.
    count: Option<u64>,
}

impl Lines {
    pub(super) fn new(file: File) -> std::io::Result<Self> {
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
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let mut head = [0; HEAD.len()];
        reader.read_exact(&mut head)?;
        if head != HEAD {
            return Err(std::io::Error::other("it is of another version, or none of ours"));
        }
        Ok(Self {
            reader,
            line: Vec::new(),
            count: None,
        })
    }

    /// The next line, without its end; `None` at the last one.
    pub(super) fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        let line = self.line.strip_suffix(b"\n").unwrap_or_default();
        if let Some(count) = line.strip_prefix(END.as_bytes()) {
            self.count = number(count);
            return Ok(None);
        }
        Ok(Some(line))
    }
}

/// What a line of a record begins with.
pub(super) struct Head<'l> {
    dir: bool,
    pub(super) mark: Mark,
    pub(super) path: Cow<'l, Path>,
    rest: Fields<'l>,
}

/// What tabs separate.
#[derive(Clone)]
struct Fields<'l>(Option<&'l [u8]>);

fn fields(line: &[u8]) -> Fields<'_> {
    Fields(Some(line))
}

impl<'l> Iterator for Fields<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let line = self.0?;
        let end = memchr(b'\t', line);
        self.0 = end.map(|end| &line[end + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    }
}

impl<'l> Head<'l> {
    /// `None` for other lines.
    pub(super) fn of(line: &'l [u8]) -> Option<Self> {
        let mut fields = fields(line);
        let (dir, mark) = match fields.next()? {
            b"d" => (true, Mark::Put),
            b"f" => (false, Mark::Put),
            b"o" => (false, Mark::Overlaid),
            b"p" => (false, Mark::Pending),
            b"q" => (true, Mark::Pending),
            _ => return None,
        };
        let path = path(fields.next()?);
        // What leads elsewhere is not ours.
        is_normal(&path).then_some(Self {
            dir,
            mark,
            path,
            rest: fields,
        })
    }

    /// How it looked at the destination.
    pub(super) fn at(&self) -> Option<Fingerprint> {
        fingerprint(self.rest.clone().nth(4)?)
    }
}

fn record(line: &[u8], texts: &[Arc<str>]) -> Option<Record> {
    let Head {
        dir,
        mark,
        path,
        rest: mut fields,
    } = Head::of(line)?;
    let path = path.into_owned();
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
    let mut fields = fields(line);
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
    let mut fields = fields(line);
    let path = path(fields.next()?).into_owned();
    Some(Of {
        path,
        device: number(fields.next()?)?,
        inode: number(fields.next()?)?,
    })
}

fn path(field: &[u8]) -> Cow<'_, Path> {
    match memchr(b'%', field).is_some() {
        true => PathBuf::from(OsStr::from_bytes(&percent_decode(field).collect::<Vec<u8>>())).into(),
        false => Path::new(OsStr::from_bytes(field)).into(),
    }
}

fn text(field: &[u8], texts: &[Arc<str>]) -> Option<Arc<str>> {
    texts.get(usize::try_from(number(field)?).ok()?).map(Arc::clone)
}

/// In one go: it is most of the work on a line.
fn fingerprint(field: &[u8]) -> Option<Fingerprint> {
    let mut parts = [0_u64; 4];
    let (mut at, mut digits, mut negative) = (0, 0, false);
    for &byte in field {
        match byte {
            b'.' if digits > 0 && at < 3 => {
                parts[at] = signed(parts[at], negative);
                at += 1;
                (digits, negative) = (0, false);
            }
            b'-' if digits == 0 && !negative => negative = true,
            _ if digits < FIT => {
                parts[at] = parts[at] * 10 + value(byte)?;
                digits += 1;
            }
            // Some file systems have inodes as large as they can be.
            _ => parts[at] = parts[at].checked_mul(10)?.checked_add(value(byte)?)?,
        }
    }
    if at < 3 || digits == 0 {
        return None;
    }
    let [inode, size, modified, changed] = parts;
    let changed = signed(changed, negative);
    Some((inode, size, modified.cast_signed(), changed.cast_signed()).into())
}

fn signed(value: u64, negative: bool) -> u64 {
    if negative { value.wrapping_neg() } else { value }
}

/// So many digits always fit.
const FIT: usize = 19;

fn number(digits: &[u8]) -> Option<u64> {
    let (first, rest) = digits.split_at(digits.len().min(FIT));
    let mut number = 0;
    for &digit in first {
        number = number * 10 + value(digit)?;
    }
    rest.iter()
        .try_fold(number, |number: u64, &digit| {
            number.checked_mul(10)?.checked_add(value(digit)?)
        })
        .filter(|_| !digits.is_empty())
}

fn value(digit: u8) -> Option<u64> {
    let value = digit.wrapping_sub(b'0');
    (value < 10).then_some(u64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_written() {
        for parts in [
            (0, 0, 0, 0),
            (1, 22, 333, 4444),
            (u64::MAX, u64::MAX, i64::MIN, i64::MIN),
            (9_999_999_999_999_999_999, u64::from(u32::MAX), -1, i64::MAX),
            (7, 0, i64::MIN + 1, -1_764_115_200_123_456_789),
        ] {
            let written = Fingerprint::from(parts);
            assert_eq!(fingerprint(written.to_string().as_bytes()), Some(written));
        }
        for bad in [
            "",
            "1",
            "1.2.3",
            "1.2.3.",
            ".1.2.3",
            "1..2.3",
            "1.2.3.4.5",
            "1.2.3.x",
            "1.2.-.4",
            "1.2.--3.4",
            "1.2.3.4-",
            "18446744073709551616.2.3.4",
            "1.2.3.99999999999999999999",
        ] {
            assert_eq!(fingerprint(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_of_digits_and_fit() {
        for (text, found) in [
            ("0", Some(0)),
            ("1764115200123456789", Some(1_764_115_200_123_456_789)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("", None),
            ("-1", None),
            ("1a", None),
            ("1 ", None),
        ] {
            assert_eq!(number(text.as_bytes()), found, "{text}");
        }
    }
}
