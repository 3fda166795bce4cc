//! Hints that something changed, from inotify through `notify`. Only hints: without them, the periodic reconcile finds the same.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::discover::Base;
use crate::mailbox::Mailbox;

/// Hints that come within this time after one are told together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Names that are told at a time; of more, it is told that anything may have changed.
const MAX_TOUCHED: usize = 1024;

/// Passes an event on; false for one that nobody needs.
fn tell(event: notify::Result<Event>, mailbox: &Mailbox) -> bool {
    let paths = match event {
        // Reading the files makes access events; to react to them would never end.
        Ok(Event {
            kind: EventKind::Access(_),
            ..
        }) => return false,
        Ok(Event {
            kind: EventKind::Modify(ModifyKind::Data(_)),
            paths,
            ..
        }) => paths,
        _ => Vec::new(),
    };
    mailbox.post(|news| {
        news.changed |= paths.is_empty() || news.touched.len() + paths.len() > MAX_TOUCHED;
        if !news.changed {
            news.touched.extend(paths);
        }
    });
    true
}

/// Watches directories while it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    missing: Vec<Base>,
}

impl Watch {
    /// Starts watching `bases`; those that do not exist yet are taken up by [`Watch::retry`].
    pub(crate) fn start(bases: &[Base], mailbox: &Arc<Mailbox>) -> Self {
        let mailbox = Arc::clone(mailbox);
        let watcher = notify::recommended_watcher(move |event| {
            if tell(event, &mailbox) {
                // What is written meanwhile is merged by the kernel: one wake-up for many lines.
                thread::sleep(TOGETHER);
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
            missing: bases.to_vec(),
        };
        watch.retry();
        watch
    }

    /// Are all directories watched?
    pub(crate) fn is_complete(&self) -> bool {
        self.watcher.is_some() && self.missing.is_empty()
    }

    /// Watches directories that have come into being.
    pub(crate) fn retry(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        self.missing.retain(|base| {
            let mode = if base.depth > 0 {
                RecursiveMode::Recursive
            } else {
                RecursiveMode::NonRecursive
            };
            match watcher.watch(&base.dir, mode) {
                Ok(()) => false,
                Err(error) => {
                    tracing::debug!(dir = %base.dir.display(), %error, "cannot watch yet");
                    true
                }
            }
        });
    }
}
