//! What is left to do: the entries that the receipt does not prove to be in place.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{Access, AtFlags, FileType, accessat, fstat};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::error::{At as _, Error};
use crate::plan::{Entry, Kind, Plan};
use crate::receipt::Receipt;

/// Everything that is not proven; refuses, before anything is written, what cannot be put where something else stands.
pub(crate) fn unproven<'p>(plan: &'p Plan, root: &Root, receipt: &Receipt) -> Result<Vec<&'p Entry>, Error> {
    let mut todo = Vec::new();
    for entry in &plan.entries {
        let found = root.stat(&entry.target)?;
        if let Some(stat) = &found {
            refuse_conflict(root, entry, FileType::from_raw_mode(stat.st_mode))?;
            if entry.kind == Kind::Dir || receipt.proves(entry, stat) {
                continue;
            }
        }
        todo.push(entry);
    }
    refuse_closed_parents(root, &todo)?;
    Ok(todo)
}

fn refuse_conflict(root: &Root, entry: &Entry, found: FileType) -> Result<(), Error> {
    let is_dir = found == FileType::Directory;
    if is_dir == (entry.kind == Kind::Dir) {
        return Ok(());
    }
    let found = match found {
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        _ => "file",
    };
    let target = root.path().join(&entry.target);
    Err(Error::Conflict {
        target,
        found,
        origin: entry.origin.clone(),
        brought: entry.kind.name(),
    })
}

/// A rename that fails half way would leave some entries new and others old; so every directory that takes one is tried before.
fn refuse_closed_parents(root: &Root, todo: &[&Entry]) -> Result<(), Error> {
    let device = fstat(root).at("look at", root.path())?.st_dev;
    let parents: BTreeSet<&Path> = todo.iter().filter_map(|entry| entry.target.parent()).collect();
    for parent in parents {
        let Some(existing) = parent
            .ancestors()
            .find(|path| matches!(root.stat(path), Ok(Some(_))))
            .or(Some(Path::new("")))
        else {
            continue;
        };
        let shown = root.path().join(existing);
        let dir = root.dir(existing, false)?;
        if fstat(&dir).at("look at", &shown)?.st_dev != device {
            return Err(Errno::XDEV).at("publish into", &shown);
        }
        accessat(&dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).at("write into", &shown)?;
    }
    Ok(())
}
