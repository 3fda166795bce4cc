//! What was read and is not on its way yet.

use std::time::{Duration, Instant};

use crate::batch::Segment;

/// The next batch.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) segments: Vec<Segment>,
    pub(super) bytes: usize,
    pub(super) records: usize,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn push(&mut self, segment: Segment) {
        self.since.get_or_insert_with(Instant::now);
        self.bytes += segment.bytes();
        self.records += segment.lines.len();
        self.segments.push(segment);
    }

    pub(super) fn append(&mut self, other: Self) {
        other.segments.into_iter().for_each(|segment| self.push(segment));
    }

    /// When its first line has waited so long.
    pub(super) fn due_at(&self, patience: Duration) -> Option<Instant> {
        self.since.map(|since| since + patience)
    }
}
