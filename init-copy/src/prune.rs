//! Removal of what an earlier run put there and the sources no longer have.
//!
//! Only what the receipt lists is removed, only if it is as it was put there, and directories only when they are empty: what the
//! application wrote stays.

use std::path::Path;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::error::{At as _, Error};
use crate::fingerprint::Fingerprint;
use crate::receipt::Record;

/// Removes the `stale` entries, and returns those that have to stay.
pub(crate) fn prune(root: &Root, stale: Vec<Record>) -> Result<Vec<Record>, Error> {
    let mut cursor = root.cursor();
    let mut stay = Vec::new();
    let mut removed = 0;
    // What is below a directory comes behind it, so from the end.
    for record in stale.into_iter().rev() {
        // The destination itself stays, whoever made it.
        let Some(name) = record.path.file_name() else {
            stay.push(record);
            continue;
        };
        let shown = root.path().join(&record.path);
        let Some(stat) = stat(&mut cursor, &record.path)? else {
            continue;
        };
        if !record.dir && Fingerprint::of(&stat) != record.at {
            tracing::warn!(path = %shown.display(), "it was changed since it was copied, so it is not pruned");
            stay.push(record);
            continue;
        }
        let flags = if record.dir {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        let parent = cursor.parent(&record.path, false)?;
        match unlinkat(parent, name, flags) {
            Ok(()) => removed += 1,
            Err(Errno::NOTEMPTY | Errno::NOTDIR | Errno::EXIST) => stay.push(record),
            Err(e) => return Err(e).at("remove", &shown),
        }
    }
    stay.reverse();
    tracing::info!(removed, kept = stay.len(), "pruned");
    Ok(stay)
}

/// Something else may stand there by now, such as a link in the place of a directory: then it is not ours to remove.
fn stat(cursor: &mut crate::beneath::Cursor<'_>, path: &Path) -> Result<Option<rustix::fs::Stat>, Error> {
    match cursor.stat(path) {
        Err(Error::Io { error, .. }) if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::LOOP)) => {
            Ok(None)
        }
        other => other,
    }
}
