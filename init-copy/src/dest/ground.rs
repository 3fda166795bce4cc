//! The directories of a destination that something will be published into: which are on volumes of their own, and which are closed.
//!
//! Looked at before anything is staged: a rename that fails half way would leave some entries new and others old.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, StatxFlags, accessat, fchmod, fstat, statx};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::beneath::{Cursor, Root};
use super::lock;
use crate::error::{At as _, Error};
use crate::fetch::Deadline;
use crate::signals::Staged;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// Where volumes are mounted below the destination, and which: what goes below one of them is staged on it.
    mounts: Vec<(PathBuf, u64)>,
    /// Those volumes, once they are locked.
    volumes: Vec<(PathBuf, Root)>,
    /// Directories of ours that not even we may write into, such as those of a tree of 0555.
    closed: Vec<PathBuf>,
}

impl Ground {
    /// Looks at the directories that hold `targets`, which come in order; fails when one of them takes nothing.
    pub(crate) fn survey<'p>(root: &Root, targets: impl Iterator<Item = &'p Path>) -> Result<Self, Error> {
        let mut ground = Self::default();
        // The top is where everything is staged.
        ground.look(root.as_fd(), Path::new(""), root.path())?;
        let mut cursor = root.cursor();
        for parent in parents(targets) {
            match ground.survey_dir(root, &mut cursor, parent) {
                // It will be made, and what is above it has been tried.
                Err(Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(ground)
    }

    /// Looks at the directories of `targets` that need not be written into: what is closed or gone there stays so.
    pub(crate) fn survey_what_can_be<'p>(&mut self, root: &Root, targets: impl Iterator<Item = &'p Path>) {
        let mut cursor = root.cursor();
        for parent in parents(targets).filter(|parent| !parent.as_os_str().is_empty()) {
            if self.closed.iter().any(|closed| closed == parent) {
                continue;
            }
            if let Err(error) = self.survey_dir(root, &mut cursor, parent) {
                tracing::debug!(%error, "what is stale there cannot be removed");
            }
        }
    }

    fn survey_dir(&mut self, root: &Root, cursor: &mut Cursor<'_>, path: &Path) -> Result<(), Error> {
        let shown = root.path().join(path);
        let dir = cursor.dir(path)?;
        self.look(dir, path, &shown)?;
        let found = mount(dir).at("look at", &shown)?;
        let known = match self.mount_at(path) {
            Some((_, id)) => *id,
            None => mount(root.as_fd()).at("look at", root.path())?,
        };
        if found == known {
            return Ok(());
        }
        let mut top = path;
        while let Some(above) = top.parent() {
            if mount(cursor.dir(above)?).at("look at", &shown)? != found {
                break;
            }
            top = above;
        }
        self.mounts.push((top.to_owned(), found));
        Ok(())
    }

    fn look(&mut self, dir: BorrowedFd<'_>, path: &Path, shown: &Path) -> Result<(), Error> {
        match accessat(dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Err(Errno::ACCESS) if fstat(dir).is_ok_and(|stat| stat.st_uid == geteuid().as_raw()) => {
                self.closed.push(path.to_owned());
                Ok(())
            }
            other => other.at("write into", shown),
        }
    }

    fn mount_at(&self, target: &Path) -> Option<&(PathBuf, u64)> {
        let mounts = self.mounts.iter().filter(|(mount, _)| target.starts_with(mount));
        mounts.max_by_key(|(mount, _)| mount.as_os_str().len())
    }

    /// The mount that `target` goes to, below the destination; empty for the destination's own.
    pub(crate) fn mount_of(&self, target: &Path) -> &Path {
        self.mount_at(target).map_or(Path::new(""), |(mount, _)| mount)
    }

    /// Opens the volumes that are mounted below the destination, and waits for their locks: they may be another one's destination.
    pub(crate) fn lock(&mut self, root: &Root, deadline: Deadline) -> Result<(), Error> {
        let mut locked = vec![fstat(root).at("look at", root.path())?];
        for (mount, _) in &self.mounts {
            let volume = root.below(mount)?;
            let stat = fstat(&volume).at("look at", volume.path())?;
            // One volume can be mounted twice, and is locked once.
            if !locked
                .iter()
                .any(|one| (one.st_dev, one.st_ino) == (stat.st_dev, stat.st_ino))
            {
                lock::take(&volume, deadline)?;
                locked.push(stat);
            }
            self.volumes.push((mount.clone(), volume));
        }
        Ok(())
    }

    /// The volumes that are mounted below the destination, and where.
    pub(crate) fn volumes(&self) -> &[(PathBuf, Root)] {
        &self.volumes
    }

    /// Opens what is closed, until the guard is dropped.
    pub(crate) fn open<'r>(&self, root: &'r Root) -> Result<HeldOpen<'r>, Error> {
        let mut held = HeldOpen {
            root,
            modes: Vec::new(),
            _staged: Staged::something(),
        };
        let mut cursor = root.cursor();
        for path in &self.closed {
            let shown = root.path().join(path);
            let dir = cursor.dir(path)?;
            let mode = fstat(dir).at("look at", &shown)?.st_mode & 0o7777;
            fchmod(dir, Mode::from_raw_mode(mode | 0o300)).at("set the mode of", &shown)?;
            held.modes.push((path.clone(), mode));
        }
        Ok(held)
    }
}

/// The directories that hold `targets`, each once in a row.
fn parents<'p>(targets: impl Iterator<Item = &'p Path>) -> impl Iterator<Item = &'p Path> {
    let mut last = None;
    let parents = targets.map(|target| target.parent().unwrap_or(Path::new("")));
    parents.filter(move |parent| last.replace(*parent) != Some(*parent))
}

/// Closed directories that are open for a while.
#[derive(Debug)]
pub(crate) struct HeldOpen<'r> {
    root: &'r Root,
    modes: Vec<(PathBuf, u32)>,
    /// A signal waits until they are closed again.
    _staged: Staged,
}

impl HeldOpen<'_> {
    /// Closes all but the destination itself, into which the receipt still goes.
    pub(crate) fn close_below(&mut self) {
        self.close(|path| !path.as_os_str().is_empty());
    }

    fn close(&mut self, which: impl Fn(&Path) -> bool) {
        let mut cursor = self.root.cursor();
        for (path, mode) in self.modes.extract_if(.., |(path, _)| which(path)) {
            let shown = self.root.path().join(&path);
            let closed = cursor
                .dir(&path)
                .and_then(|dir| fchmod(dir, Mode::from_raw_mode(mode)).at("set the mode of", &shown));
            if let Err(error) = closed {
                tracing::warn!(%error, "a directory that was opened to write into it stays open");
            }
        }
    }
}

impl Drop for HeldOpen<'_> {
    fn drop(&mut self) {
        self.close(|_| true);
    }
}

/// Tells mounts apart, also two of one file system, between which nothing is renamed. Before Linux 5.8, the device has to do.
fn mount(dir: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let found = statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    match found {
        Ok(found) if StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) => Ok(found.stx_mnt_id),
        _ => fstat(dir).map(|stat| stat.st_dev),
    }
}
