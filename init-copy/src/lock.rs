//! One run at a time for a destination: two init containers on one volume take turns, and the second finds the work done.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::beneath::Root;
use crate::error::{At as _, Error};

/// Held while a run changes the destination; ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock;

/// Waits for the lock on the destination directory.
pub(crate) fn take(root: &Root) -> Result<Lock, Error> {
    match flock(root, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(Lock),
        Err(Errno::WOULDBLOCK) => {
            tracing::info!(dest = %root.path().display(), "waiting for another init-copy on this volume")
        }
        Err(Errno::BADF | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NOLCK) => {
            tracing::warn!(dest = %root.path().display(), "the file system has no locks: do not run two at a time");
            return Ok(Lock);
        }
        Err(e) => return Err(e).at("lock", root.path()),
    }
    flock(root, FlockOperation::LockExclusive).at("lock", root.path())?;
    Ok(Lock)
}
