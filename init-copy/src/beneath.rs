//! Paths below the destination, opened one component at a time so that no symbolic link is ever followed:
//! whatever stands in a volume that others write to, nothing is written outside of it.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fsync, mkdirat, openat, statat};
use rustix::io::Errno;

use crate::error::{At as _, Error};

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The destination directory, held open.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens the directory, creating it and its parents if missing. It may itself be reached through symbolic links: the user named it.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).at("create", path)?;
        let fd = openat(CWD, path, DIR, Mode::empty()).at("open", path)?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands at `relative` (the last component not followed); `None` when nothing does.
    pub(crate) fn stat(&self, relative: &Path) -> Result<Option<Stat>, Error> {
        let full = self.path.join(relative);
        let (parent, name) = match self.parent(relative, false) {
            Ok(found) => found,
            Err(Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e).at("look at", &full),
        }
    }

    /// Opens the directory that holds `relative`, and its last name.
    pub(crate) fn parent<'p>(&self, relative: &'p Path, create: bool) -> Result<(Dir<'_>, &'p OsStr), Error> {
        let name = relative.file_name().unwrap_or_default();
        let parent = relative.parent().unwrap_or(Path::new(""));
        Ok((self.dir(parent, create)?, name))
    }

    /// Opens the directory `relative`, creating what is missing if `create`.
    pub(crate) fn dir(&self, relative: &Path, create: bool) -> Result<Dir<'_>, Error> {
        let mut dir = Dir::Root(self.fd.as_fd());
        let mut walked = self.path.clone();
        for component in relative.components() {
            let Component::Normal(name) = component else { continue };
            walked.push(name);
            if create {
                match mkdirat(dir.as_fd(), name, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e).at("create", &walked),
                }
            }
            let fd =
                openat(dir.as_fd(), name, DIR | OFlags::NOFOLLOW, Mode::empty()).at("open the directory", &walked)?;
            dir = Dir::Below(fd);
        }
        Ok(dir)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The destination or a directory below it.
#[derive(Debug)]
pub(crate) enum Dir<'r> {
    Root(BorrowedFd<'r>),
    Below(OwnedFd),
}

impl Dir<'_> {
    /// Makes names in this directory durable.
    pub(crate) fn sync(&self) -> rustix::io::Result<()> {
        match fsync(self.as_fd()) {
            // Some network file systems cannot sync a directory; they order renames themselves.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            other => other,
        }
    }
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(fd) => *fd,
            Self::Below(fd) => fd.as_fd(),
        }
    }
}
