//! Where a step's content goes: which directory, by which way of publishing, under which locks.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, fstat, statx};

use crate::dest::beneath::Root;
use crate::dest::lock;
use crate::error::{CONFLICT, Error};
use crate::fetch::Deadline;
use crate::publish::{Publish, Way, current_generation};

/// The destination, opened and locked.
pub(crate) struct Place {
    pub(crate) way: Way,
    /// Where content is staged, and what is renamed lies: DEST, or its parent when DEST is replaced as a whole.
    pub(crate) base: Root,
    /// The content that is visible now, when that is not `base`.
    pub(crate) current: Option<Root>,
    /// The name of DEST in `base`, when it is made or replaced as a whole.
    pub(crate) name: Option<OsString>,
}

impl Place {
    /// Opens, locks, and decides. `dir` is DEST as a directory.
    pub(crate) fn open(dir: &Path, publish: Publish, deadline: Deadline) -> Result<Self, Error> {
        let plain: PathBuf = dir.components().collect();
        let name = plain.file_name().map(OsString::from);
        let parent = pod_contract::files::publish::parent(&plain).to_owned();
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
                if fs::symlink_metadata(&plain).is_ok_and(|meta| meta.is_symlink()) {
                    return Err(Error::new(
                        CONFLICT,
                        format!("{} is a symbolic link, which would be lost", plain.display()),
                        "name the directory that it leads to",
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
            lock::take(&base, deadline)?;
            // Another run may have replaced the directory while this one waited for the old one's lock.
            if same(&base, dir) {
                return Ok(Self {
                    way: Way::Rename,
                    base,
                    current: None,
                    name: None,
                });
            }
        }
    }

    fn whole(parent: &Path, name: OsString, way: Way, deadline: Deadline) -> Result<Self, Error> {
        let base = Root::open_or_create(parent)?;
        lock::take(&base, deadline)?;
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
                lock::take(&root, deadline)?;
                Some(root)
            }
            Err(_) => None,
        };
        Ok(Self {
            way,
            base,
            current,
            name: Some(name),
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
