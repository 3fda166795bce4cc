//! Where a step's content goes: which directory, by which way of publishing, under which locks.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxAttributes, StatxFlags, fstat, statx};

use crate::beneath::{Cursor, Root};
use crate::error::{CONFLICT, Error};
use crate::fetch::Deadline;
use crate::fingerprint::Fingerprint;
use crate::lock::{self, Lock};
use crate::publish::{Publish, Way, current_generation};
use crate::receipt::{self, Receipt};

/// Deeper than any tree that is copied.
const MAX_DEPTH: usize = 256;

/// The destination, opened and locked.
pub(crate) struct Place {
    pub(crate) way: Way,
    /// Where content is staged, and what is renamed lies: DEST, or its parent when DEST is replaced as a whole.
    pub(crate) base: Root,
    /// The content that is visible now, when that is not `base`.
    pub(crate) current: Option<Root>,
    /// The name of DEST in `base`, when it is made or replaced as a whole.
    pub(crate) name: Option<OsString>,
    _locks: Vec<Lock>,
}

impl Place {
    /// Opens, locks, and decides. `dir` is DEST as a directory.
    pub(crate) fn open(dir: &Path, publish: Publish, prune: bool, by: &str, deadline: Deadline) -> Result<Self, Error> {
        let plain: PathBuf = dir.components().collect();
        let name = plain.file_name().map(OsString::from);
        let parent = pod_contract::publish::parent(&plain).to_owned();
        let ours = |name: &OsString| -> Result<bool, Error> {
            let is_link = fs::symlink_metadata(&plain).is_ok_and(|meta| meta.is_symlink());
            Ok(is_link
                && Root::open(&parent).is_ok_and(|base| current_generation(&base, name).is_ok_and(|g| g.is_some())))
        };
        let whole = |name, way| Self::whole(&parent, name, way, deadline);
        match (publish, name) {
            (Publish::As(Way::Symlink), Some(name)) => whole(name, Way::Symlink),
            (Publish::As(Way::Exchange), Some(name)) => {
                if is_mount_point(&plain) {
                    return Err(Error::new(
                        CONFLICT,
                        format!("{} is a mount point, which cannot be exchanged", plain.display()),
                        "let DEST be a directory below it, or use --publish rename",
                    ));
                }
                whole(name, Way::Exchange)
            }
            (Publish::As(Way::Symlink | Way::Exchange), None) => Err(Error::new(
                CONFLICT,
                format!("{} has no name that could be replaced", dir.display()),
                "let DEST be a directory with a name",
            )),
            (Publish::Auto, Some(name)) if ours(&name)? => whole(name, Way::Symlink),
            (Publish::Auto, Some(name))
                if prune && plain.is_dir() && !is_mount_point(&plain) && is_writable(&parent) =>
            {
                let place = whole(name, Way::Exchange)?;
                let ours = place
                    .current
                    .as_ref()
                    .map(|root| holds_only_ours(root, by))
                    .transpose()?
                    .unwrap_or(false);
                // Its locks are given up before others are asked for.
                if ours {
                    Ok(place)
                } else {
                    drop(place);
                    Self::by_rename(&plain, deadline)
                }
            }
            // What is not there yet appears as a whole, with one rename.
            (_, Some(name)) if fs::symlink_metadata(&plain).is_err() => {
                let place = whole(name, Way::Rename)?;
                // Another run may have made it while this one waited for the lock.
                if place.current.is_none() {
                    Ok(place)
                } else {
                    drop(place);
                    Self::by_rename(dir, deadline)
                }
            }
            _ => Self::by_rename(dir, deadline),
        }
    }

    fn by_rename(dir: &Path, deadline: Deadline) -> Result<Self, Error> {
        loop {
            let base = Root::open_or_create(dir)?;
            let lock = lock::take(&base, deadline)?;
            // Another run may have replaced the directory while this one waited for the old one's lock.
            if same(&base, dir) {
                return Ok(Self {
                    way: Way::Rename,
                    base,
                    current: None,
                    name: None,
                    _locks: vec![lock],
                });
            }
        }
    }

    fn whole(parent: &Path, name: OsString, way: Way, deadline: Deadline) -> Result<Self, Error> {
        let base = Root::open_or_create(parent)?;
        let mut locks = vec![lock::take(&base, deadline)?];
        if way == Way::Symlink {
            current_generation(&base, &name)?;
        }
        let path = parent.join(&name);
        let current = match fs::metadata(&path) {
            Ok(meta) if !meta.is_dir() => {
                return Err(Error::new(
                    CONFLICT,
                    format!("{} is no directory", path.display()),
                    "remove it, or choose another destination",
                ));
            }
            Ok(_) => {
                let root = Root::open(&path)?;
                locks.push(lock::take(&root, deadline)?);
                Some(root)
            }
            Err(_) => None,
        };
        Ok(Self {
            way,
            base,
            current,
            name: Some(name),
            _locks: locks,
        })
    }

    /// What is visible now.
    pub(crate) fn visible(&self) -> Option<&Root> {
        if self.name.is_some() {
            self.current.as_ref()
        } else {
            Some(&self.base)
        }
    }
}

fn same(root: &Root, dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fstat(root), fs::metadata(dir)) {
        (Ok(held), Ok(found)) => (held.st_dev, held.st_ino) == (found.dev(), found.ino()),
        _ => false,
    }
}

fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// Is a volume mounted right there? The kernel says so since Linux 5.8; before, another device tells most of them.
pub(crate) fn is_mount_point(dir: &Path) -> bool {
    let known = statx(CWD, dir, AtFlags::empty(), StatxFlags::empty()).ok();
    match known {
        Some(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        _ => {
            use std::os::unix::fs::MetadataExt as _;
            match (fs::metadata(dir), fs::metadata(dir.join(".."))) {
                (Ok(own), Ok(parent)) => own.dev() != parent.dev() || own.ino() == parent.ino(),
                _ => false,
            }
        }
    }
}

/// Is everything in the directory on its receipt, put there by this step, and untouched since? Then nothing is lost when it is
/// replaced as a whole.
fn holds_only_ours(root: &Root, by: &str) -> Result<bool, Error> {
    let mut receipt = Receipt::open(root).peekable();
    if receipt.peek().is_none() {
        return Ok(false);
    }
    let mut cursor = root.cursor();
    let mut paths = Vec::new();
    list(&mut cursor, Path::new(""), 0, &mut paths)?;
    paths.retain(|path| path != Path::new(receipt::NAME));
    paths.sort_by(|a, b| crate::plan::order(a, b));
    let mut paths = paths.into_iter().peekable();
    for record in receipt {
        if *record.by != *by {
            return Ok(false);
        }
        if paths.next_if_eq(&record.path).is_none() {
            continue;
        }
        let untouched = cursor
            .stat(&record.path)?
            .is_some_and(|stat| record.dir || Fingerprint::of(&stat) == record.at);
        if !untouched {
            return Ok(false);
        }
    }
    // What is left is on no receipt.
    Ok(paths.peek().is_none())
}

fn list(cursor: &mut Cursor<'_>, dir: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    use crate::error::At as _;
    use std::os::unix::ffi::OsStrExt as _;
    if depth == MAX_DEPTH {
        return Ok(());
    }
    let mut dirs = Vec::new();
    for entry in rustix::fs::Dir::read_from(cursor.dir(dir, false)?).at("read the directory", dir)? {
        let entry = entry.at("read the directory", dir)?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let path = dir.join(name);
        if entry.file_type() == FileType::Directory {
            dirs.push(path.clone());
        }
        paths.push(path);
    }
    dirs.iter().try_for_each(|dir| list(cursor, dir, depth + 1, paths))
}
