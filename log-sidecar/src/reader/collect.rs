//! For a sink that keeps what is sent at once as one object: lines stay in their files until there are enough of them or it is time, and
//! after a crash the same ones go together again.

use std::mem;
use std::time::{Duration, Instant};

use super::archive::Archive;
use super::pending::Pending;
use super::tail::Tail;
use super::{MAX_BATCHES, Phase, Reader};
use crate::batch::Settled;
use crate::identity::Inode;
use crate::intent::{Intent, Span};

/// What is collected, and what is out.
pub(super) struct Collecting {
    /// Lines stay in their files for so long, at most.
    longest: Duration,
    /// Since when some do.
    since: Option<Instant>,
    /// When to look again.
    pub(super) rests_until: Option<Instant>,
    /// In their order.
    intents: Vec<Intent>,
    /// What is read belongs to a batch that was cut before.
    pub(super) is_again: bool,
}

impl Collecting {
    /// With what an earlier run has left.
    pub(super) fn new(longest: Duration, intents: Vec<Intent>) -> Self {
        Self {
            longest,
            since: None,
            rests_until: None,
            intents,
            is_again: false,
        }
    }

    pub(super) fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// Everything is read.
    pub(super) fn is_over(&mut self) {
        self.since = None;
    }

    pub(super) fn settle(&mut self, settled: &[Settled]) {
        self.intents.retain(|intent| !intent.is_of(settled));
    }

    /// Are so many bytes left where they are, `enough` not being there?
    fn rests(&mut self, backlog: u64, enough: u64, now: Instant) -> bool {
        self.rests_until = None;
        if backlog == 0 {
            self.since = None;
            return false;
        }
        let until = *self.since.get_or_insert(now) + self.longest;
        if backlog < enough && now < until {
            self.rests_until = Some(until);
        }
        self.rests_until.is_some()
    }
}

impl Reader {
    /// Are lines left in their files for now?
    pub(super) fn rests(&mut self, now: Instant) -> bool {
        let Some(collecting) = &mut self.collecting else {
            return false;
        };
        if self.phase != Phase::Running || !self.pending.is_empty() {
            collecting.rests_until = None;
            return false;
        }
        let dirty = self.files.dirty.iter();
        let tails = dirty.filter_map(|inode| self.files.tails.get(inode)).map(Tail::backlog);
        let archives = self.files.archives.iter().filter(|archive| !archive.is_read);
        let backlog = tails.chain(archives.map(Archive::backlog)).sum();
        collecting.rests(backlog, self.config.batches.bytes as u64, now)
    }

    /// Puts it on disk before what it is of goes out; false if that is not possible.
    pub(super) fn note(&mut self, intent: Intent) -> bool {
        if let Some(collecting) = &mut self.collecting {
            collecting.intents.push(intent);
        }
        self.save();
        let is_saved = self.unsaved.is_none();
        if !is_saved && let Some(collecting) = &mut self.collecting {
            collecting.intents.pop();
        }
        is_saved
    }

    /// What was out when the last run was ended.
    pub(super) fn send_what_was_out(&mut self) {
        let left = self.collecting.as_mut().map(|it| mem::take(&mut it.intents));
        for intent in left.unwrap_or_default() {
            let found: Option<Vec<_>> = intent
                .ranges
                .iter()
                .map(|range| Some((self.holder(range)?, range)))
                .collect();
            let (before, again, is_whole) = match found {
                Some(found) if self.out_batches + 2 <= MAX_BATCHES => self.read_again(&found),
                _ => (Pending::default(), Pending::default(), false),
            };
            self.pending.append(before);
            if is_whole {
                self.seal();
            } else {
                tracing::warn!(
                    "what was to be one object when the last run was ended is not all there: what is there may be in two"
                );
                self.pending.append(again);
                continue;
            }
            if !again.is_empty() {
                let read_at = intent.read_at();
                if let Some(collecting) = &mut self.collecting {
                    collecting.intents.push(intent);
                }
                self.dispatch(again, read_at);
            }
        }
    }

    /// The file that has all of it, and of which nothing of it is read.
    fn holder(&self, range: &Span) -> Option<Inode> {
        let mut tails = self.files.tails.iter();
        let (inode, tail) = tails.find(|(_, tail)| tail.source.id == range.id)?;
        let before = range.start.checked_sub(tail.position())?;
        // What is before was not to be sent: a rule may have changed that, but then there is a limit.
        (before <= self.config.batches.bytes as u64 && range.end <= tail.size()).then_some(*inode)
    }

    /// What is before the ranges, what is in them, and whether that is all of it.
    fn read_again(&mut self, found: &[(Inode, &Span)]) -> (Pending, Pending, bool) {
        let (mut before, mut again, mut is_whole) = (Pending::default(), Pending::default(), true);
        for (inode, range) in found {
            for (into, end) in [(&mut before, range.start), (&mut again, range.end)] {
                mem::swap(&mut self.pending, into);
                is_whole &= self.read_to(*inode, end);
                mem::swap(&mut self.pending, into);
            }
        }
        (before, again, is_whole)
    }

    fn read_to(&mut self, inode: Inode, end: u64) -> bool {
        let set = |reader: &mut Self, stop_at: Option<u64>| {
            if let Some(collecting) = &mut reader.collecting {
                collecting.is_again = stop_at.is_some();
            }
            let tail = reader.files.tails.get_mut(&inode)?;
            tail.stop_at = stop_at;
            Some(tail.position())
        };
        set(self, Some(end));
        while self.read_turn(inode) {}
        set(self, None) == Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_rest_until_there_are_enough_or_it_is_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut collecting = Collecting::new(Duration::from_secs(60), Vec::new());
        for (backlog, seconds, rests) in [
            (0, 0, false),
            (1, 10, true),
            (99, 69, true),
            (100, 69, false),
            (99, 70, false),
            // More has come, and waits no longer than the first.
            (99, 71, false),
            (0, 72, false),
            (1, 73, true),
            (1, 132, true),
            (1, 133, false),
        ] {
            assert_eq!(
                collecting.rests(backlog, 100, at(seconds)),
                rests,
                "{backlog} at {seconds}"
            );
        }
        collecting.is_over();
        assert!(collecting.rests(1, 100, at(140)) && collecting.rests_until == Some(at(200)));
    }
}
