//! Hints that something changed, from inotify through `notify`. Only hints: without them, the periodic reconcile finds the same.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::fs::{StatFs, statfs};

use super::patterns::Base;
use crate::mailbox::Mailbox;

/// Hints that come within this time after one are told together; less than the reader rests.
const TOGETHER: Duration = Duration::from_millis(80);
/// Longer than it takes to tell what has come during a rest.
const AWAKE: Duration = Duration::from_millis(1);
/// Names that are told at a time; of more, it is told that anything may have changed.
const MAX_TOUCHED: usize = 1024;

/// Passes an event on, if somebody needs it.
fn tell(event: notify::Result<Event>, mailbox: &Mailbox) {
    let paths = match event {
        // Nothing is to be done about it now.
        Ok(Event {
            kind: EventKind::Access(AccessKind::Close(AccessMode::Write)),
            paths,
            ..
        }) => {
            mailbox.note(|news| {
                if news.closed.len() < MAX_TOUCHED {
                    news.closed.extend(paths);
                }
            });
            return;
        }
        // Reading the files makes access events; to react to them would never end.
        Ok(Event {
            kind: EventKind::Access(_),
            ..
        }) => return,
        Ok(Event {
            kind: EventKind::Modify(ModifyKind::Data(_)),
            paths,
            ..
        }) => paths,
        _ => Vec::new(),
    };
    mailbox.hint(|news| {
        let has_room = news.touched.len() + paths.len() <= MAX_TOUCHED;
        news.changed |= paths.is_empty() || !has_room;
        for path in &paths {
            news.closed.remove(path);
        }
        if has_room {
            news.touched.extend(paths);
        }
    });
}

/// Watches directories while it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// With the directory that is watched, by device and inode.
    bases: Vec<(Base, Option<(u64, u64)>)>,
    /// What others write is not told here.
    is_remote: bool,
}

/// File systems on which others may write, by `f_type` of statfs(2): AFS, CIFS, SMB2, Ceph, FUSE, GFS2, GPFS, Lustre, NFS, OCFS2, 9P.
/// Source: <https://man7.org/linux/man-pages/man2/statfs.2.html> and `linux/magic.h`; GPFS and Lustre have their own headers.
const REMOTE: [i64; 11] = [
    0x5346_414f,
    0xff53_4d42,
    0xfe53_4d42,
    0x00c3_6400,
    0x6573_5546,
    0x0116_1970,
    0x4750_4653,
    0x0bd0_0bd0,
    0x6969,
    0x7461_636f,
    0x0102_1997,
];

impl Watch {
    /// Starts watching `bases`; those that do not exist yet are taken up by [`Watch::retry`].
    pub(crate) fn start(bases: &[Base], mailbox: &Arc<Mailbox>) -> Self {
        let mailbox = Arc::clone(mailbox);
        let mut rested = Instant::now();
        let watcher = notify::recommended_watcher(move |event| {
            // What is written meanwhile waits in the kernel's queue, which is read as a whole before the next rest.
            tell(event, &mailbox);
            if rested.elapsed() >= AWAKE {
                thread::sleep(TOGETHER);
                rested = Instant::now();
            }
        });
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "no file notifications: new lines are found by polling");
                None
            }
        };
        let mut watch = Self {
            watcher,
            is_remote: false,
            bases: bases.iter().map(|base| (base.clone(), None)).collect(),
        };
        watch.retry();
        watch
    }

    /// Does it tell of everything that is written?
    pub(crate) fn is_complete(&self) -> bool {
        self.watcher.is_some() && !self.is_remote && self.bases.iter().all(|(_, watched)| watched.is_some())
    }

    /// Watches directories that have come into being, also in the place of others.
    pub(crate) fn retry(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for (base, watched) in &mut self.bases {
            let found = fs::metadata(&base.dir).ok().map(|meta| (meta.dev(), meta.ino()));
            if found == *watched {
                continue;
            }
            if watched.take().is_some()
                && let Err(error) = watcher.unwatch(&base.dir)
            {
                tracing::debug!(dir = %base.dir.display(), %error, "it is watched no longer");
            }
            let mode = if base.depth > 0 {
                RecursiveMode::Recursive
            } else {
                RecursiveMode::NonRecursive
            };
            match watcher.watch(&base.dir, mode) {
                Ok(()) => {
                    *watched = found;
                    let is_remote = statfs(&base.dir).is_ok_and(|found| is_remote(&found));
                    if is_remote && !std::mem::replace(&mut self.is_remote, true) {
                        tracing::info!(dir = %base.dir.display(), "on a file system of several machines: what others write is found by polling");
                    }
                }
                Err(error) => tracing::debug!(dir = %base.dir.display(), %error, "cannot watch yet"),
            }
        }
    }
}

pub(crate) fn is_remote(found: &StatFs) -> bool {
    REMOTE.contains(&found.f_type)
}
