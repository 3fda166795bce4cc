//! What is about to be sent at once, for a sink that keeps it as one object: in the checkpoint before it goes out, so that after a crash
//! the same lines go again under the same name.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pod_contract::units::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::batch::Segment;

/// Of the digest that is the name, bytes.
const NAME: usize = 8;

/// A batch that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// That of the object, whatever is left of the ranges, and whatever the settings have become.
    pub(crate) name: Box<str>,
    /// When it was read, nanoseconds since 1970.
    read_at: u64,
    /// One a file.
    pub(crate) ranges: Vec<Span>,
}

/// A part of a file; not all lines in it need to be in the batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Of the file's content.
    pub(crate) id: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Intent {
    /// To send these, read at `now`, to the sink of this name, if there may be several.
    pub(crate) fn of(segments: &[Segment], now: SystemTime, sink: Option<&str>) -> Self {
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
        let read_at = u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        let mut digest = Sha256::new();
        digest.update(read_at.to_be_bytes());
        digest.update(sink.unwrap_or_default());
        for range in &ranges {
            digest.update(&range.id);
            digest.update(range.start.to_be_bytes());
            digest.update(range.end.to_be_bytes());
        }
        Self {
            name: hex(&digest.finalize()[..NAME]).into(),
            read_at,
            ranges,
        }
    }

    pub(crate) fn read_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.read_at)
    }

    /// For the batch.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::from(&*self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Source;
    use crate::identity::Inode;

    #[test]
    fn an_intent_has_one_range_a_file_and_outlives_the_process() {
        let source = |id: &str| {
            Arc::new(Source {
                id: id.into(),
                path: "/logs/a".into(),
                inode: Inode::default(),
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
            ticks: Vec::new(),
            may_be_known: false,
        };
        let now = SystemTime::now();
        // Between 20 and 30, nothing was to be sent; at 40, something is lost.
        let segments = [
            segment(&a, 10, 20),
            segment(&b, 0, 5),
            segment(&a, 30, 40),
            segment(&a, 40, 40),
        ];
        let intent = Intent::of(&segments, now, None);
        let ranges: Vec<_> = intent
            .ranges
            .iter()
            .map(|range| (range.id.as_str(), range.start, range.end))
            .collect();
        assert_eq!(ranges, [("a", 10, 40), ("b", 0, 5)]);
        let text = serde_json::to_string(&intent).unwrap();
        let again: Intent = serde_json::from_str(&text).unwrap();
        assert_eq!((&again, again.read_at()), (&intent, intent.read_at()));
        assert_eq!((intent.name.len(), intent.read_at()), (2 * NAME, now));
        let name = |segments: &[Segment], now, sink| Intent::of(segments, now, sink).name;
        let others = [
            name(&segments[..2], now, None),
            name(&segments, now + Duration::from_nanos(1), None),
            name(&segments, now, Some("archive")),
        ];
        assert!(!others.contains(&intent.name), "{others:?}");
    }
}
