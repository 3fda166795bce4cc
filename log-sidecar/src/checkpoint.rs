//! How far each file is settled, on disk: one small file, replaced as a whole.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use pod_contract::files::publish::Staged;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::identity::{Evidence, Inode};
use crate::intent::Intent;
use crate::loss::Loss;

/// In the state directory.
pub(crate) const NAME: &str = "checkpoint.json";
/// In the place of its ending, as long as nobody has gone on.
pub(crate) const CLEAN: &str = "json.clean";
const VERSION: u32 = 1;
/// Written at a time, bytes.
const CHUNK: usize = 64 << 10;

/// One file as it was when the checkpoint was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) inode: Inode,
    pub(crate) generation: u32,
    /// Everything before is settled.
    pub(crate) offset: u64,
    pub(crate) evidence: Evidence,
    /// How it begins, as long as nothing is settled: so many bytes, and evidence of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begins: Option<(u64, Evidence)>,
    /// How far it was read: what is before that may have been sent.
    #[serde(default)]
    pub(crate) read: u64,
    /// Up to where there were lines in it.
    #[serde(default)]
    pub(crate) size: u64,
    /// When it was written to last, nanoseconds since 1970.
    #[serde(default)]
    pub(crate) modified: i64,
    /// Of a compressed file: `offset` counts what is in it, `evidence` is of its own bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) packed: Option<Packed>,
    /// Of the lines before the offset, if that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock: Option<Clock>,
}

impl Saved {
    /// What it is known by: so many bytes, and evidence of them.
    pub(crate) fn known_by(&self) -> (u64, &Evidence) {
        Evidence::deciding(self.offset, &self.evidence, self.begins.as_ref())
    }

    /// It is to be read from its head, under the same id.
    pub(crate) fn forget_offset(&mut self) {
        self.offset = 0;
        self.clock = None;
        match &mut self.packed {
            Some(packed) => packed.is_finished = false,
            None => self.evidence = Evidence::none(),
        }
    }
}

/// A copy of what was read, which may be compressed later.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Copied {
    pub(crate) inode: Inode,
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written to last, nanoseconds since 1970.
    #[serde(default)]
    pub(crate) modified: i64,
    /// Of all of it.
    pub(crate) evidence: Evidence,
}

/// A file that holds nothing to read as long as it is like this: compressed before the first start, or not by gzip, or a copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) inode: Inode,
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written to last, nanoseconds since 1970.
    pub(crate) modified: i64,
}

/// What a file was before it was truncated, as long as a copy of that may come up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Truncated {
    /// `evidence` is of what stood before `read`.
    pub(crate) file: Saved,
    /// When that was noticed, nanoseconds since 1970.
    pub(crate) noticed: i64,
    /// Where its last lines ended, with a checksum of what stood before.
    pub(crate) ends: Vec<(u64, u32)>,
}

/// A compressed file that is read through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// Of the file, bytes.
    pub(crate) size: u64,
    /// Everything in it is settled.
    pub(crate) is_finished: bool,
}

/// All that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Positions {
    pub(crate) version: u32,
    /// The run has ended in order: nothing behind the offsets was sent. A file beside this one says so, since that goes also where
    /// nothing can be written.
    #[serde(skip)]
    pub(crate) is_clean: bool,
    pub(crate) files: Vec<Saved>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) copies: Vec<Copied>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<LeftOut>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) truncated: Vec<Truncated>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) intents: Vec<Intent>,
    /// The pod in which something was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begun_in: Option<String>,
    /// Those that the sink has not been told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) losses: Vec<Loss>,
}

impl Default for Positions {
    fn default() -> Self {
        Self {
            version: VERSION,
            is_clean: false,
            files: Vec::new(),
            copies: Vec::new(),
            left_out: Vec::new(),
            truncated: Vec::new(),
            intents: Vec::new(),
            begun_in: None,
            losses: Vec::new(),
        }
    }
}

/// The file in the state directory, or nothing when there is no such directory.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: Option<PathBuf>,
    /// Of what is on disk.
    written: Option<u64>,
    /// What is on disk, as long as nothing newer can be written.
    left: Option<Positions>,
    /// Says "in use" to another process; ends with this one, however that ends. None as long as the directory cannot be made.
    lock: Option<File>,
}

impl Checkpoint {
    /// Opens the checkpoint in `state` and returns what it holds; `None` at a first start. A checkpoint that cannot be read as one is an
    /// error: to start anew without being asked would send everything twice. A full volume is none: lines go on, and positions follow
    /// when there is room.
    pub(crate) fn open(state: Option<&Path>) -> io::Result<(Self, Option<Positions>)> {
        let mut checkpoint = Self {
            path: state.map(|dir| dir.join(NAME)),
            written: None,
            left: None,
            lock: None,
        };
        let Some(path) = checkpoint.path.clone() else {
            return Ok((checkpoint, None));
        };
        match lock(path.parent().unwrap_or(&path)) {
            Err(error) if is_full(&error) => {}
            locked => checkpoint.lock = Some(locked?),
        }
        let is_clean = fs::remove_file(path.with_extension(CLEAN)).is_ok();
        let found = match fs::read(&path) {
            Ok(text) => Some(Positions {
                is_clean,
                ..read(&text, &path)?
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        checkpoint.written = found.as_ref().map(digest);
        // Proves now, not at the first acknowledgement, that the directory can be written.
        match checkpoint.stage(found.as_ref()) {
            Err(error) if is_full(&error) => tracing::error!(
                state = %path.display(), %error,
                "no room for the checkpoint: after a restart, lines may be sent twice; free some, it is tried again"
            ),
            staged => drop(staged?),
        }
        Ok((checkpoint, found))
    }

    /// Is there a place for it?
    pub(crate) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Writes `positions`, unless they are there.
    pub(crate) fn save(&mut self, positions: &Positions) -> io::Result<()> {
        let digest = digest(positions);
        if self.written == Some(digest) {
            Ok(())
        } else {
            self.write(positions, digest)
        }
    }

    fn write(&mut self, positions: &Positions, digest: u64) -> io::Result<()> {
        let staged = self.stage(Some(positions));
        match staged.and_then(|staged| staged.map(|staged| staged.publish(0o640)).transpose()) {
            Ok(_) => {
                self.written = Some(digest);
                self.left = None;
                Ok(())
            }
            Err(error) => {
                let dir = self.path.as_deref().and_then(Path::parent);
                self.left = self.left.take().or_else(|| peek(dir?).ok());
                Err(error)
            }
        }
    }

    /// Writes `positions` for good; nothing behind them was sent, if they are clean.
    pub(crate) fn end(&mut self, positions: &Positions) -> io::Result<()> {
        self.write(positions, digest(positions))?;
        match &self.path {
            Some(path) if positions.is_clean => File::create(path.with_extension(CLEAN))?.sync_all(),
            _ => Ok(()),
        }
    }

    /// After a failed save, would the next run, if this one ended now, give `file` the same id? `initial` is the id of a file that nobody
    /// knows.
    pub(crate) fn would_find(&self, file: &Saved, initial: &str) -> bool {
        let mut written = self.left.iter().flat_map(|positions| &positions.files);
        match written.find(|known| known.inode.lasting() == file.inode.lasting()) {
            _ if self.path.is_none() => true,
            // The next one sees that it is not what it was, and makes it the next generation.
            Some(known) => known.id == file.id || known.generation + 1 == file.generation,
            None => file.id == initial,
        }
    }

    /// All of `positions` beside the checkpoint, not in its place yet.
    fn stage(&mut self, positions: Option<&Positions>) -> io::Result<Option<Staged>> {
        let Some(path) = &self.path else { return Ok(None) };
        if self.lock.is_none() {
            self.lock = Some(lock(path.parent().unwrap_or(path))?);
        }
        let mut staged = Staged::create(path)?;
        let mut file = BufWriter::with_capacity(CHUNK, staged.file());
        serde_json::to_writer(&mut file, &positions)?;
        file.flush()?;
        drop(file);
        Ok(Some(staged))
    }
}

fn digest(positions: &Positions) -> u64 {
    let mut hasher = DefaultHasher::new();
    positions.hash(&mut hasher);
    hasher.finish()
}

/// What the checkpoint of `state` says, whoever writes it.
pub(crate) fn peek(state: &Path) -> io::Result<Positions> {
    let path = state.join(NAME);
    read(&fs::read(&path)?, &path)
}

pub(crate) fn read(text: &[u8], path: &Path) -> io::Result<Positions> {
    let path = path.display();
    let found: Positions = serde_json::from_slice(text)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{path} is broken: {error}")))?;
    if found.version == VERSION {
        return Ok(found);
    }
    let version = found.version;
    Err(io::Error::other(format!("{path} has version {version}, not {VERSION}")))
}

pub(crate) fn lock(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let lock = File::open(dir)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(io::Error::other("another log-sidecar uses it")),
        locked => locked.map(|()| lock).map_err(Into::into),
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(offset: u64) -> Saved {
        let inode = Inode::of(&tempfile::tempfile().unwrap()).unwrap();
        Saved {
            id: "x".into(),
            path: "/logs/a.log".into(),
            inode,
            generation: 0,
            offset,
            evidence: Evidence::none(),
            begins: None,
            read: offset,
            size: offset,
            modified: 0,
            packed: None,
            clock: None,
        }
    }

    fn of_files(files: Vec<Saved>) -> Positions {
        Positions {
            files,
            ..Positions::default()
        }
    }

    #[test]
    fn what_is_saved_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("made");
        let (mut checkpoint, positions) = Checkpoint::open(Some(&state)).unwrap();
        assert_eq!(positions, None);
        let positions = of_files(vec![saved(7)]);
        checkpoint.save(&positions).unwrap();
        assert!(
            Checkpoint::open(Some(&state))
                .unwrap_err()
                .to_string()
                .contains("another")
        );
        drop(checkpoint);
        assert_eq!(Checkpoint::open(Some(&state)).unwrap().1, Some(positions));
    }

    #[test]
    fn a_broken_or_foreign_checkpoint_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{\"version\":1,\"fil", "{\"version\":2,\"files\":[]}"] {
            fs::write(dir.path().join(NAME), text).unwrap();
            Checkpoint::open(Some(dir.path())).unwrap_err();
        }
    }

    #[test]
    fn whether_the_next_run_finds_the_same_id_is_decided_by_what_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (mut checkpoint, _) = Checkpoint::open(Some(dir.path())).unwrap();
        let file = Saved {
            id: "initial".into(),
            ..saved(7)
        };
        let of = |id: &str, generation: u32| Saved {
            id: id.into(),
            generation,
            ..file.clone()
        };
        assert!(checkpoint.would_find(&file, "initial"));
        assert!(!checkpoint.would_find(&of("adopted", 0), "initial"));
        checkpoint.save(&of_files(vec![of("initial", 2)])).unwrap();
        // No more than this can be written from now on.
        checkpoint.left = peek(dir.path()).ok();
        for (id, generation, finds) in [("initial", 2, true), ("next", 3, true), ("later", 4, false)] {
            assert_eq!(checkpoint.would_find(&of(id, generation), "initial"), finds, "{id}");
        }
        let (nowhere, _) = Checkpoint::open(None).unwrap();
        assert!(nowhere.would_find(&of("later", 9), "initial"));
    }
}
