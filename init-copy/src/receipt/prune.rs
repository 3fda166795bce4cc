//! Removal of what an earlier run put there and the sources no longer have.
//!
//! Only what the receipt lists is removed, only if it is as it was put there, and directories only when they are empty: what the
//! application wrote stays.

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::look::Look;
use super::proof::{Proof, is_as_put};
use super::record::Record;
use crate::dest::beneath::{Cursor, Root};
use crate::error::{At as _, Error};

/// Removes the `stale` entries, and returns those that have to stay, and the first error: what can be removed is, and the receipt
/// is written whatever happens.
pub(crate) fn prune(root: &Root, stale: Vec<Record>, proof: Proof) -> (Vec<Record>, Result<(), Error>) {
    let mut cursor = root.cursor();
    let mut stay = Vec::new();
    let mut removed = 0;
    let mut outcome = Ok(());
    // What is below a directory comes behind it, so from the end.
    for record in stale.into_iter().rev() {
        // The destination itself stays, whoever made it.
        let Some(name) = record.path.file_name() else {
            stay.push(record);
            continue;
        };
        let shown = root.path().join(&record.path);
        match remove(&mut cursor, &record, name, &shown, proof) {
            Ok(true) => removed += 1,
            Ok(false) => stay.push(record),
            Err(error) => {
                stay.push(record);
                outcome = outcome.and(Err(error));
            }
        }
    }
    stay.reverse();
    tracing::info!(removed, kept = stay.len(), "pruned");
    (stay, outcome)
}

/// `false` when it has to stay.
fn remove(cursor: &mut Cursor<'_>, record: &Record, name: &OsStr, shown: &Path, proof: Proof) -> Result<bool, Error> {
    let Some(stat) = stat(cursor, &record.path)? else {
        return Ok(true);
    };
    if !record.dir && !is_as_put(proof, record, Look::of(&stat), cursor)? {
        tracing::warn!(path = %shown.display(), "it was changed since it was copied, so it is not pruned");
        return Ok(false);
    }
    let flags = if record.dir {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    match unlinkat(cursor.parent(&record.path)?, name, flags) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::NOTDIR | Errno::EXIST) => Ok(false),
        Err(e) => Err(e).at("remove", shown),
    }
}

/// Something else may stand there by now, such as a link in the place of a directory: then it is not ours to remove.
fn stat(cursor: &mut Cursor<'_>, path: &Path) -> Result<Option<rustix::fs::Stat>, Error> {
    match cursor.stat(path) {
        Err(Error::Io { error, .. }) if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::LOOP)) => {
            Ok(None)
        }
        other => other,
    }
}
