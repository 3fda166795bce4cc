//! What a copy gets besides its content: mode, owner, times, extended attributes.

mod mode;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use pod_contract::config::{Setting, Shape, Word};
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fgetxattr,
    flistxattr, fsetxattr, fstat, utimensat,
};
use rustix::io::Errno;

pub(crate) use mode::ModeChange;

/// Names and values of extended attributes; the kernel's limit is 64 KiB for each.
const XATTR: usize = 64 << 10;

/// A user and perhaps a group, by number: an image without `/etc/passwd` has no names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: u32,
    gid: Option<u32>,
}

impl Setting for Owner {
    const FORM: &'static str = "numbers such as 1000 or 1000:1000";
    const SHAPE: Shape = Shape::Scalar;

    fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|e| format!("{text:?}: {e}"));
        Ok(match text.split_once(':') {
            Some((uid, gid)) => Self {
                uid: number(uid)?,
                gid: Some(number(gid)?),
            },
            None => Self {
                uid: number(text)?,
                gid: None,
            },
        })
    }
}

/// What is kept as it is in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Mode,
    Owner,
    Times,
    Xattrs,
    /// Hard links, which are always kept; a word of `cp`.
    Links,
    All,
}

impl Word for Kept {
    const FORM: &'static str = "mode, owner, times, xattrs or all";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("mode", Self::Mode),
        ("owner", Self::Owner),
        ("ownership", Self::Owner),
        ("times", Self::Times),
        ("timestamps", Self::Times),
        ("xattrs", Self::Xattrs),
        ("xattr", Self::Xattrs),
        ("links", Self::Links),
        ("all", Self::All),
    ];
}

/// What is given attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    File,
    NewDir,
    /// One that was there before.
    OldDir,
}

/// The wanted attributes of a step.
#[derive(Debug)]
pub(crate) struct Attributes {
    mode: Option<ModeChange>,
    dir_mode: Option<ModeChange>,
    owner: Option<Owner>,
    kept: Vec<Kept>,
    /// Directories get the bits of the source, less the umask, as with `cp -r`.
    dirs_as_source: bool,
    umask: u32,
    /// Attributes that were to be kept and could not, since that takes privileges.
    not_kept: AtomicU64,
}

impl Attributes {
    pub(crate) fn new(
        mode: Option<ModeChange>,
        dir_mode: Option<ModeChange>,
        owner: Option<Owner>,
        kept: Vec<Kept>,
    ) -> Self {
        // The mask can only be read by setting it; there is one thread yet.
        let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(umask);
        Self {
            mode,
            dir_mode,
            owner,
            kept,
            dirs_as_source: false,
            umask: umask.as_raw_mode(),
            not_kept: AtomicU64::new(0),
        }
    }

    fn keeps(&self, what: Kept) -> bool {
        self.kept.contains(&what) || self.kept.contains(&Kept::All)
    }

    /// The same, with directories as `cp -r` makes them.
    pub(crate) fn with_dirs_as_source(mut self) -> Self {
        self.dirs_as_source = true;
        self
    }

    /// Are directories to have more than the umask leaves them?
    pub(crate) fn wants_dirs(&self) -> bool {
        self.dir_mode.is_some() || self.owner.is_some() || !self.kept.is_empty()
    }

    /// One that could not be kept.
    pub(crate) fn count_not_kept(&self) {
        self.not_kept.fetch_add(1, Ordering::Relaxed);
    }

    /// How many attributes could not be kept for want of privileges.
    pub(crate) fn not_kept(&self) -> u64 {
        self.not_kept.load(Ordering::Relaxed)
    }

    /// Set apart from others, so that a change of what is wanted makes entries unproven.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for (name, wanted) in [
            ("mode", format!("{:?}", self.mode)),
            ("dir", format!("{:?}", self.dir_mode)),
            ("owner", format!("{:?}", self.owner)),
        ] {
            if wanted != "None" {
                text += &format!(";{name}={wanted}");
            }
        }
        for kept in [Kept::Mode, Kept::Owner, Kept::Times, Kept::Xattrs] {
            if self.keeps(kept) {
                text += &format!(";{kept:?}");
            }
        }
        text
    }

    /// The exact bits that a copy of something with `mode` gets; `None` when the umask and the directory's default ACL decide.
    pub(crate) fn mode(&self, mode: u32, is_dir: bool) -> Option<u32> {
        let change = if is_dir { &self.dir_mode } else { &self.mode };
        match change {
            Some(change) => Some(change.apply(mode & 0o777, is_dir, self.umask)),
            None if self.keeps(Kept::Mode) => Some(mode & 0o7777),
            None if !is_dir => None,
            None if self.dirs_as_source => Some(mode & 0o777 & !self.umask),
            None => closed(mode).map(|closed| 0o777 & !self.umask & !closed),
        }
    }

    /// The same for a directory that is there already: it changes only when its mode is asked for.
    fn mode_there(&self, mode: u32) -> Option<u32> {
        self.mode(mode, true)
            .filter(|_| self.dir_mode.is_some() || self.keeps(Kept::Mode))
    }

    /// What the umask leaves of `mode`.
    pub(crate) fn masked(&self, mode: u32) -> u32 {
        mode & 0o777 & !self.umask
    }

    /// The bits to create a file with: never more than it will have; writing needs no bit, since the file is open.
    pub(crate) fn creation_mode(&self, mode: u32) -> u32 {
        self.mode(mode, false).unwrap_or(mode) & 0o777
    }

    /// Gives a file its attributes. `source` is what it was copied from, if that is a file.
    pub(crate) fn finish(
        &self,
        target: BorrowedFd<'_>,
        mode: u32,
        what: What,
        modified: i64,
        source: Option<(BorrowedFd<'_>, &Stat)>,
    ) -> rustix::io::Result<()> {
        let exact = match what {
            What::File => self.mode(mode, false),
            What::NewDir => self.mode(mode, true),
            What::OldDir => self.mode_there(mode),
        };
        let is_dir = what != What::File;
        let wants_source_owner = source.filter(|_| self.keeps(Kept::Owner) && self.owner.is_none());
        if exact.is_some() || wants_source_owner.is_some() {
            let now = fstat(target)?;
            let mut chowned = false;
            if let Some((_, stat)) = wants_source_owner
                && (stat.st_uid, stat.st_gid) != (now.st_uid, now.st_gid)
            {
                chowned = true;
                let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                self.best_effort(chownat(target, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH))?;
            }
            // After the owner: a change of owner takes bits away. A directory that got its group from above gives it on.
            let exact = exact.map(|exact| if is_dir { exact | now.st_mode & 0o2000 } else { exact });
            // To run as another user is that user's to grant, and no archive's.
            let is_its_own = source.is_some_and(|(_, stat)| {
                let owned = if chowned { fstat(target).ok() } else { Some(now) };
                owned.is_some_and(|owned| (owned.st_uid, owned.st_gid) == (stat.st_uid, stat.st_gid))
            });
            let exact = exact.map(|exact| if is_dir || is_its_own { exact } else { exact & 0o777 });
            if let Some(exact) = exact
                && (chowned || now.st_mode & 0o7777 != exact)
            {
                fchmod(target, Mode::from_raw_mode(exact))?;
            }
        }
        if let Some(owner) = self.owner {
            let (uid, gid) = (Uid::from_raw(owner.uid), owner.gid.map(Gid::from_raw));
            chownat(target, "", Some(uid), gid, AtFlags::EMPTY_PATH)?;
        }
        if let Some((fd, _)) = source
            && self.keeps(Kept::Xattrs)
        {
            self.copy_xattrs(fd, target)?;
        }
        if self.keeps(Kept::Times) {
            rustix::fs::futimens(target, &times(modified))?;
        }
        Ok(())
    }

    /// Gives a symbolic link, `name` in `dir`, its attributes.
    pub(crate) fn finish_link(
        &self,
        dir: impl AsFd,
        name: &std::path::Path,
        stat: Option<&Stat>,
        modified: i64,
    ) -> rustix::io::Result<()> {
        let dir = dir.as_fd();
        let chown = |uid, gid| chownat(dir, name, Some(Uid::from_raw(uid)), gid, AtFlags::SYMLINK_NOFOLLOW);
        match (self.owner, stat) {
            (Some(owner), _) => chown(owner.uid, owner.gid.map(Gid::from_raw))?,
            (None, Some(stat)) if self.keeps(Kept::Owner) => {
                self.best_effort(chown(stat.st_uid, Some(Gid::from_raw(stat.st_gid))))?;
            }
            _ => {}
        }
        if self.keeps(Kept::Times) {
            utimensat(dir, name, &times(modified), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    fn copy_xattrs(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
        // Few files have any, and those that do have short names.
        let mut few = [0; 512];
        let names = match flistxattr(from, &mut few) {
            Ok(length) => few[..length].to_vec(),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(Errno::RANGE) => {
                let mut many = vec![0; XATTR];
                let length = flistxattr(from, many.as_mut_slice())?;
                many.truncate(length);
                many
            }
            Err(e) => return Err(e),
        };
        if names.is_empty() {
            return Ok(());
        }
        let mut value = vec![0; XATTR];
        for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            match fgetxattr(from, name, value.as_mut_slice()) {
                Ok(length) => self.best_effort(fsetxattr(to, name, &value[..length], XattrFlags::empty()))?,
                Err(Errno::NODATA) => {}
                Err(e) => self.best_effort(Err(e))?,
            }
        }
        Ok(())
    }

    /// What takes privileges is kept where it can be, and counted where not.
    fn best_effort(&self, result: rustix::io::Result<()>) -> rustix::io::Result<()> {
        match result {
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL) => {
                self.count_not_kept();
                Ok(())
            }
            other => other,
        }
    }
}

/// Bits that a directory is not to have, since its source has none of that class: what was closed to others stays closed.
fn closed(mode: u32) -> Option<u32> {
    let classes = [0o070, 0o007].into_iter().filter(|class| mode & class == 0);
    Some(classes.sum()).filter(|&closed: &u32| closed != 0)
}

fn times(modified: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified.div_euclid(1_000_000_000),
            tv_nsec: modified.rem_euclid(1_000_000_000),
        },
    }
}
