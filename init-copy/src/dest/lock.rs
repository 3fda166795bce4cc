//! One run at a time for a destination: two init containers on one volume take turns, and the second finds the work done.

use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::dest::beneath::Root;
use crate::error::{At as _, Error};
use crate::fetch::Deadline;

/// How often a taken lock is asked for again: a lock that is waited for in the kernel has no deadline.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Waits for the lock on the directory, which is held as long as `root` is open, however the process ends.
pub(crate) fn take(root: &Root, deadline: Deadline) -> Result<(), Error> {
    let mut told = false;
    loop {
        match flock(root, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if deadline.has_passed() => {
                return Err(deadline
                    .failure(&format!("another init-copy holds {}", root.path().display()))
                    .into());
            }
            Err(Errno::WOULDBLOCK) => {
                if !told {
                    tracing::info!(dest = %root.path().display(), "waiting for another init-copy on this volume");
                    told = true;
                }
                thread::sleep(ASK_AGAIN);
            }
            Err(Errno::BADF | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NOLCK) => {
                tracing::warn!(dest = %root.path().display(), "the file system has no locks: do not run two at a time");
                return Ok(());
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e).at("lock", root.path()),
        }
    }
}
