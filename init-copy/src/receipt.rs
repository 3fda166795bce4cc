//! The receipt: what earlier runs put there, from what, and how it looked when it was done.
//!
//! A second run is skipped on this proof, never on mere existence. A change of content, and any other change to a file, moves its
//! status-change time, which no user can set: source and target are proven unchanged without reading them.
//!
//! One JSON object a line, so that a tree of any size is read and written in passing: a head with the version, an object an entry
//! in the order of [`crate::plan::order`], and a foot with the number of entries.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use pod_contract::publish::Staged;
use rustix::fs::{Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::beneath::Root;
use crate::error::{At as _, Error};
use crate::fingerprint::Fingerprint;
use crate::plan::order;

/// A hidden file, not a directory: Tomcat would deploy a directory in `webapps` as an application.
pub(crate) const NAME: &str = ".init-copy.jsonl";
const VERSION: u32 = 2;
/// A line holds a path or two; a longer one is not ours.
const MAX_LINE: u64 = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "init-copy")]
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Foot {
    entries: u64,
}

/// One entry that is in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Below the destination.
    #[serde(with = "path_text")]
    pub(crate) path: PathBuf,
    /// The step that put it there: only that step prunes it.
    pub(crate) by: String,
    pub(crate) from: String,
    /// What identified the content in the source.
    pub(crate) stamp: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dir: bool,
    /// How it looked at the destination.
    pub(crate) at: Fingerprint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

/// The records of a destination, in order.
pub(crate) struct Receipt {
    lines: Option<BufReader<File>>,
    shown: PathBuf,
    /// One record read ahead.
    next: Option<Record>,
}

impl Receipt {
    /// The receipt of the destination; empty when there is none, or none that can be believed.
    pub(crate) fn open(root: &Root) -> Self {
        let shown = root.path().join(NAME);
        let lines = match open(root) {
            Ok(lines) => lines,
            Err(error) => {
                tracing::warn!(receipt = %shown.display(), %error, "the receipt cannot be used: everything is copied again");
                None
            }
        };
        let mut receipt = Self {
            lines,
            shown,
            next: None,
        };
        receipt.advance();
        receipt
    }

    /// Is there one at all?
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_none()
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
        self.next = match self.lines.as_mut().map(read_record) {
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                tracing::warn!(receipt = %self.shown.display(), %error, "the rest of the receipt cannot be used");
                None
            }
            None => None,
        };
        if self.next.is_none() {
            self.lines = None;
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

fn open(root: &Root) -> std::io::Result<Option<BufReader<File>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat(root, NAME, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // Written whole or not at all, so the foot stands for all lines.
    let mut tail = [0; 64];
    let length = file.metadata()?.len();
    let tail_length = length.min(64);
    let tail = &mut tail[..usize::try_from(tail_length).unwrap_or(64)];
    file.read_exact_at(tail, length - tail_length)?;
    let last = tail.trim_ascii_end().rsplit(|&b| b == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<Foot>(last).map_err(|e| std::io::Error::other(format!("it has no last line: {e}")))?;
    let mut lines = BufReader::with_capacity(32 << 10, file);
    let head: Head = serde_json::from_slice(&read_line(&mut lines)?)?;
    if head.version == VERSION {
        Ok(Some(lines))
    } else {
        Err(std::io::Error::other(format!("it has the version {}", head.version)))
    }
}

fn read_line(lines: &mut BufReader<File>) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    lines.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        Ok(line)
    } else {
        Err(std::io::Error::other("a line has no end"))
    }
}

fn read_record(lines: &mut BufReader<File>) -> std::io::Result<Option<Record>> {
    let line = read_line(lines)?;
    if line.starts_with(b"{\"entries\"") {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(Into::into)
}

/// Writes a receipt, whole or not at all.
pub(crate) struct Writer {
    staged: BufWriter<StagedFile>,
    path: PathBuf,
    entries: u64,
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
    /// A new receipt for the directory `dir`.
    pub(crate) fn create(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let staged = StagedFile(Staged::create(&path).at("write", &path)?);
        let mut writer = Self {
            staged: BufWriter::new(staged),
            path,
            entries: 0,
        };
        writer.line(&Head { version: VERSION })?;
        Ok(writer)
    }

    pub(crate) fn add(&mut self, record: &Record) -> Result<(), Error> {
        self.entries += 1;
        self.line(record)
    }

    /// Makes it durable and visible.
    pub(crate) fn publish(mut self, durable: bool) -> Result<(), Error> {
        self.line(&Foot { entries: self.entries })?;
        let path = self.path;
        let staged = self.staged.into_inner().map_err(std::io::IntoInnerError::into_error);
        staged
            .and_then(|staged| staged.0.publish_as(0o644, durable))
            .at("write", &path)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let mut line = serde_json::to_vec(value)
            .map_err(std::io::Error::from)
            .at("encode", &self.path)?;
        line.push(b'\n');
        self.staged.write_all(&line).at("write", &self.path)
    }
}

/// A path as text; one that is not UTF-8 as its bytes, behind a NUL, which no path has.
mod path_text {
    use std::ffi::OsString;

    use serde::{Deserializer, Serializer};

    use super::*;

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&format!("\0{}", crate::checksum::hex(path.as_os_str().as_bytes()))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some(hex) = text.strip_prefix('\0') else {
            return Ok(PathBuf::from(text));
        };
        let bytes = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16))
            .collect::<Result<Vec<_>, _>>()
            .map_err(serde::de::Error::custom)?;
        Ok(PathBuf::from(OsString::from_vec(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &[u8]) -> Record {
        Record {
            path: PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())),
            by: "default".into(),
            from: "/src".into(),
            stamp: "s".into(),
            dir: false,
            at: Fingerprint::within(3, 7),
            sha256: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again_whatever_the_names() {
        let dir = tempfile::tempdir().unwrap();
        let records = [record(b"a/\"quoted\""), record(b"\xff\xfe"), record("é".as_bytes())];
        let mut writer = Writer::create(dir.path()).unwrap();
        for record in &records {
            writer.add(record).unwrap();
        }
        writer.publish(true).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(Receipt::open(&root).collect::<Vec<_>>(), records);
    }

    #[test]
    fn one_that_cannot_be_believed_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(Receipt::open(&root).is_empty());
        for text in [
            "",
            "{}",
            "{\"init-copy\":2}\n",
            "{\"init-copy\":1}\n{\"entries\":0}\n",
            "garbage\n{\"entries\":0}\n",
        ] {
            std::fs::write(dir.path().join(NAME), text).unwrap();
            assert!(Receipt::open(&root).is_empty(), "{text:?}");
        }
    }
}
