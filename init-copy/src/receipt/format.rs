//! The receipt: what earlier runs put there, from what, and how it looked when it was done.
//!
//! A second run is skipped on this proof, never on mere existence. A change of content, and any other change to a file, moves its
//! status-change time, which no user can set: source and target are proven unchanged without reading them.
//!
//! Text, a line an entry in the order of [`order`], so that a tree of any size is read and written in passing, and a
//! few bytes each, since a second run does little else than read it:
//!
//! ```text
//! init-copy receipt 2
//! s <text>                                       a text that is used below by its number, counted from 0
//! f|d|o <path> <by> <from> <options> <stamp> <at> <sha256 or ->
//! end <number of entries>
//! ```
//!
//! Fields are separated by tabs; by, from and options are numbers of texts; a stamp is the number of a text behind `=` or a
//! fingerprint, as `at` is: inode, size, modified, changed. An `o` follows the `f` of the same path: another step put something there
//! before, which that one overlays.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};
use pod_contract::files::publish::Staged;

use super::keeping::Keeping;
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::Root;
use crate::error::{At as _, Error};
use crate::plan::{Stamp, order};

/// It lists every name: for the user and the group that run this, not for whoever is served from the directory.
const MODE: u32 = 0o640;
const HEAD: &[u8] = b"init-copy receipt 2\n";
const END: &str = "end\t";
/// A line holds a path or two; a longer one is not ours.
const MAX_LINE: u64 = 64 << 10;
/// What a field may not hold as it is, beside the bytes that are not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// One entry that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Below the destination.
    pub(crate) path: PathBuf,
    /// The step that put it there: only that step prunes it.
    pub(crate) by: Arc<str>,
    pub(crate) from: Arc<str>,
    /// What was wanted beside the content.
    pub(crate) options: Arc<str>,
    pub(crate) stamp: Stamp,
    pub(crate) dir: bool,
    /// Another step's record of the same path, before this one, is of what stands there: this one would be, without that step.
    pub(crate) overlaid: bool,
    /// How it looked at the destination.
    pub(crate) at: Fingerprint,
    pub(crate) sha256: Option<String>,
}

/// The records of a destination, in order.
pub(crate) struct Receipt {
    lines: Option<BufReader<File>>,
    line: Vec<u8>,
    texts: Vec<Arc<str>>,
    shown: PathBuf,
    /// One record read ahead.
    next: Option<Record>,
    read: u64,
    damaged: bool,
}

impl Receipt {
    /// The receipt of the destination; empty when there is none, or none that can be believed.
    pub(crate) fn open(root: &Root, keeping: &Keeping) -> Self {
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
        self.next = self.read_record().unwrap_or_else(|error| {
            tracing::warn!(receipt = %self.shown.display(), %error, "the rest of the receipt cannot be used");
            self.damaged = true;
            None
        });
        if self.next.is_none() {
            self.lines = None;
        }
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
            } else {
                self.read += 1;
                return parse(line, &self.texts).map(Some).ok_or_else(broken);
            }
        }
    }
}

impl Iterator for Receipt {
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

fn parse(line: &[u8], texts: &[Arc<str>]) -> Option<Record> {
    let mut fields = line.split(|&b| b == b'\t');
    let (dir, overlaid) = match fields.next()? {
        b"d" => (true, false),
        b"f" => (false, false),
        b"o" => (false, true),
        _ => return None,
    };
    let path = fields.next()?;
    let path = match path.contains(&b'%') {
        true => PathBuf::from(OsStr::from_bytes(&percent_decode(path).collect::<Vec<u8>>())),
        false => PathBuf::from(OsStr::from_bytes(path)),
    };
    let text = |field: &[u8]| Some(Arc::clone(texts.get(usize::try_from(number(field)?).ok()?)?));
    let (by, from, options) = (text(fields.next()?)?, text(fields.next()?)?, text(fields.next()?)?);
    let stamp = match fields.next()? {
        [b'=', field @ ..] => Stamp::Text(text(field)?),
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
        overlaid,
        at,
        sha256,
    })
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

/// Writes a receipt, whole or not at all.
pub(crate) struct Writer {
    staged: BufWriter<StagedFile>,
    path: PathBuf,
    entries: u64,
    texts: HashMap<Arc<str>, usize>,
}

struct StagedFile(Staged);

impl std::io::Write for StagedFile {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the method that others build write_all on"
    )]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.file().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Writer {
    /// A new receipt, to be kept at `path`.
    pub(crate) fn create(path: PathBuf) -> Result<Self, Error> {
        let staged = StagedFile(Staged::create(&path).at("write", &path)?);
        let mut staged = BufWriter::with_capacity(64 << 10, staged);
        staged.write_all(HEAD).at("write", &path)?;
        Ok(Self {
            staged,
            path,
            entries: 0,
            texts: HashMap::new(),
        })
    }

    pub(crate) fn add(&mut self, record: &Record) -> Result<(), Error> {
        self.entries += 1;
        let written = self.line(record);
        written.at("write", &self.path)
    }

    fn line(&mut self, record: &Record) -> std::io::Result<()> {
        let (by, from, options) = (
            self.text(&record.by)?,
            self.text(&record.from)?,
            self.text(&record.options)?,
        );
        let kind = match (record.dir, record.overlaid) {
            (true, _) => 'd',
            (false, false) => 'f',
            (false, true) => 'o',
        };
        let path = percent_encode(record.path.as_os_str().as_bytes(), ESCAPED);
        let sha256 = record.sha256.as_deref().unwrap_or("-");
        match &record.stamp {
            Stamp::Stat(stamp) => writeln!(
                self.staged,
                "{kind}\t{path}\t{by}\t{from}\t{options}\t{stamp}\t{}\t{sha256}",
                record.at
            ),
            Stamp::Text(text) => {
                let text = self.text(text)?;
                writeln!(
                    self.staged,
                    "{kind}\t{path}\t{by}\t{from}\t{options}\t={text}\t{}\t{sha256}",
                    record.at
                )
            }
        }
    }

    /// The number of a text, which is written when it is new.
    fn text(&mut self, text: &Arc<str>) -> std::io::Result<usize> {
        if let Some(&number) = self.texts.get(text) {
            return Ok(number);
        }
        let number = self.texts.len();
        writeln!(self.staged, "s\t{}", percent_encode(text.as_bytes(), ESCAPED))?;
        self.texts.insert(Arc::clone(text), number);
        Ok(number)
    }

    /// Makes it durable and visible.
    pub(crate) fn publish(mut self, durable: bool) -> Result<(), Error> {
        writeln!(self.staged, "{END}{}", self.entries).at("write", &self.path)?;
        let path = self.path;
        let staged = self.staged.into_inner().map_err(std::io::IntoInnerError::into_error);
        staged
            .and_then(|staged| staged.0.publish_as(MODE, durable))
            .at("write", &path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::plan::names::RECEIPT;

    fn record(path: &[u8], stamp: Stamp) -> Record {
        Record {
            path: PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())),
            by: "default".into(),
            from: "/src".into(),
            options: "".into(),
            stamp,
            dir: false,
            overlaid: false,
            at: Fingerprint::within(3, -7),
            sha256: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again_whatever_the_names() {
        let dir = tempfile::tempdir().unwrap();
        let stat = Stamp::Stat(Fingerprint::within(u64::MAX, i64::MIN));
        let records = [
            record(b"a/\"quoted\" 100%\t\n", stat.clone()),
            record(b"\xff\xfe", Stamp::Text("sha256:x\ty".into())),
            record("é".as_bytes(), stat),
            Record {
                dir: true,
                overlaid: false,
                sha256: Some("00".into()),
                ..record(b"", Stamp::Text("".into()))
            },
        ];
        let mut writer = Writer::create(dir.path().join(RECEIPT)).unwrap();
        for record in &records {
            writer.add(record).unwrap();
        }
        writer.publish(true).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(Receipt::open(&root, &Keeping::Inside).collect::<Vec<_>>(), records);
    }

    #[test]
    fn one_that_cannot_be_believed_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(Receipt::open(&root, &Keeping::Inside).is_empty());
        let texts = [
            "",
            "{}",
            "init-copy receipt 2\n",
            "init-copy receipt 1\nend\t0\n",
            "garbage\nend\t0\n",
            "init-copy receipt 2\nf\ta\nend\t1\n",
            "init-copy receipt 2\nf\ta\t0\t0\t0\t1.2.3.4\t1.2.3.4\t-\nend\t1\n",
        ];
        for text in texts {
            std::fs::write(dir.path().join(RECEIPT), text).unwrap();
            assert!(Receipt::open(&root, &Keeping::Inside).is_empty(), "{text:?}");
        }
    }
}
