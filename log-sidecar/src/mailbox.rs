//! What the network side, the file watch and the lifecycle tell the reader thread: coalesced, so nothing here can pile up.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batch::{Done, Source};

/// News since the last look.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Names came or went in a watched directory, or nobody knows what changed.
    pub(crate) changed: bool,
    /// Files that were written to, by their names; bounded, see [`crate::discover`].
    pub(crate) touched: HashSet<PathBuf>,
    /// Files that somebody who may have written to them has closed, and nobody has written to since, by their names; bounded like `touched`.
    pub(crate) closed: HashSet<PathBuf>,
    /// Bounded by what is in flight.
    pub(crate) settled: Vec<Done>,
    /// By how many batches and bytes more, or fewer, are held since the last look: they wait for others to be taken.
    pub(crate) held: (isize, isize),
    /// Files of which one is held, or is no longer; bounded like `settled`.
    pub(crate) held_files: Vec<(Arc<Source>, bool)>,
    /// Read to the end, then stop.
    pub(crate) drain: bool,
    /// Somebody else goes on: read no more, and stop once what is out is settled.
    pub(crate) hand_over: bool,
    /// What is out is given up: it is read again.
    pub(crate) abandon: bool,
    /// Hints can wait.
    is_resting: bool,
}

/// Shared by the reader (which waits) and everyone else (who never waits).
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    news: Mutex<News>,
    arrived: Condvar,
}

impl Mailbox {
    pub(crate) fn post(&self, add: impl FnOnce(&mut News)) {
        add(&mut self.lock());
        self.arrived.notify_one();
    }

    /// The same of what can wait for other news.
    pub(crate) fn note(&self, add: impl FnOnce(&mut News)) {
        add(&mut self.lock());
    }

    /// The same of hints: who rests is not woken by them.
    pub(crate) fn hint(&self, add: impl FnOnce(&mut News)) {
        let mut news = self.lock();
        add(&mut news);
        if !news.is_resting {
            self.arrived.notify_one();
        }
    }

    /// Takes what has arrived, waiting for it up to `timeout`; for the first `rest`, hints are no reason to end that. `drain` and its like
    /// stay set for good.
    pub(crate) fn wait(&self, timeout: Duration, rest: Duration, draining: bool) -> News {
        let is_urgent = |news: &News| {
            !news.settled.is_empty()
                || news.held != (0, 0)
                || news.abandon
                || ((news.drain || news.hand_over) && !draining)
        };
        let is_new = |news: &News| is_urgent(news) || news.changed || !news.touched.is_empty();
        let rest = rest.min(timeout);
        let mut news = self.lock();
        if !rest.is_zero() {
            news.is_resting = true;
            news = self.wait_while(news, rest, |news: &mut News| !is_urgent(news));
            news.is_resting = false;
        }
        let mut news = self.wait_while(news, timeout - rest, |news: &mut News| !is_new(news));
        let (drain, hand_over, abandon) = (news.drain, news.hand_over, news.abandon);
        std::mem::replace(
            &mut *news,
            News {
                drain,
                hand_over,
                abandon,
                ..News::default()
            },
        )
    }

    fn wait_while<'n>(
        &self,
        news: MutexGuard<'n, News>,
        timeout: Duration,
        condition: impl FnMut(&mut News) -> bool,
    ) -> MutexGuard<'n, News> {
        let waited = self.arrived.wait_timeout_while(news, timeout, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
