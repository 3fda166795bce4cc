//! How far each file is settled, on disk: one small file, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pod_contract::files::publish::Staged;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::identity::{Evidence, Inode};

/// In the state directory.
pub(crate) const NAME: &str = "checkpoint.json";
const VERSION: u32 = 1;

/// One file as it was when the checkpoint was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) inode: Inode,
    pub(crate) generation: u32,
    /// Everything before is settled.
    pub(crate) offset: u64,
    pub(crate) evidence: Evidence,
}

/// All that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Positions {
    version: u32,
    /// When the directories were looked at last, nanoseconds since 1970: a file born later was never seen.
    pub(crate) looked_at: i64,
    pub(crate) files: Vec<Saved>,
}

impl Positions {
    pub(crate) fn new(looked_at: i64, files: Vec<Saved>) -> Self {
        Self {
            version: VERSION,
            looked_at,
            files,
        }
    }
}

/// The file in the state directory, or nothing when there is no such directory.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: Option<PathBuf>,
    written: Vec<Saved>,
    /// Says "in use" to another process; ends with this one, however that ends.
    _lock: Option<File>,
}

impl Checkpoint {
    /// Opens the checkpoint in `state` and returns what it holds. A checkpoint that cannot be read as one is an error: to start anew
    /// without being asked would send everything twice.
    pub(crate) fn open(state: Option<&Path>, now: i64) -> io::Result<(Self, Positions)> {
        let fresh = Positions::new(now, Vec::new());
        let Some(dir) = state else {
            return Ok((
                Self {
                    path: None,
                    written: Vec::new(),
                    _lock: None,
                },
                fresh,
            ));
        };
        fs::create_dir_all(dir)?;
        let lock = File::open(dir)?;
        if matches!(
            flock(&lock, FlockOperation::NonBlockingLockExclusive),
            Err(Errno::WOULDBLOCK)
        ) {
            return Err(io::Error::other("another log-sidecar uses it"));
        }
        let path = dir.join(NAME);
        let positions = match fs::read(&path) {
            Ok(text) => {
                let found: Positions = serde_json::from_slice(&text)?;
                if found.version != VERSION {
                    return Err(io::Error::other(format!(
                        "{} has version {}, not {VERSION}",
                        path.display(),
                        found.version
                    )));
                }
                found
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => fresh,
            Err(e) => return Err(e),
        };
        let mut checkpoint = Self {
            path: Some(path),
            written: Vec::new(),
            _lock: Some(lock),
        };
        // Proves now, not at the first acknowledgement, that the directory can be written.
        checkpoint.write(&positions)?;
        Ok((checkpoint, positions))
    }

    /// Writes `positions` unless the files in it are what is on disk already.
    pub(crate) fn save(&mut self, positions: &Positions) -> io::Result<()> {
        if positions.files == self.written {
            Ok(())
        } else {
            self.write(positions)
        }
    }

    /// Writes `positions`.
    pub(crate) fn write(&mut self, positions: &Positions) -> io::Result<()> {
        if let Some(path) = &self.path {
            let mut staged = Staged::create(path)?;
            staged.file().write_all(&serde_json::to_vec(positions)?)?;
            staged.publish(0o640)?;
            self.written.clone_from(&positions.files);
        }
        Ok(())
    }
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
        }
    }

    #[test]
    fn what_is_saved_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("made");
        let (mut checkpoint, positions) = Checkpoint::open(Some(&state), 5).unwrap();
        assert_eq!(positions, Positions::new(5, vec![]));
        let positions = Positions::new(6, vec![saved(7)]);
        checkpoint.save(&positions).unwrap();
        assert!(
            Checkpoint::open(Some(&state), 7)
                .unwrap_err()
                .to_string()
                .contains("another")
        );
        drop(checkpoint);
        assert_eq!(Checkpoint::open(Some(&state), 8).unwrap().1, positions);
    }

    #[test]
    fn a_broken_or_foreign_checkpoint_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{\"version\":1,\"fil",
            "{\"version\":2,\"looked_at\":0,\"files\":[]}",
        ] {
            fs::write(dir.path().join(NAME), text).unwrap();
            Checkpoint::open(Some(dir.path()), 0).unwrap_err();
        }
    }
}
