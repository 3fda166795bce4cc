//! The dead-letter file: records that the sink refuses for good, each once, with the reason, one JSON object a line.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use humantime::format_rfc3339_millis;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::batch::{Mark, Record};
use crate::parse::system_time;

/// All files of ours for rejected records begin with this.
pub(crate) const PREFIX: &str = "dead-letter.";
const NAME: &str = "dead-letter.ndjson";
/// Records may hold what not everybody is to read.
const MODE: u32 = 0o640;
/// In percent of the limit: then there is time to do something.
const TELL_AT: u64 = 80;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry<'e> {
    /// What the sink said.
    #[serde(borrow)]
    pub(crate) reason: Cow<'e, str>,
    #[serde(rename = "_id", borrow)]
    pub(crate) id: Cow<'e, str>,
    /// Its time, as it is told to the sink.
    #[serde(rename = "@timestamp", borrow, default)]
    pub(crate) at: Cow<'e, str>,
    #[serde(borrow)]
    pub(crate) path: Cow<'e, str>,
    pub(crate) offset: u64,
    #[serde(default)]
    pub(crate) mark: Mark,
    #[serde(borrow)]
    pub(crate) message: Cow<'e, str>,
    /// The same in base64, where it is not UTF-8: the id is made of it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<Cow<'e, str>>,
}

pub(crate) struct DeadLetter {
    path: Option<PathBuf>,
    file: Option<Open>,
    max: u64,
}

/// The file, once something was rejected. Others append to it too: a replay, and what it refuses again.
struct Open {
    file: File,
    /// How long it was when we looked last.
    length: u64,
    /// Digests of the ids that are in it: what is sent again after a crash may be refused again, and is there already.
    known: HashSet<u64>,
    is_near_told: bool,
    is_full_told: bool,
}

impl DeadLetter {
    /// In the state directory; without one, rejected records go to the log.
    pub(crate) fn new(state: Option<&Path>, max: u64) -> Self {
        Self {
            path: state.map(path_in),
            file: None,
            max,
        }
    }

    /// Keeps the records, which were read at `read_at`, durably, in one write; returns how many the file had no room for.
    ///
    /// # Errors
    /// When it cannot be written, or another process takes it away just now: it waits for nobody.
    pub(super) fn add(&mut self, rejected: &[(Record<'_>, String)], read_at: SystemTime) -> io::Result<usize> {
        let first = rejected.first().map_or("", |(_, why)| why);
        let Some(path) = self.path.clone() else {
            for (record, why) in rejected {
                let record = line(record, &record.id(), why, read_at)?;
                tracing::error!(record, "rejected; there is no --state to keep it in");
            }
            return Ok(0);
        };
        let max = self.max;
        let open = self.lock(&path)?;
        let added = open.add(rejected, read_at, max);
        flock(&open.file, FlockOperation::Unlock)?;
        let lost = added?;
        let kept = rejected.len() - lost;
        tracing::warn!(kept, lost, first, file = %path.display(), "rejected by the sink; kept in the dead-letter file as far as there is room");
        open.tell(lost, max, &path);
        Ok(lost)
    }

    /// The file under its name, locked, and as it is now.
    fn lock(&mut self, path: &Path) -> io::Result<&mut Open> {
        loop {
            // A replay takes it away under another name, and holds that: it is not even asked for.
            let named = self.file.take().filter(|open| open.is_named(path));
            let mut open = match named {
                Some(open) => open,
                None => Open::at(path)?,
            };
            match flock(&open.file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another process uses it just now")),
                locked => locked?,
            }
            if open.is_named(path) {
                open.renew()?;
                return Ok(self.file.insert(open));
            }
        }
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).read(true).append(true).mode(MODE).open(path)?;
        Ok(Self {
            file,
            length: 0,
            known: HashSet::new(),
            is_near_told: false,
            is_full_told: false,
        })
    }

    fn is_named(&self, path: &Path) -> bool {
        let same = |found: fs::Metadata, own: fs::Metadata| (own.dev(), own.ino()) == (found.dev(), found.ino());
        fs::metadata(path).is_ok_and(|found| self.file.metadata().is_ok_and(|own| same(found, own)))
    }

    /// Reads what others have written. What a killed one left half written goes.
    fn renew(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() == self.length {
            return Ok(());
        }
        self.known.clear();
        self.length = 0;
        self.file.seek(SeekFrom::Start(0))?;
        let mut lines = BufReader::new(&self.file);
        let mut text = Vec::new();
        while lines.read_until(b'\n', &mut text)? > 0 && text.ends_with(b"\n") {
            self.length += text.len() as u64;
            if let Ok(entry) = serde_json::from_slice::<Entry<'_>>(&text) {
                self.known.insert(digest(&entry.id));
            }
            text.clear();
        }
        if self.length < self.file.metadata()?.len() {
            self.file.set_len(self.length)?;
        }
        Ok(())
    }

    fn add(&mut self, rejected: &[(Record<'_>, String)], read_at: SystemTime, max: u64) -> io::Result<usize> {
        let (mut lines, mut added, mut lost) = (Vec::new(), Vec::new(), 0);
        for (record, why) in rejected {
            let id = record.id();
            let digest = digest(&id);
            if self.known.contains(&digest) {
                continue;
            }
            let line = line(record, &id, why, read_at)?;
            if self.length + (lines.len() + line.len()) as u64 <= max {
                lines.extend_from_slice(line.as_bytes());
                added.push(digest);
            } else {
                lost += 1;
            }
        }
        if let Err(error) = self.file.write_all(&lines).and_then(|()| self.file.sync_data()) {
            // Half a line must not stand before the next try.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.known.extend(added);
        Ok(lost)
    }

    fn tell(&mut self, lost: usize, max: u64, path: &Path) {
        let (file, size) = (path.display(), self.length);
        if lost > 0 && !std::mem::replace(&mut self.is_full_told, true) {
            tracing::error!(%file, max, "the dead-letter file is full: rejected records are lost from here on");
        }
        if size * 100 >= max * TELL_AT && !std::mem::replace(&mut self.is_near_told, true) {
            tracing::warn!(%file, size, max, "the dead-letter file is nearly full: mend what the sink refuses, then run log-sidecar replay");
        }
    }
}

/// The file of a state directory.
pub(crate) fn path_in(state: &Path) -> PathBuf {
    state.join(NAME)
}

fn digest(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

fn line(record: &Record<'_>, id: &str, why: &str, read_at: SystemTime) -> io::Result<String> {
    let entry = Entry {
        reason: why.into(),
        id: id.into(),
        at: format_rfc3339_millis(record.time.map_or(read_at, system_time))
            .to_string()
            .into(),
        path: record.source.path.as_str().into(),
        offset: record.offset,
        mark: record.mark,
        bytes: std::str::from_utf8(record.text)
            .is_err()
            .then(|| STANDARD.encode(record.text).into()),
        message: String::from_utf8_lossy(record.text),
    };
    Ok(serde_json::to_string(&entry)? + "\n")
}
