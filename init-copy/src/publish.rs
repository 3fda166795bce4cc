//! From staged to visible.
//!
//! | mode | what changes, and how a reader sees it |
//! |---|---|
//! | rename | each file, link and new directory by one rename: old or new, each by itself; what else stands there stays |
//! | exchange | the directory as a whole: old or new; what else stood there goes |
//! | symlink | a link to the directory: old or new; the generation before stays until the next switch |

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use pod_contract::config::Word;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, fchmod, openat, readlinkat, renameat, renameat_with, statat,
    symlinkat,
};
use rustix::io::Errno;

use crate::attributes::What;
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::{self, DIR, Root, remove_tree};
use crate::error::{At as _, CONFLICT, Error};
use crate::plan::names::PREFIX;
use crate::plan::{Content, Entry, Plan};
use crate::stage::{Job, Staging, finish_dir};

/// How staged content becomes visible, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publish {
    Auto,
    As(Way),
}

/// How staged content becomes visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Rename,
    Exchange,
    Symlink,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Exchange => "exchange",
            Self::Symlink => "symlink",
        }
    }
}

impl Word for Publish {
    const FORM: &'static str = "auto, rename, exchange or symlink";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("rename", Self::As(Way::Rename)),
        ("exchange", Self::As(Way::Exchange)),
        ("symlink", Self::As(Way::Symlink)),
    ];
}

/// Under the name that a download had on its way, it is gone by the time that it is published.
fn loses_a_name(plan: &Plan, entry: &Entry) -> bool {
    matches!(plan.sources[entry.source as usize].content, Content::Fetched { .. })
}

/// Generations of a symlinked destination begin so, followed by its name and a random part.
const GENERATION: &str = ".init-copy.";

impl Staging<'_> {
    /// Gives every unit its name below `root`, in the order of the sources, so that the last one named appears last.
    pub(crate) fn rename(&mut self, job: &Job<'_>, root: &Root) -> Result<(), Error> {
        let plan = job.plan;
        let (mut cursor, mut staged) = (root.cursor(), self.base.cursor());
        let mut order: Vec<usize> = (0..self.units.len()).collect();
        order.sort_by_key(|&unit| plan.entries[self.todo[self.units[unit].entries.start]].source);
        let mut touched: BTreeSet<PathBuf> = BTreeSet::new();
        for number in order {
            let unit = &mut self.units[number];
            let Some(temp) = unit.temp.take() else { continue };
            let shown = root.path().join(&unit.target);
            let name = unit.target.file_name().unwrap_or_default();
            let parent = match cursor.parent(&unit.target) {
                Ok(parent) => parent,
                Err(e) => {
                    unit.temp = Some(temp);
                    return Err(e);
                }
            };
            let renamed = staged.parent(&temp).and_then(|from| {
                let temp_name = temp.file_name().unwrap_or_default();
                rename_closed(from, temp_name, parent, name).at("publish", &shown)
            });
            if let Err(error) = renamed {
                unit.temp = Some(temp);
                return Err(error);
            }
            touched.insert(unit.target.parent().unwrap_or(Path::new("")).to_owned());
            // A rename changes the status of what it renames, not of what is below that.
            if let Some(done) = &mut self.done[unit.entries.start] {
                let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).at("look at", &shown)?;
                done.fingerprint = Fingerprint::of(&stat);
            }
        }
        self.look_again(plan, root, |this, plan, at| {
            plan.entries[this.todo[at]].target.to_path_buf()
        })?;
        if job.durable {
            for directory in touched {
                let shown = root.path().join(&directory);
                beneath::sync(cursor.dir(&directory)?).at("sync", &shown)?;
            }
        }
        Ok(())
    }

    /// Gives directories that are there their attributes: names that came and went have changed their times.
    pub(crate) fn settle_dirs(job: &Job<'_>, root: &Root, dirs: &[usize]) -> Result<(), Error> {
        let mut cursor = root.cursor();
        for &index in dirs {
            let entry = &job.plan.entries[index];
            let fd = cursor.dir(&entry.target)?;
            match finish_dir(job, entry, fd, What::OldDir) {
                // Somebody else's, such as the root of a volume: what may not be done to it is told once, for all.
                Err(Errno::PERM) => job.attributes.count_not_kept(),
                other => other.at("set the attributes of", &root.path().join(&entry.target))?,
            }
        }
        Ok(())
    }

    /// Looks at downloads in a generation that is about to be published.
    pub(crate) fn settle_downloads(&mut self, plan: &Plan) -> Result<(), Error> {
        let base = self.base;
        self.look_again(plan, base, Self::path)
    }

    /// The name that a file lost after the first look has changed its status; `path` is where an entry is below `root` now.
    fn look_again(
        &mut self,
        plan: &Plan,
        root: &Root,
        path: impl Fn(&Self, &Plan, usize) -> PathBuf,
    ) -> Result<(), Error> {
        let mut cursor = root.cursor();
        for at in 0..self.todo.len() {
            if !loses_a_name(plan, &plan.entries[self.todo[at]]) {
                continue;
            }
            if let (Some(stat), Some(done)) = (cursor.stat(&path(self, plan, at))?, &mut self.done[at]) {
                done.fingerprint = Fingerprint::of(&stat);
            }
        }
        Ok(())
    }

    /// Gives the one unit the name `name`, where nothing stands.
    pub(crate) fn appear(&mut self, name: &OsStr, durable: bool) -> Result<(), Error> {
        let base = self.base;
        let shown = base.path().join(name);
        let Some(temp) = self.units[0].temp.clone() else {
            return Ok(());
        };
        match renameat_with(base, &temp, base, name, RenameFlags::NOREPLACE) {
            // Without that flag, a rename replaces an empty directory, and nothing else.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => renameat(base, &temp, base, name),
            other => other,
        }
        .at("publish", &shown)?;
        self.units[0].temp = None;
        sync_names(base, durable)
    }

    /// Gives the one unit the mode and, where that is allowed, the owner of the directory that it replaces.
    pub(crate) fn keep_attributes_of(&self, current: Option<&Root>) -> Result<(), Error> {
        let (Some(current), Some(temp)) = (current, &self.units[0].temp) else {
            return Ok(());
        };
        let stat = rustix::fs::fstat(current).at("look at", current.path())?;
        let mut cursor = self.base.cursor();
        let fd = cursor.dir(temp)?;
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(stat.st_uid),
            rustix::fs::Gid::from_raw(stat.st_gid),
        );
        if let Err(error) = rustix::fs::fchown(fd, Some(uid), Some(gid)) {
            tracing::debug!(%error, "the new directory has another owner than the old one");
        }
        fchmod(fd, Mode::from_raw_mode(stat.st_mode & 0o7777)).at("set the mode of", current.path())
    }

    /// Puts the one unit in the place of the directory `name`, which may not exist yet; the old one goes.
    pub(crate) fn exchange(&mut self, name: &OsStr, durable: bool) -> Result<(), Error> {
        let base = self.base;
        let shown = base.path().join(name);
        let Some(temp) = self.units[0].temp.clone() else {
            return Ok(());
        };
        match renameat_with(base, &temp, base, name, RenameFlags::EXCHANGE) {
            // What is staged under that name is now the old directory; dropping the staging removes it.
            Ok(()) => {}
            Err(Errno::NOENT) => {
                renameat(base, &temp, base, name).at("publish", &shown)?;
                self.units[0].temp = None;
            }
            // Some file systems cannot exchange: aside and in, with nothing under the name for a moment.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let aside = PathBuf::from(format!("{}-1", temp.display().to_string().trim_end_matches("-0")));
                let was_there = match renameat(base, name, base, &aside) {
                    Ok(()) => true,
                    Err(Errno::NOENT) => false,
                    Err(e) => return Err(e).at("move aside", &shown),
                };
                if let Err(error) = renameat(base, &temp, base, name) {
                    if was_there {
                        renameat(base, &aside, base, name).at("move back", &shown)?;
                    }
                    return Err(error).at("publish", &shown);
                }
                self.units[0].temp = was_there.then_some(aside);
            }
            Err(e) => return Err(e).at("publish", &shown),
        }
        sync_names(base, durable)
    }

    /// Makes `name` a link to the one unit; the generation before the last one goes.
    pub(crate) fn switch(&mut self, name: &OsStr, durable: bool) -> Result<(), Error> {
        let base = self.base;
        let shown = base.path().join(name);
        let Some(temp) = self.units[0].temp.clone() else {
            return Ok(());
        };
        let random = temp
            .to_string_lossy()
            .trim_start_matches(PREFIX)
            .trim_end_matches("-0")
            .to_owned();
        let generation = OsString::from_vec([GENERATION.as_bytes(), name.as_bytes(), b".", random.as_bytes()].concat());
        // Who switches must be able to read it: a link in a world-writable sticky directory is followed for its owner only.
        let_owner_read(base, &temp)?;
        renameat(base, &temp, base, &generation).at("publish", &shown)?;
        self.units[0].temp = Some(PathBuf::from(&generation));
        let link = PathBuf::from(format!("{PREFIX}{random}-1"));
        let previous = current_generation(base, name)?;
        // Relative, so that it leads there in every container, wherever the volume is mounted.
        symlinkat(&generation, base, &link).at("write", &shown)?;
        if let Err(error) = renameat(base, &link, base, name) {
            if let Err(error) = remove_tree(base.as_fd(), link.as_os_str()) {
                tracing::debug!(%error, "cannot remove the link that was not published");
            }
            return Err(error).at("publish", &shown);
        }
        self.units[0].temp = None;
        sync_names(base, durable)?;
        remove_generations(base, name, &[Some(generation), previous])
    }
}

/// A directory that goes to another one is written to, since its `..` changes; so one that is closed to its owner is opened for that.
fn rename_closed(from: BorrowedFd<'_>, temp: &OsStr, to: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    match renameat(from, temp, to, name) {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    let dir = openat(from, temp, DIR | OFlags::NOFOLLOW, Mode::empty())?;
    let mode = rustix::fs::fstat(&dir)?.st_mode & 0o7777;
    fchmod(&dir, Mode::from_raw_mode(mode | 0o200))?;
    let renamed = renameat(from, temp, to, name);
    fchmod(&dir, Mode::from_raw_mode(mode))?;
    renamed
}

fn sync_names(base: &Root, durable: bool) -> Result<(), Error> {
    if durable {
        beneath::sync(base).at("sync", base.path())
    } else {
        Ok(())
    }
}

fn let_owner_read(base: &Root, temp: &Path) -> Result<(), Error> {
    let mut cursor = base.cursor();
    let fd = cursor.dir(temp)?;
    let mode = rustix::fs::fstat(fd).at("look at", base.path())?.st_mode & 0o777;
    if mode & 0o500 == 0o500 {
        return Ok(());
    }
    fchmod(fd, Mode::from_raw_mode(mode | 0o500)).at("set the mode of", &base.path().join(temp))
}

/// The generation that the link `name` leads to; `None` when nothing stands there, an error when something else does.
pub(crate) fn current_generation(base: &Root, name: &OsStr) -> Result<Option<OsString>, Error> {
    let shown = base.path().join(name);
    match base.stat(Path::new(name))? {
        None => return Ok(None),
        Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {}
        Some(_) => {
            return Err(Error::new(
                CONFLICT,
                format!("{} is no symbolic link, so it cannot be switched", shown.display()),
                "remove it, choose another destination, or use --publish exchange",
            ));
        }
    }
    let to = readlinkat(base, name, Vec::new()).at("read the link", &shown)?;
    let to = OsStr::from_bytes(to.to_bytes()).to_owned();
    if is_generation(&to, name) {
        Ok(Some(to))
    } else {
        Err(Error::new(
            CONFLICT,
            format!(
                "{} is a symbolic link to {}, which is not ours",
                shown.display(),
                to.display()
            ),
            "remove it, or choose another destination",
        ))
    }
}

fn is_generation(generation: &OsStr, name: &OsStr) -> bool {
    let prefix = [GENERATION.as_bytes(), name.as_bytes(), b"."].concat();
    generation
        .as_bytes()
        .strip_prefix(prefix.as_slice())
        .is_some_and(|random| random.len() == 8 && random.iter().all(u8::is_ascii_hexdigit))
}

fn remove_generations(base: &Root, name: &OsStr, kept: &[Option<OsString>]) -> Result<(), Error> {
    for entry in Dir::read_from(base).at("read the directory", base.path())? {
        let entry = entry.at("read the directory", base.path())?;
        let found = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_generation(found, name)
            && !kept.iter().flatten().any(|kept| kept == found)
            && let Err(error) = remove_tree(base.as_fd(), found)
        {
            tracing::warn!(generation = %found.display(), %error, "cannot remove an old generation");
        }
    }
    Ok(())
}
