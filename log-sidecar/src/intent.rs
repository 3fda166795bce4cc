//! What is about to be sent at once, for a sink that keeps it as one object: in the checkpoint before it goes out, so that after a crash
//! the same lines go again under the same name.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::batch::{Segment, Settled};

/// A batch that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// When it was read, nanoseconds since 1970.
    read_at: u64,
    /// One a file.
    pub(crate) ranges: Vec<Span>,
}

/// A part of a file; not all lines in it need to be in the batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Of the file's content.
    pub(crate) id: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Intent {
    /// To send these, read at `now`.
    pub(crate) fn of(segments: &[Segment], now: SystemTime) -> Self {
        let mut ranges: Vec<Span> = Vec::new();
        // What tells of a loss is of no part of a file.
        let of_files = segments.iter().filter(|segment| segment.start < segment.end);
        for Segment { source, start, end, .. } in of_files {
            match ranges.iter_mut().find(|range| range.id == source.id) {
                Some(range) => range.end = *end,
                None => ranges.push(Span {
                    id: source.id.clone(),
                    start: *start,
                    end: *end,
                }),
            }
        }
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            read_at: u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX),
            ranges,
        }
    }

    pub(crate) fn read_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.read_at)
    }

    /// Are these the parts of it?
    pub(crate) fn is_of(&self, settled: &[Settled]) -> bool {
        let Some(first) = settled.iter().find(|settled| settled.start < settled.end) else {
            return self.ranges.is_empty();
        };
        let is_in = |range: &Span| first.source.id == range.id && range.start <= first.start && first.end <= range.end;
        self.ranges.iter().any(is_in)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::Source;

    #[test]
    fn an_intent_has_one_range_a_file_and_outlives_the_process() {
        let source = |id: &str| {
            Arc::new(Source {
                id: id.into(),
                path: "/logs/a".into(),
            })
        };
        let (a, b) = (source("a"), source("b"));
        let segment = |source: &Arc<Source>, start, end| Segment {
            source: Arc::clone(source),
            start,
            end,
            base: start,
            data: Vec::new().into(),
            lines: Vec::new(),
            times: Vec::new(),
            may_be_known: false,
        };
        // Between 20 and 30, nothing was to be sent.
        let segments = vec![segment(&a, 10, 20), segment(&b, 0, 5), segment(&a, 30, 40)];
        let intent = Intent::of(&segments, SystemTime::now());
        let ranges: Vec<_> = intent
            .ranges
            .iter()
            .map(|range| (range.id.as_str(), range.start, range.end))
            .collect();
        assert_eq!(ranges, [("a", 10, 40), ("b", 0, 5)]);
        let text = serde_json::to_string(&intent).unwrap();
        let again: Intent = serde_json::from_str(&text).unwrap();
        assert_eq!((&again, again.read_at()), (&intent, intent.read_at()));
        let settled = |segment: Segment| vec![segment.into_settled()];
        assert!(intent.is_of(&settled(segment(&a, 10, 20))) && intent.is_of(&settled(segment(&b, 0, 5))));
        assert!(!intent.is_of(&settled(segment(&a, 40, 50))) && !intent.is_of(&settled(segment(&b, 5, 6))));
        let gap = || segment(&a, 7, 7);
        let of_gap = Intent::of(&[gap()], SystemTime::now());
        assert!(of_gap.is_of(&settled(gap())) && !intent.is_of(&settled(gap())));
        assert!(intent.is_of(&[gap(), segment(&b, 0, 5)].map(Segment::into_settled)));
    }
}
