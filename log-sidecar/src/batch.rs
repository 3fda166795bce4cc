//! Lines on their way: slices of the blocks they were read in, from the reader to the encoder without a copy.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use pod_contract::units::hex_digits;
use serde::{Deserialize, Serialize};

use crate::identity::Inode;
use crate::parse::{Millis, Nanos};
use crate::recycle::Recycled;

/// Where lines come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Names the content, see [`crate::identity::content_id`].
    pub(crate) id: String,
    /// The path under which the file was first seen.
    pub(crate) path: String,
    /// Which file that was; the content may be in another one by now.
    pub(crate) inode: Inode,
}

/// One line inside its segment's data; small, since a block of empty lines has one a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Where it starts in the file, from where the data does: the same, unless it was moved.
    at: u32,
    pub(crate) mark: Mark,
}

impl Line {
    /// A block is far smaller than 4 GiB.
    pub(crate) fn new(start: usize, end: usize, mark: Mark) -> Self {
        let narrow = |position| u32::try_from(position).expect("a block is smaller than 4 GiB");
        Self {
            start: narrow(start),
            end: narrow(end),
            at: narrow(start),
            mark,
        }
    }

    /// The same line, with its text elsewhere in the data.
    pub(crate) fn moved(self, start: usize, end: usize) -> Self {
        Self {
            at: self.at,
            ..Self::new(start, end, self.mark)
        }
    }

    /// Where it starts in the file, from where its data does.
    pub(crate) fn at(self) -> usize {
        self.at as usize
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What a record is, if not a whole line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    #[default]
    Whole,
    /// Cut at the record limit.
    Truncated,
    /// Joined of lines up to the record limit; the next record goes on.
    Split,
    /// Without its newline: its writer is gone, or the process stopped before it was ended.
    Partial,
    /// It stands for lines that are lost.
    Gap,
}

impl Mark {
    /// As records tell it.
    pub(crate) fn flag(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Truncated => Some("truncated"),
            Self::Split => Some("split"),
            Self::Partial => Some("partial"),
            Self::Gap => Some("gap"),
        }
    }
}

/// A gap-free range of one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source: Arc<Source>,
    /// The range of the file that is settled when every line is.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Where `data` starts in the file; before `start` when it begins with bytes that were read for comparison.
    pub(crate) base: u64,
    pub(crate) data: Recycled,
    pub(crate) lines: Vec<Line>,
    /// When each line was written, as it says itself; empty if nobody wants to know.
    pub(crate) times: Vec<Option<Millis>>,
    /// For a sink that knows lines by their times: one of each that no other line of the file has, in the order of the file, and the same
    /// after a restart.
    pub(crate) ticks: Vec<Nanos>,
    /// A run that was killed may have sent it.
    pub(crate) may_be_known: bool,
}

impl Segment {
    /// As it was read; what stands before `sent_up_to` may have been sent by a run that was killed.
    pub(crate) fn new(
        source: &Arc<Source>,
        range: Range<u64>,
        base: u64,
        (data, lines): (Recycled, Vec<Line>),
        sent_up_to: u64,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            may_be_known: range.start < sent_up_to,
            start: range.start,
            end: range.end,
            base,
            data,
            lines,
            times: Vec::new(),
            ticks: Vec::new(),
        }
    }

    /// Where `line` starts in the file, bytes.
    pub(crate) fn offset_of(&self, line: &Line) -> u64 {
        self.base + u64::from(line.at)
    }

    /// Memory in use.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.data.capacity()
            + self.lines.capacity() * size_of::<Line>()
            + self.times.capacity() * size_of::<Option<Millis>>()
            + self.ticks.capacity() * size_of::<Nanos>()
    }

    pub(crate) fn into_settled(self) -> Settled {
        Settled {
            source: self.source,
            start: self.start,
            end: self.end,
        }
    }
}

/// What is delivered at once.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) segments: Vec<Segment>,
    pub(crate) read_at: SystemTime,
    /// Of the object that it is to be, for a sink that keeps objects: the same whenever it is sent.
    pub(crate) name: Option<Arc<str>>,
}

/// What the records of a batch have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lot<'b> {
    pub(crate) read_at: SystemTime,
    pub(crate) name: Option<&'b str>,
    /// How many they are.
    pub(crate) records: usize,
}

/// A batch of which every record is settled.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) ranges: Vec<Settled>,
    pub(crate) bytes: usize,
    pub(crate) name: Option<Arc<str>>,
}

/// One line with all that a sink wants to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'b> {
    pub(crate) source: &'b Source,
    /// Where the line starts in the file, bytes.
    pub(crate) offset: u64,
    pub(crate) text: &'b [u8],
    pub(crate) mark: Mark,
    /// When it was written, as far as that is known.
    pub(crate) time: Option<Millis>,
    /// See [`Segment::ticks`].
    pub(crate) tick: Option<Nanos>,
    /// It may be at the sink already.
    pub(crate) may_be_known: bool,
}

impl Record<'_> {
    /// The same for the same line of the same file, whenever and however often it is sent. The checksum keeps apart what stood at one
    /// offset before and after a file was rewritten unnoticed, or before and after a partial line was completed.
    pub(crate) fn id(&self) -> String {
        let mut id = Vec::new();
        self.write_id(&mut id);
        String::from_utf8_lossy(&id).into_owned()
    }

    /// Appends the id, which needs no escapes.
    pub(crate) fn write_id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.source.id.as_bytes());
        out.push(b'-');
        out.extend_from_slice(itoa::Buffer::new().format(self.offset).as_bytes());
        out.push(b'-');
        let checksum = crc32fast::hash(self.text).to_be_bytes();
        out.extend(checksum.into_iter().flat_map(hex_digits));
    }
}

/// Bytes of the texts of all of them.
pub(crate) fn text_bytes(records: &[Record<'_>]) -> usize {
    records.iter().map(|record| record.text.len()).sum()
}

/// A range of one file that is settled.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) source: Arc<Source>,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Batch {
    /// One of no name.
    pub(crate) fn new(segments: Vec<Segment>, read_at: SystemTime) -> Self {
        Self {
            segments,
            read_at,
            name: None,
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.segments.iter().flat_map(|segment| {
            segment.lines.iter().enumerate().map(|(index, line)| Record {
                source: &segment.source,
                offset: segment.offset_of(line),
                text: &segment.data[line.range()],
                mark: line.mark,
                time: segment.times.get(index).copied().flatten(),
                tick: segment.ticks.get(index).copied(),
                may_be_known: segment.may_be_known,
            })
        })
    }

    /// What the budget counts.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(Segment::bytes).sum()
    }

    pub(crate) fn lot(&self) -> Lot<'_> {
        Lot {
            read_at: self.read_at,
            name: self.name.as_deref(),
            records: self.segments.iter().map(|segment| segment.lines.len()).sum(),
        }
    }

    pub(crate) fn into_done(self) -> Done {
        Done {
            bytes: self.bytes(),
            ranges: self.segments.into_iter().map(Segment::into_settled).collect(),
            name: self.name,
        }
    }
}
