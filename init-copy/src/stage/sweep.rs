//! What an interrupted run left in a directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, statat};

use crate::dest::beneath::{Root, remove_tree};
use crate::error::{At as _, Error};
use crate::plan::names::{PartName, is_receipt_to_be, is_staged};

/// A partial download that nobody went on with is kept for so long: a pod in back-off is tried again within minutes.
const PART_KEPT: Duration = Duration::from_secs(86_400);

/// Under the lock, any staged name is a leftover, and a partial download after a day.
pub(crate) fn sweep(root: &Root) -> Result<(), Error> {
    remove(root, "removing what an interrupted run left", |name| {
        is_staged(name.as_bytes())
            || is_receipt_to_be(name.as_bytes())
            || PartName::parse(name).is_some_and(|part| is_old(root, &part))
    })
}

/// Removes what `owner` began to download and does not want any more: all its parts but the `used` ones.
pub(crate) fn sweep_parts(root: &Root, owner: &str, used: &[&Path]) -> Result<(), Error> {
    remove(root, "removing a download that nothing will go on with", |name| {
        PartName::parse(name).is_some_and(|part| part.is_owned_by(owner) && !used.contains(&Path::new(&part.bytes())))
    })
}

/// Removes what `is_leftover`; what cannot be removed is told, and stays.
fn remove(root: &Root, why: &str, is_leftover: impl Fn(&OsStr) -> bool) -> Result<(), Error> {
    // Names first: what a directory yields while names go is not defined.
    let mut leftovers = Vec::new();
    for entry in Dir::read_from(root).at("read the directory", root.path())? {
        let entry = entry.at("read the directory", root.path())?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_leftover(name) {
            leftovers.push(name.to_owned());
        }
    }
    for name in leftovers {
        tracing::info!(name = %name.display(), "{why}");
        if let Err(error) = remove_tree(root.as_fd(), &name) {
            tracing::warn!(name = %name.display(), %error, "cannot remove it");
        }
    }
    Ok(())
}

/// Has neither the bytes nor what is known of them been written to for long?
fn is_old(root: &Root, part: &PartName) -> bool {
    let modified = |name: OsString| {
        let stat = statat(root, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        u64::try_from(stat.st_mtime).ok()
    };
    let last = modified(part.bytes()).max(modified(part.facts()));
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(last.unwrap_or(0));
    SystemTime::now().duration_since(last).is_ok_and(|age| age > PART_KEPT)
}
