//! What is left to do: the entries that the receipt does not prove to be in place.

use rustix::fs::FileType;

use crate::beneath::Root;
use crate::error::Error;
use crate::plan::{Entry, Kind, Plan};
use crate::receipt::Receipt;

/// Everything that is not proven; refuses, before anything is written, what cannot be put where something else stands.
pub(crate) fn unproven(plan: &Plan, root: &Root, receipt: &Receipt) -> Result<Vec<Entry>, Error> {
    let mut todo = Vec::new();
    for entry in &plan.entries {
        let found = root.stat(&entry.target)?;
        if let Some(stat) = &found {
            refuse_conflict(root, entry, FileType::from_raw_mode(stat.st_mode))?;
            if entry.kind == Kind::Dir || receipt.proves(entry, stat) {
                continue;
            }
        }
        todo.push(entry.clone());
    }
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
