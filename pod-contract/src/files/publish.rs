//! Files that others read appear whole or not at all: written under a temporary name in the same directory, synced, renamed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Marks a temporary file of ours, between the target's name and a random part.
const MARK: &str = ".tmp-";

/// Sweeps of others that meet a new file before its lock; after so many, a file system is taken to be one where that cannot be seen.
const MAX_SWEPT: u32 = 16;

/// A file that has its content but not yet its name. Dropped without [`Staged::publish`], it is removed.
#[derive(Debug)]
pub struct Staged {
    file: File,
    temp: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Staged {
    /// Opens a new temporary file beside `target`, readable for the owner only, after removing what crashed runs left of the same target.
    pub fn create(target: &Path) -> io::Result<Self> {
        sweep(target)?;
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?
            .to_string_lossy();
        let mut swept = 0;
        loop {
            let temp = target.with_file_name(format!(".{name}{MARK}{:08x}", fastrand::u32(..)));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp) {
                Ok(file) => {
                    let staged = Self {
                        file,
                        temp,
                        target: target.to_owned(),
                        published: false,
                    };
                    // The lock says "in use" to another process's sweep and ends with this process, however that ends.
                    // Where the file system has no locks, nothing is ever taken for abandoned.
                    match flock(&staged.file, FlockOperation::NonBlockingLockExclusive) {
                        // Between its creation and the lock, another's sweep took it for abandoned.
                        Err(Errno::WOULDBLOCK) if swept < MAX_SWEPT => {
                            swept += 1;
                            continue;
                        }
                        Err(error) => tracing::debug!(%error, "no lock on a temporary file"),
                        Ok(()) if swept < MAX_SWEPT && !staged.is_there()? => {
                            swept += 1;
                            continue;
                        }
                        Ok(()) => {}
                    }
                    return Ok(staged);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Does its name still lead to it?
    fn is_there(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::symlink_metadata(&self.temp) {
            Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Where the content is written.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the content durable, then visible under the target's name with permission bits `mode`, then the name durable.
    pub fn publish(self, mode: u32) -> io::Result<()> {
        self.publish_as(mode, true)
    }

    /// The same; unless `durable`, a power failure may take it back.
    pub fn publish_as(mut self, mode: u32, durable: bool) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))?;
        if durable {
            self.file.sync_all()?;
        }
        fs::rename(&self.temp, &self.target)?;
        self.published = true;
        if durable {
            sync_dir(parent(&self.target))
        } else {
            Ok(())
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Swept, the name is nobody's or another's.
        if !self.published && self.is_there().unwrap_or(false) {
            // A leftover is swept by the next run.
            drop(fs::remove_file(&self.temp));
        }
    }
}

/// Makes renames and removals in `dir` durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        // Some network file systems cannot sync a directory; they order renames themselves.
        Err(e) if matches!(e.raw_os_error(), Some(22 | 95)) => Ok(()),
        other => other,
    }
}

/// The directory that holds `path`, `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn sweep(target: &Path) -> io::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}{MARK}");
    for entry in fs::read_dir(parent(target))? {
        let entry = entry?;
        let ours = entry
            .file_name()
            .to_str()
            .and_then(|n| n.strip_prefix(&prefix))
            .is_some_and(is_random_part);
        // Another process's sweep may have been faster.
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove_if_abandoned(&entry.path());
        }
    }
    Ok(())
}

fn is_random_part(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The lock is held until the name is gone, so that nobody takes it for his own meanwhile. What cannot be removed is left.
fn remove_if_abandoned(temp: &Path) {
    // For writing: over NFS, a lock for oneself alone needs that.
    if let Ok(file) = OpenOptions::new().read(true).write(true).open(temp)
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
    {
        drop(fs::remove_file(temp));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_visible_before_publish() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("state");
        fs::write(&target, "old").unwrap();
        let mut staged = Staged::create(&target).unwrap();
        staged.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        staged.publish(0o640).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn an_abandoned_stage_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        drop(Staged::create(&dir.path().join("state")).unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn leftovers_of_a_crash_are_swept_but_neither_live_ones_nor_strangers() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("state");
        let live = Staged::create(&target).unwrap();
        fs::write(dir.path().join(".state.tmp-0123abcd"), "crashed").unwrap();
        fs::write(dir.path().join(".state.tmp-notours"), "stranger").unwrap();
        fs::write(dir.path().join(".other.tmp-0123abcd"), "another target").unwrap();
        drop(Staged::create(&target).unwrap());
        let left = names(dir.path());
        assert!(!left.contains(&".state.tmp-0123abcd".to_owned()));
        assert_eq!(left.len(), 3, "{left:?}");
        live.publish(0o600).unwrap();
    }

    /// Another process's sweep has its own open file, so threads that open anew stand for processes.
    #[test]
    fn two_that_stage_at_the_same_time_do_not_sweep_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("state");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let mut staged = Staged::create(&target).unwrap();
                        staged.file().write_all(b"whole").unwrap();
                        staged.publish_as(0o600, false).unwrap();
                        assert_eq!(fs::read(&target).unwrap(), b"whole");
                    }
                });
            }
        });
        assert_eq!(names(dir.path()), ["state"]);
    }
}
