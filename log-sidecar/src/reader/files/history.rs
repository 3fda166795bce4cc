//! What is there at a first start, when no checkpoint says what was read.

use std::path::PathBuf;
use std::time::Duration;

use pod_contract::config::Word;
use pod_contract::units::Bytes;

use super::Files;
use super::look::Look;
use crate::discover::{Found, Kind};

/// Rotated files that were written to before this time are passed over at a first start, unless the user says otherwise.
const ROTATED_WITHIN: Duration = Duration::from_secs(3600);
/// So many names are told.
const MAX_NAMES: usize = 10;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Where the last run ended; without one, at the head.
    Checkpoint,
    /// At the head, whatever the last run sent.
    Head,
    /// Where the last run ended; without one, at the end.
    Tail,
}

impl Word for Start {
    const FORM: &'static str = "checkpoint, head or tail";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("checkpoint", Self::Checkpoint),
        ("head", Self::Head),
        ("tail", Self::Tail),
    ];
}

/// Births come from a coarser clock than ours, nanoseconds.
const CLOCK_GRAIN: i64 = 20_000_000;

/// Decides about what is there at a first start.
#[derive(Debug)]
pub(super) struct History {
    start: Start,
    ignore_older: Option<Duration>,
    /// Nanoseconds since 1970.
    started_at: i64,
    /// What could not be looked at yet; None before the first look.
    not_seen: Option<Vec<PathBuf>>,
}

impl History {
    pub(super) fn new(start: Start, ignore_older: Option<Duration>, started_at: i64) -> Self {
        Self {
            start,
            ignore_older,
            started_at,
            not_seen: None,
        }
    }

    /// Was the file there before the start? Without its birth, that is known of what the first look has found.
    fn has(&self, file: &Found) -> bool {
        let is_first_seen = match &self.not_seen {
            None => true,
            Some(not_seen) => not_seen.iter().any(|dir| file.path.starts_with(dir)),
        };
        is_first_seen && !file.inode.is_born_since(self.started_at - CLOCK_GRAIN)
    }

    /// A look has come to its end, and could not read these.
    pub(super) fn note<'p>(&mut self, look: &Look<'_>, unreadable: impl Iterator<Item = &'p PathBuf>) {
        let hidden = look
            .hidden()
            .map(|(path, _)| path.to_owned())
            .chain(unreadable.cloned());
        self.not_seen = Some(match self.not_seen.take() {
            None => hidden.collect(),
            Some(before) => hidden.filter(|path| before.contains(path)).collect(),
        });
    }

    fn is_older(&self, file: &Found, age: Duration) -> bool {
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        file.modified < self.started_at.saturating_sub(age)
    }

    /// Was it rotated before the start, and so long ago that its lines are not wanted?
    pub(super) fn passes_over_rotated(&self, file: &Found) -> bool {
        self.has(file)
            && (self.start == Start::Tail || self.is_older(file, self.ignore_older.unwrap_or(ROTATED_WITHIN)))
    }

    /// Is a file that matches followed from its end only?
    pub(super) fn passes_over(&self, file: &Found) -> bool {
        self.has(file) && (self.start == Start::Tail || self.ignore_older.is_some_and(|age| self.is_older(file, age)))
    }
}

/// Files that are not read, by reason.
#[derive(Debug, Default)]
pub(super) struct PassedOver(Vec<(&'static str, String)>);

impl Files {
    /// Notes that what `file` holds now is not read.
    pub(super) fn pass_over(&mut self, file: &Found, why: &'static str) {
        if file.kind != Kind::Other && file.size > 0 {
            let told = format!("{} ({})", file.path.display(), Bytes(file.size));
            self.passed_over.0.push((why, told));
        }
    }

    /// Tells what was passed over in a look.
    pub(super) fn tell_passed_over(&mut self) {
        let mut left = std::mem::take(&mut self.passed_over.0);
        while let Some((why, _)) = left.first() {
            let why = *why;
            let (same, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|(reason, _)| *reason == why);
            left = others;
            let mut names: Vec<_> = same.iter().take(MAX_NAMES).map(|(_, told)| told.as_str()).collect();
            let more = same.len() - names.len();
            let and_more = format!("and {more} more");
            names.extend((more > 0).then_some(and_more.as_str()));
            tracing::warn!(files = same.len(), names = names.join(", "), why, "not read");
        }
    }
}
