//! For a sink that keeps what is sent at once as one object: lines stay in their files until there are enough of them or it is time, and
//! after a crash the same ones go together again.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use super::archive::Archive;
use super::pending::Pending;
use super::tail::Tail;
use super::{MAX_BATCHES, Phase, Reader};
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
    /// What was out when the last run was ended, and has not been looked at.
    left: VecDeque<Intent>,
    /// What is out, in its order.
    intents: Vec<Intent>,
    /// What is read belongs to a batch that was cut before.
    pub(super) is_again: bool,
}

impl Collecting {
    /// With what an earlier run has left.
    pub(super) fn new(longest: Duration, left: Vec<Intent>) -> Self {
        Self {
            longest,
            since: None,
            rests_until: None,
            left: left.into(),
            intents: Vec::new(),
            is_again: false,
        }
    }

    /// For the checkpoint.
    pub(super) fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.left.iter().chain(&self.intents)
    }

    /// Everything is read.
    pub(super) fn is_over(&mut self) {
        self.since = None;
    }

    /// What is there has waited already.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.since = now.checked_sub(self.longest);
    }

    pub(super) fn settle(&mut self, name: &str) {
        self.intents.retain(|intent| *intent.name != *name);
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
        let archives = self.files.archives.iter();
        let readable = archives.filter(|archive| !archive.is_read && !archive.trouble.is_there());
        let backlog = tails.chain(readable.map(Archive::backlog)).sum();
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

    /// What was out when the last run was ended. Of what is not there any more, the rest has the name of the whole: if the store has that
    /// already, it has the rest.
    pub(super) fn send_what_was_out(&mut self) {
        while let Some(mut intent) = self.next_left() {
            let wanted = intent.ranges.len();
            let (before, again) = self.read_again(&mut intent.ranges);
            if intent.ranges.len() < wanted {
                tracing::warn!(
                    object = &*intent.name,
                    "not all is there that was to be one object when the last run was ended: the rest goes under its name"
                );
            }
            // What was not to be sent, and is by now.
            self.pending.append(before);
            self.seal();
            if let Some(collecting) = &mut self.collecting {
                collecting.left.pop_front();
            }
            let (name, read_at) = (intent.shared_name(), intent.read_at());
            if again.is_empty() {
                continue;
            }
            // As it was, it is on disk already.
            let is_known = intent.ranges.len() == wanted;
            if let Some(collecting) = self.collecting.as_mut().filter(|_| is_known) {
                collecting.intents.push(intent);
            } else if !self.note(intent) {
                self.pending.append(again);
                continue;
            }
            self.dispatch(again, read_at, Some(name));
        }
    }

    /// As long as there is room to send it.
    fn next_left(&self) -> Option<Intent> {
        let next = self.collecting.as_ref()?.left.front()?;
        if self.out_batches + 2 > 2 * MAX_BATCHES {
            tracing::warn!("more objects were out when the last run was ended than can be sent again as they were");
            return None;
        }
        Some(next.clone())
    }

    /// The file that has all of it, and of which nothing of it is read.
    fn holder(&self, range: &Span) -> Option<Inode> {
        let mut tails = self.files.tails.iter();
        let (inode, tail) = tails.find(|(_, tail)| tail.source.id == range.id)?;
        (tail.position() <= range.start && range.end <= tail.size()).then_some(*inode)
    }

    /// What is before the ranges, as far as it did not fill a batch of its own, and what is in them; those that are not as they were are
    /// taken out, and what was read of them is before them, too.
    fn read_again(&mut self, ranges: &mut Vec<Span>) -> (Pending, Pending) {
        let (mut before, mut again) = (Pending::default(), Pending::default());
        ranges.retain(|range| {
            let Some(inode) = self.holder(range) else { return false };
            mem::swap(&mut self.pending, &mut before);
            let is_reached = self.read_to(inode, range, range.start, false);
            mem::swap(&mut self.pending, &mut before);
            if !is_reached {
                return false;
            }
            let kept = mem::take(&mut self.pending);
            let is_whole = self.read_to(inode, range, range.end, true);
            let read = mem::replace(&mut self.pending, kept);
            if is_whole { &mut again } else { &mut before }.append(read);
            is_whole
        });
        (before, again)
    }

    /// Reads up to `end`; false if it is not the same file any more, or there is no room.
    fn read_to(&mut self, inode: Inode, range: &Span, end: u64, is_again: bool) -> bool {
        if let Some(collecting) = &mut self.collecting {
            collecting.is_again = is_again;
        }
        self.stop_at(inode, Some(end));
        let mut may_go_on = true;
        while may_go_on && self.read_turn(inode) {
            let is_same = self
                .files
                .tails
                .get(&inode)
                .is_some_and(|tail| tail.source.id == range.id);
            may_go_on = is_same && self.out_batches + 2 <= 2 * MAX_BATCHES;
        }
        if let Some(collecting) = &mut self.collecting {
            collecting.is_again = false;
        }
        let position = self.stop_at(inode, None);
        may_go_on && position == Some(end)
    }

    /// Where it is read to.
    fn stop_at(&mut self, inode: Inode, end: Option<u64>) -> Option<u64> {
        let tail = self.files.tails.get_mut(&inode)?;
        tail.stop_at = end;
        Some(tail.position())
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
        collecting.hurry(at(134));
        assert!(!collecting.rests(1, 100, at(134)));
        collecting.is_over();
        assert!(collecting.rests(1, 100, at(140)) && collecting.rests_until == Some(at(200)));
    }
}
