//! The directories of a destination that something will be published into: which are on volumes of their own, and which are closed.
//!
//! Looked at before anything is staged: a rename that fails half way would leave some entries new and others old.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, StatxFlags, accessat, fchmod, fstat, statx};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::beneath::Root;
use crate::error::{At as _, Error};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// Where volumes are mounted below the destination: what goes below one of them is staged on it.
    pub(crate) mounts: Vec<PathBuf>,
    /// Directories of ours that not even we may write into, such as those of a tree of 0555.
    closed: Vec<PathBuf>,
}

impl Ground {
    /// Looks at the directories that hold `targets`, which come in order; fails when one of them takes nothing.
    pub(crate) fn survey<'p>(root: &Root, targets: impl Iterator<Item = &'p Path>) -> Result<Self, Error> {
        let mut ground = Self::default();
        let mut cursor = root.cursor();
        let own = mount(root.as_fd()).at("look at", root.path())?;
        // The top is where everything is staged.
        ground.look(root.as_fd(), Path::new(""), root.path())?;
        let mut last: Option<PathBuf> = None;
        for target in targets {
            let parent = target.parent().unwrap_or(Path::new(""));
            if last.as_deref() == Some(parent) {
                continue;
            }
            last = Some(parent.to_owned());
            let shown = root.path().join(parent);
            let found = match cursor.dir(parent) {
                Ok(dir) => {
                    ground.look(dir, parent, &shown)?;
                    mount(dir).at("look at", &shown)?
                }
                // It will be made, and what is above it has been tried.
                Err(Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if found != own && ground.mount_of(parent).as_os_str().is_empty() {
                let mut top = parent;
                while let Some(above) = top.parent() {
                    if mount(cursor.dir(above)?).at("look at", &shown)? != found {
                        break;
                    }
                    top = above;
                }
                ground.mounts.push(top.to_owned());
            }
        }
        Ok(ground)
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

    /// The mount that `target` goes to, below the destination; empty for the destination's own.
    pub(crate) fn mount_of(&self, target: &Path) -> &Path {
        let deepest = self
            .mounts
            .iter()
            .filter(|mount| target.starts_with(mount))
            .max_by_key(|mount| mount.as_os_str().len());
        deepest.map_or(Path::new(""), PathBuf::as_path)
    }

    /// Opens what is closed, until the guard is dropped.
    pub(crate) fn open<'r>(&self, root: &'r Root) -> Result<Opened<'r>, Error> {
        let mut opened = Opened {
            root,
            modes: Vec::new(),
        };
        for path in &self.closed {
            let shown = root.path().join(path);
            let mut cursor = root.cursor();
            let dir = cursor.dir(path)?;
            let mode = fstat(dir).at("look at", &shown)?.st_mode & 0o7777;
            fchmod(dir, Mode::from_raw_mode(mode | 0o300)).at("set the mode of", &shown)?;
            opened.modes.push((path.clone(), mode));
        }
        Ok(opened)
    }
}

/// Closed directories that are open for a while.
#[derive(Debug)]
pub(crate) struct Opened<'r> {
    root: &'r Root,
    modes: Vec<(PathBuf, u32)>,
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        for (path, mode) in &self.modes {
            let mut cursor = self.root.cursor();
            let closed = cursor.dir(path).and_then(|dir| {
                fchmod(dir, Mode::from_raw_mode(*mode)).at("set the mode of", &self.root.path().join(path))
            });
            if let Err(error) = closed {
                tracing::warn!(%error, "a directory that was opened to write into it stays open");
            }
        }
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
