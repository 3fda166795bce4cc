//! The dead-letter file: records that the sink refuses for good, each once, with the reason, one JSON object a line.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use humantime::format_rfc3339_millis;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::batch::{Mark, Record};

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
    /// When it was read, as it is told to the sink.
    #[serde(rename = "@timestamp", borrow, default)]
    pub(crate) at: Cow<'e, str>,
    #[serde(borrow)]
    pub(crate) path: Cow<'e, str>,
    pub(crate) offset: u64,
    #[serde(default)]
    pub(crate) mark: Mark,
    #[serde(borrow)]
    pub(crate) message: Cow<'e, str>,
}

pub(crate) struct DeadLetter {
    path: Option<PathBuf>,
    file: Option<Open>,
    max: u64,
    is_near_told: bool,
    is_full_told: bool,
}

/// The file, once something was rejected.
struct Open {
    file: File,
    /// Digests of the ids that were in it: what is sent again after a crash may be refused again, and is there already.
    known: HashSet<u64>,
}

impl DeadLetter {
    /// In the state directory; without one, rejected records go to the log.
    pub(crate) fn new(state: Option<&Path>, max: u64) -> Self {
        Self {
            path: state.map(path_in),
            file: None,
            max,
            is_near_told: false,
            is_full_told: false,
        }
    }

    /// Keeps the records, which were read at `read_at`, durably, in one write; returns how many the file had no room for.
    pub(super) fn add(&mut self, rejected: &[(Record<'_>, String)], read_at: SystemTime) -> io::Result<usize> {
        let first = rejected.first().map_or("", |(_, why)| why);
        let Some(path) = self.path.clone() else {
            for (record, why) in rejected {
                let record = line(record, why, read_at)?;
                tracing::error!(record, "rejected; there is no --state to keep it in");
            }
            return Ok(0);
        };
        let max = self.max;
        let open = self.open(&path)?;
        let (start, mut lines, mut added, mut lost) = (open.file.metadata()?.len(), Vec::new(), Vec::new(), 0);
        for (record, why) in rejected {
            let digest = digest(&record.id());
            if open.known.contains(&digest) {
                continue;
            }
            let line = line(record, why, read_at)?;
            if start + (lines.len() + line.len()) as u64 <= max {
                lines.extend_from_slice(line.as_bytes());
                added.push(digest);
            } else {
                lost += 1;
            }
        }
        if let Err(error) = open.file.write_all(&lines).and_then(|()| open.file.sync_data()) {
            // Half a line must not stand before the next try.
            open.file.set_len(start)?;
            return Err(error);
        }
        open.known.extend(added);
        flock(&open.file, FlockOperation::Unlock)?;
        tracing::warn!(records = rejected.len(), lost, first, file = %path.display(), "rejected by the sink; kept in the dead-letter file");
        self.tell(start + lines.len() as u64, lost, &path);
        Ok(lost)
    }

    /// The file under its name, locked. A replay takes it away under another one.
    fn open(&mut self, path: &Path) -> io::Result<&mut Open> {
        loop {
            let open = match self.file.take() {
                Some(open) => open,
                None => Open::at(path)?,
            };
            flock(&open.file, FlockOperation::LockExclusive)?;
            let is_there = fs::metadata(path).is_ok_and(|found| {
                open.file
                    .metadata()
                    .is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
            });
            if is_there {
                return Ok(self.file.insert(open));
            }
        }
    }

    fn tell(&mut self, size: u64, lost: usize, path: &Path) {
        let (file, max) = (path.display(), self.max);
        if lost > 0 && !std::mem::replace(&mut self.is_full_told, true) {
            tracing::error!(%file, max, "the dead-letter file is full: rejected records are lost from here on");
        }
        if size * 100 >= max * TELL_AT && !std::mem::replace(&mut self.is_near_told, true) {
            tracing::warn!(%file, size, max, "the dead-letter file is nearly full: mend what the sink refuses, then run log-sidecar replay");
        }
    }
}

impl Open {
    /// What a killed run left half written goes; what it wrote is remembered.
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).mode(MODE).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        let (mut known, mut whole) = (HashSet::new(), 0);
        let mut lines = BufReader::new(&file);
        let mut text = Vec::new();
        while lines.read_until(b'\n', &mut text)? > 0 && text.ends_with(b"\n") {
            whole += text.len() as u64;
            if let Ok(entry) = serde_json::from_slice::<Entry<'_>>(&text) {
                known.insert(digest(&entry.id));
            }
            text.clear();
        }
        drop(lines);
        if whole < file.metadata()?.len() {
            file.set_len(whole)?;
        }
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, known })
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

fn line(record: &Record<'_>, why: &str, read_at: SystemTime) -> io::Result<String> {
    let entry = Entry {
        reason: why.into(),
        id: record.id().into(),
        at: format_rfc3339_millis(read_at).to_string().into(),
        path: record.source.path.as_str().into(),
        offset: record.offset,
        mark: record.mark,
        message: String::from_utf8_lossy(record.text),
    };
    Ok(serde_json::to_string(&entry)? + "\n")
}
