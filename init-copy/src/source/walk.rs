//! A local source as entries: one file, or a tree.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};

use crate::content::fingerprint::Fingerprint;
use crate::content::substitute::Substitute;
use crate::dest::beneath::{DIR, kind_name};
use crate::error::{At as _, Error};
use crate::plan::names::is_ours;
use crate::plan::{Builder, Entry, Kind, Share};
use crate::source::glob::{self, Glob};

/// A tree deeper than this is a loop or an attack; each level holds a descriptor open.
const MAX_DEPTH: usize = 128;

/// How the files of one source are taken up.
pub(crate) struct Walk<'a> {
    pub(crate) builder: &'a mut Builder,
    pub(crate) exclude: &'a [Glob],
    pub(crate) substitute: &'a Substitute,
    /// The same file under several names, by device and inode.
    links: HashMap<(u64, u64), u32>,
    base: PathBuf,
    prefix: PathBuf,
}

impl<'a> Walk<'a> {
    /// Of the source at `base` that goes to `prefix`.
    pub(crate) fn new(
        builder: &'a mut Builder,
        exclude: &'a [Glob],
        substitute: &'a Substitute,
        base: &Path,
        prefix: &Path,
    ) -> Self {
        Self {
            builder,
            exclude,
            substitute,
            links: HashMap::new(),
            base: base.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    /// A directory and all that is below it; the directory's own entry unless its contents go into the root.
    pub(crate) fn tree(&mut self) -> Result<(), Error> {
        let base = self.base.clone();
        let fd = openat(CWD, &base, DIR, Mode::empty()).at("read the directory", &base)?;
        let stat = rustix::fs::fstat(&fd).at("look at", &base)?;
        self.push(Path::new(""), &stat)?;
        self.below(fd.as_fd(), Path::new(""), 0)
    }

    /// One file or link; a link that the user named is followed when it leads to a file, unless `keep_links`.
    pub(crate) fn leaf(&mut self, keep_links: bool) -> Result<(), Error> {
        let flags = if keep_links {
            AtFlags::SYMLINK_NOFOLLOW
        } else {
            AtFlags::empty()
        };
        let stat = statat(CWD, &self.base, flags).at("look at", &self.base)?;
        self.push(Path::new(""), &stat)
    }

    fn below(&mut self, dir: BorrowedFd<'_>, relative: &Path, depth: usize) -> Result<(), Error> {
        let shown = |this: &Self| this.base.join(relative);
        if depth == MAX_DEPTH {
            let error = std::io::Error::other(format!("directories are nested deeper than {MAX_DEPTH}"));
            return Err(error).at("read the directory", &shown(self));
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).at("read the directory", &shown(self))? {
            let entry = entry.at("read the directory", &shown(self))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(Box::<OsStr>::from(OsStr::from_bytes(name)));
            }
        }
        // In the order of the plan, so that sorting it finds it sorted.
        names.sort_unstable();
        for name in names {
            let path = relative.join(&*name);
            if glob::any(self.exclude, &path) {
                continue;
            }
            if is_ours(&name) {
                tracing::info!(path = %self.base.join(&path).display(), "left out: it is init-copy's own, of a run that copied to there");
                continue;
            }
            let stat = statat(dir, &*name, AtFlags::SYMLINK_NOFOLLOW).at("look at", &self.base.join(&path))?;
            self.push(&path, &stat)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let fd = openat(dir, &*name, DIR | OFlags::NOFOLLOW, Mode::empty())
                    .at("read the directory", &self.base.join(&path))?;
                self.below(fd.as_fd(), &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, relative: &Path, stat: &Stat) -> Result<(), Error> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Dir,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Link,
            other => {
                return Err(Error::Special {
                    path: self.base.join(relative),
                    kind: kind_name(other),
                });
            }
        };
        let target = if relative.as_os_str().is_empty() {
            self.prefix.clone()
        } else {
            self.prefix.join(relative)
        };
        let mut entry = Entry {
            target: target.into(),
            source: 0,
            number: 0,
            kind,
            mode: (stat.st_mode & 0o7777) as u16,
            share: Share::Alone,
            fingerprint: Fingerprint::of(stat),
            rendered: None,
        };
        if kind == Kind::File {
            if self.substitute.wants(&entry.target) {
                let origin = if relative.as_os_str().is_empty() {
                    self.base.clone()
                } else {
                    self.base.join(relative)
                };
                let rendered = self.substitute.render(&origin)?;
                entry.fingerprint.size = rendered.text.len() as u64;
                entry.rendered = Some(Box::new(rendered.digest));
            } else if stat.st_nlink > 1 {
                let next = u32::try_from(self.links.len() + 1).unwrap_or(u32::MAX);
                entry.number = *self.links.entry((stat.st_dev, stat.st_ino)).or_insert(next);
                entry.share = Share::First;
            }
        }
        self.builder.push(entry)
    }
}
