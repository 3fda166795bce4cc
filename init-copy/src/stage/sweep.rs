//! What an interrupted run left in a directory.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, statat};

use crate::dest::beneath::{Root, remove_tree};
use crate::error::{At as _, Error};
use crate::plan::names::{is_part, is_part_of, is_staged};

/// A partial download that nobody went on with is kept for so long: a pod in back-off is tried again within minutes.
const PART_KEPT: Duration = Duration::from_secs(86_400);

/// Under the lock, any staged name is a leftover, and a partial download after a day.
pub(crate) fn sweep(root: &Root) -> Result<(), Error> {
    for entry in Dir::read_from(root).at("read the directory", root.path())? {
        let entry = entry.at("read the directory", root.path())?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_staged(name.as_bytes()) || (is_part(name.as_bytes()) && is_old(root, name)) {
            tracing::info!(name = %name.display(), "removing what an interrupted run left");
            if let Err(error) = remove_tree(root.as_fd(), name) {
                tracing::warn!(name = %name.display(), %error, "cannot remove it");
            }
        }
    }
    Ok(())
}

/// Removes what the step `by` began to download and does not want any more: all its parts but the `used` ones.
pub(crate) fn sweep_parts(root: &Root, by: &str, used: &[&Path]) -> Result<(), Error> {
    let mut unused = Vec::new();
    for entry in Dir::read_from(root).at("read the directory", root.path())? {
        let entry = entry.at("read the directory", root.path())?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let bytes = Path::new(name.as_bytes().strip_suffix(b".json").map_or(name, OsStr::from_bytes));
        if is_part_of(name.as_bytes(), by) && !used.contains(&bytes) {
            unused.push(name.to_owned());
        }
    }
    for name in unused {
        tracing::info!(name = %name.display(), "removing a download that nothing will go on with");
        if let Err(error) = remove_tree(root.as_fd(), &name) {
            tracing::warn!(name = %name.display(), %error, "cannot remove it");
        }
    }
    Ok(())
}

fn is_old(root: &Root, name: &OsStr) -> bool {
    let Ok(stat) = statat(root, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return false;
    };
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age > PART_KEPT)
}
