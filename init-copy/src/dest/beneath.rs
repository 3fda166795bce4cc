//! Paths below a directory, opened one component at a time so that no symbolic link is ever followed:
//! whatever stands in a volume that others write to, nothing is read or written outside of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir as ReadDir, FileType, Mode, OFlags, Stat, chmodat, fstat, fsync, openat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::error::{At as _, Error};
use crate::plan::apart;

pub(crate) const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory of the destination, held open.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens the directory. It may itself be reached through symbolic links: the user named it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let fd = openat(CWD, path, DIR, Mode::empty()).at("open", path)?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Like [`Root::open`], creating it and its parents if missing.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).at("create", path)?;
        Self::open(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory `relative` by itself.
    pub(crate) fn below(&self, relative: &Path) -> Result<Self, Error> {
        let path = self.path.join(relative);
        let mut cursor = self.cursor();
        let fd = cursor.dir(relative)?.try_clone_to_owned().at("open", &path)?;
        Ok(Self { fd, path })
    }

    /// A position that remembers the directories on the way, so that neighbours are reached without walking anew.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            root: self,
            open: Vec::new(),
            at: PathBuf::new(),
        }
    }

    /// What stands at `relative` (the last component not followed); `None` when nothing does.
    pub(crate) fn stat(&self, relative: &Path) -> Result<Option<Stat>, Error> {
        self.cursor().stat(relative)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A walk below a [`Root`]; cheap when paths come in order.
#[derive(Debug)]
pub(crate) struct Cursor<'r> {
    root: &'r Root,
    open: Vec<(OsString, OwnedFd)>,
    /// The path of the last one open.
    at: PathBuf,
}

impl Cursor<'_> {
    /// What stands at `relative`; `None` when nothing does.
    pub(crate) fn stat(&mut self, relative: &Path) -> Result<Option<Stat>, Error> {
        let (parent, name) = apart(relative);
        if name.is_empty() {
            return fstat(self.root).map(Some).at("look at", &self.root.path);
        }
        let parent = match self.dir(parent) {
            Ok(parent) => parent,
            Err(Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e).at("look at", &self.root.path.join(relative)),
        }
    }

    /// Opens the directory that holds `relative`.
    pub(crate) fn parent(&mut self, relative: &Path) -> Result<BorrowedFd<'_>, Error> {
        self.dir(apart(relative).0)
    }

    /// Opens the directory `relative`.
    pub(crate) fn dir(&mut self, relative: &Path) -> Result<BorrowedFd<'_>, Error> {
        // Neighbours come one after the other.
        if relative.as_os_str() == self.at.as_os_str() {
            return Ok(self.here());
        }
        let mut depth = 0;
        for component in relative.components() {
            let Component::Normal(name) = component else { continue };
            if self.open.get(depth).is_none_or(|(open, _)| open != name) {
                self.rise(depth);
                self.enter(name)?;
                self.at.push(name);
            }
            depth += 1;
        }
        self.rise(depth);
        Ok(self.here())
    }

    /// Back to where so many directories are open.
    fn rise(&mut self, depth: usize) {
        for _ in depth..self.open.len() {
            self.at.pop();
        }
        self.open.truncate(depth);
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd())
    }

    fn enter(&mut self, name: &OsStr) -> Result<(), Error> {
        let shown = || {
            let walked: PathBuf = self.open.iter().map(|(name, _)| name).collect();
            self.root.path.join(walked).join(name)
        };
        let fd = openat(self.here(), name, DIR | OFlags::NOFOLLOW, Mode::empty());
        let fd = match fd {
            Ok(fd) => fd,
            Err(e) => return Err(e).at("open the directory", &shown()),
        };
        self.open.push((name.to_owned(), fd));
        Ok(())
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync(dir: impl AsFd) -> rustix::io::Result<()> {
    match fsync(dir) {
        // Some network file systems cannot sync a directory; they order renames themselves.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Removes `name` in `dir`, with all that is below it if it is a directory. Links are removed, not followed.
pub(crate) fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return other,
    }
    // What is closed to its own owner has to be opened first.
    if let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        && stat.st_mode & 0o700 != 0o700
        && let Err(error) = chmodat(dir, name, Mode::from_raw_mode(0o700), AtFlags::empty())
    {
        tracing::debug!(%error, "cannot open a directory that is to be removed");
    }
    let below = openat(dir, name, DIR | OFlags::NOFOLLOW, Mode::empty())?;
    // Names first: what a directory yields while it is being emptied is not defined.
    let names: Vec<_> = ReadDir::read_from(&below)?
        .filter_map(|entry| match entry {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => None,
            other => Some(other.map(|entry| {
                let name = entry.file_name().to_bytes();
                OsStr::from_bytes(name).to_owned()
            })),
        })
        .collect::<Result<_, _>>()?;
    for name in names {
        remove_tree(below.as_fd(), &name)?;
    }
    unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// The word for what stands somewhere.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::RegularFile => "file",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        _ => "device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_leads_nobody_astray() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/x")).unwrap();
        fs::write(dir.path().join("a/q"), "in a").unwrap();
        fs::write(dir.path().join("q"), "on top").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let mut cursor = root.cursor();
        let mut size = |path: &str| cursor.stat(Path::new(path)).unwrap().map(|stat| stat.st_size);
        // From one to the next, in any order.
        let paths = [
            ("a/b/c", None),
            ("q", Some(6)),
            ("a/q", Some(4)),
            ("a/x/none", None),
            ("none/q", None),
        ];
        for (first, second) in paths.iter().flat_map(|first| paths.map(|second| (*first, second))) {
            for (path, found) in [first, second] {
                assert_eq!(size(path), found, "{path} after {first:?}");
            }
        }
    }
}
