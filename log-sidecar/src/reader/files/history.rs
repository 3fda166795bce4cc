//! What is there at a first start, when no checkpoint says what was read.

use std::time::Duration;

use pod_contract::config::Word;
use pod_contract::units::Bytes;

use super::Files;
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

/// Decides at the first look of a first start.
#[derive(Debug)]
pub(super) struct History {
    start: Start,
    ignore_older: Option<Duration>,
    /// Nanoseconds since 1970.
    now: i64,
}

impl History {
    pub(super) fn new(start: Start, ignore_older: Option<Duration>, now: i64) -> Self {
        Self {
            start,
            ignore_older,
            now,
        }
    }

    fn is_older(&self, file: &Found, age: Duration) -> bool {
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        file.modified < self.now.saturating_sub(age)
    }

    /// Was it rotated so recently that its lines are wanted?
    pub(super) fn wants_rotated(&self, file: &Found) -> bool {
        self.start != Start::Tail && !self.is_older(file, self.ignore_older.unwrap_or(ROTATED_WITHIN))
    }

    /// Is a file that matches followed from its end only?
    pub(super) fn passes_over(&self, file: &Found) -> bool {
        self.start == Start::Tail || self.ignore_older.is_some_and(|age| self.is_older(file, age))
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
