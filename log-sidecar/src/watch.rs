//! Hints that something changed, from inotify through `notify`. Only hints: without them, the periodic reconcile finds the same.

use std::sync::Arc;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::discover::Base;
use crate::mailbox::Mailbox;

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
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading the files makes access events; to react to them would never end.
            if !matches!(
                event,
                Ok(Event {
                    kind: EventKind::Access(_),
                    ..
                })
            ) {
                mailbox.post(|news| news.changed = true);
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
