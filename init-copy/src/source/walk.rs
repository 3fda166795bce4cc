//! A local source as entries: one file, or a tree.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::ask::Step;

use crate::content::fingerprint::Fingerprint;
use crate::content::substitute::Substitute;
use crate::dest::beneath::{DIR, kind_name};
use crate::error::{At as _, Error, SOURCE};
use crate::plan::leads_outside;
use crate::plan::names::is_ours;
use crate::plan::{Builder, Entry, Kind, Links, Share};
use crate::source::glob::{self, Glob};

/// Deeper than the longest path is nothing that could be named; each level holds a descriptor open.
const MAX_DEPTH: usize = 2048;

/// How the files of one source are taken up.
pub(crate) struct Walk<'a> {
    pub(crate) builder: &'a mut Builder,
    pub(crate) exclude: &'a [Glob],
    pub(crate) substitute: &'a Substitute,
    policy: Links,
    one_file_system: bool,
    /// Directories from the top to here, so that a link that is followed never leads up.
    above: Vec<(u64, u64)>,
    base: PathBuf,
    prefix: PathBuf,
    /// Directories are read into these, so that they are allocated once for each depth.
    spare: Vec<Names>,
}

impl<'a> Walk<'a> {
    /// Of the source at `base` that goes to `prefix`.
    pub(crate) fn new(builder: &'a mut Builder, step: &'a Step, base: &Path, prefix: &Path) -> Self {
        Self {
            builder,
            exclude: &step.exclude,
            substitute: &step.substitute,
            policy: step.links.unwrap_or(Links::Keep),
            one_file_system: step.one_file_system,
            above: Vec::new(),
            base: base.to_owned(),
            prefix: prefix.to_owned(),
            spare: Vec::new(),
        }
    }

    /// A directory and all that is below it; the directory's own entry unless its contents go into the root.
    pub(crate) fn tree(&mut self) -> Result<(), Error> {
        let base = self.base.clone();
        let fd = openat(CWD, &base, DIR, Mode::empty()).at("read the directory", &base)?;
        let stat = rustix::fs::fstat(&fd).at("look at", &base)?;
        self.push(Path::new(""), &stat)?;
        self.above.push((stat.st_dev, stat.st_ino));
        self.below(fd.as_fd(), &mut PathBuf::new(), 0)
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

    /// What is in `dir`, which is at `here` below the base.
    fn below(&mut self, dir: BorrowedFd<'_>, here: &mut PathBuf, depth: usize) -> Result<(), Error> {
        if depth == MAX_DEPTH {
            let error = std::io::Error::other(format!("directories are nested deeper than {MAX_DEPTH}"));
            return Err(error).at("read the directory", &self.base.join(here));
        }
        let mut names = self.spare.pop().unwrap_or_default();
        names.read(dir).at("read the directory", &self.base.join(&here))?;
        for name in names.iter() {
            here.push(name);
            let entered = self.enter(dir, name, here, depth);
            here.pop();
            entered?;
        }
        self.spare.push(names);
        Ok(())
    }

    /// The `name` in `dir`, which is `path` below the base, and all below it.
    fn enter(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &mut PathBuf, depth: usize) -> Result<(), Error> {
        if glob::any(self.exclude, path) {
            return Ok(());
        }
        if is_ours(name) {
            tracing::info!(path = %self.base.join(path).display(), "left out: it is init-copy's own, of a run that copied to there");
            return Ok(());
        }
        let (look, open) = match self.policy {
            Links::Follow => (AtFlags::empty(), DIR),
            _ => (AtFlags::SYMLINK_NOFOLLOW, DIR | OFlags::NOFOLLOW),
        };
        let stat = match statat(dir, name, look) {
            Ok(stat) => stat,
            Err(e) => return Err(e).at("look at", &self.base.join(path)),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            self.check_link(dir, name, path)?;
        }
        self.push(path, &stat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(());
        }
        let here = (stat.st_dev, stat.st_ino);
        if self.above.contains(&here) {
            return Err(Error::new(
                SOURCE,
                format!(
                    "the link {} leads to a directory that it is in",
                    self.base.join(path).display()
                ),
                "leave it out with --exclude, or keep links as they are",
            ));
        }
        if self.one_file_system && self.above.first().is_some_and(|top| top.0 != stat.st_dev) {
            return Ok(());
        }
        let fd = openat(dir, name, open, Mode::empty()).at("read the directory", &self.base.join(&path))?;
        self.above.push(here);
        self.below(fd.as_fd(), path, depth + 1)?;
        self.above.pop();
        Ok(())
    }

    fn check_link(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), Error> {
        if self.policy == Links::Keep {
            return Ok(());
        }
        let shown = self.base.join(path);
        let to = readlinkat(dir, name, Vec::new()).at("read the link", &shown)?;
        match self.policy.check(&self.prefix.join(path), to.to_bytes()) {
            Ok(()) => Ok(()),
            Err(_) => Err(leads_outside(&shown.display().to_string(), to.to_bytes())),
        }
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
        let target: Box<Path> = match (relative.as_os_str().is_empty(), self.prefix.as_os_str().is_empty()) {
            (true, _) => self.prefix.as_path().into(),
            (_, true) => relative.into(),
            _ => self.prefix.join(relative).into(),
        };
        let mut entry = Entry {
            target,
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
                entry.number = self.builder.number_of((stat.st_dev, stat.st_ino));
                entry.share = Share::First;
            }
        }
        self.builder.push(entry)
    }
}

/// Bytes that are read of a directory at a time, as by GNU `cp`.
const READ: usize = 32 << 10;

/// The names in a directory, in the order of the plan, so that sorting it finds it sorted.
#[derive(Default)]
struct Names {
    buffer: Vec<u8>,
    /// One after the other.
    bytes: Vec<u8>,
    ranges: Vec<Range<u32>>,
}

impl Names {
    fn read(&mut self, dir: BorrowedFd<'_>) -> rustix::io::Result<()> {
        self.bytes.clear();
        self.ranges.clear();
        self.buffer.reserve(READ);
        let end = |bytes: &Vec<u8>| u32::try_from(bytes.len()).map_err(|_| Errno::OVERFLOW);
        let mut entries = RawDir::new(dir, self.buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let start = end(&self.bytes)?;
                self.bytes.extend_from_slice(name);
                self.ranges.push(start..end(&self.bytes)?);
            }
        }
        let bytes = &self.bytes;
        self.ranges.sort_unstable_by(|a, b| of(bytes, a).cmp(of(bytes, b)));
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = &OsStr> {
        self.ranges
            .iter()
            .map(|range| OsStr::from_bytes(of(&self.bytes, range)))
    }
}

fn of<'b>(bytes: &'b [u8], range: &Range<u32>) -> &'b [u8] {
    &bytes[range.start as usize..range.end as usize]
}
