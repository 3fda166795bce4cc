//! A local source as entries: one file, or a tree.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};

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
        }
    }

    /// A directory and all that is below it; the directory's own entry unless its contents go into the root.
    pub(crate) fn tree(&mut self) -> Result<(), Error> {
        let base = self.base.clone();
        let fd = openat(CWD, &base, DIR, Mode::empty()).at("read the directory", &base)?;
        let stat = rustix::fs::fstat(&fd).at("look at", &base)?;
        self.push(Path::new(""), &stat)?;
        self.above.push((stat.st_dev, stat.st_ino));
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
            let (look, open) = match self.policy {
                Links::Follow => (AtFlags::empty(), DIR),
                _ => (AtFlags::SYMLINK_NOFOLLOW, DIR | OFlags::NOFOLLOW),
            };
            let stat = statat(dir, &*name, look).at("look at", &self.base.join(&path))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                self.check_link(dir, &name, &path)?;
            }
            self.push(&path, &stat)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let here = (stat.st_dev, stat.st_ino);
                if self.above.contains(&here) {
                    return Err(Error::new(
                        SOURCE,
                        format!(
                            "the link {} leads to a directory that it is in",
                            self.base.join(&path).display()
                        ),
                        "leave it out with --exclude, or keep links as they are",
                    ));
                }
                if self.one_file_system && self.above.first().is_some_and(|top| top.0 != stat.st_dev) {
                    continue;
                }
                let fd = openat(dir, &*name, open, Mode::empty()).at("read the directory", &self.base.join(&path))?;
                self.above.push(here);
                self.below(fd.as_fd(), &path, depth + 1)?;
                self.above.pop();
            }
        }
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
                entry.number = self.builder.number_of((stat.st_dev, stat.st_ino));
                entry.share = Share::First;
            }
        }
        self.builder.push(entry)
    }
}
