//! Lines in a block of bytes; pure.

mod multiline;
mod traces;
mod units;

use std::time::Duration;

pub(crate) use self::multiline::Join;
use self::multiline::{is_closed, is_cut, join, tear};
pub(super) use self::units::Units;
pub(crate) use self::units::Utf16;
use crate::batch::{Line, Mark};
use crate::recycle::Recycled;

/// What is a record.
#[derive(Debug, Clone)]
pub(crate) struct Framing {
    /// Bytes.
    pub(crate) max_record: usize,
    /// What joins lines; none, if each is a record.
    pub(crate) joins: Vec<Join>,
    /// So long after the last line, none is waited for to be joined.
    pub(crate) join_wait: Duration,
    /// Which files are UTF-16.
    pub(crate) utf16: Option<Utf16>,
}

impl Framing {
    /// What a file that begins with `head` is made of.
    pub(super) fn units_of(&self, head: &[u8]) -> Units {
        Units::of(self.utf16, head)
    }
}

/// More lines are left for the next block: a block of empty lines must not need many times its size.
const MAX_LINES: usize = 4096;

/// The longest end of a line, bytes: a carriage return and a newline in UTF-16.
pub(super) const LINE_END: usize = 4;

/// Room for the longest byte order mark, in whole units.
pub(super) const MARK: usize = 4;

/// So many NULs at the start of a line are a hole; fewer are text.
pub(super) const LEAST_HOLE: usize = 64;

/// What a block holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) lines: Vec<Line>,
    /// The bytes up to and with the last newline that was looked at.
    pub(super) consumed: usize,
    /// All of the block was looked at.
    pub(super) complete: bool,
    /// What is left begins with a hole, see [`hole_at`].
    pub(super) ends_at_hole: bool,
    units: Units,
    /// Where the lines stand in UTF-8, if the block is none.
    decoded: Vec<u8>,
}

impl Framed {
    /// Joins lines, from `start` on. The last record may go on in what is read next, so it is left, unless it is the `last` one; if
    /// there is no other, and the block `is_full`, it ends there. True if one is left.
    pub(super) fn join(&mut self, framing: &Framing, block: &[u8], start: usize, last: bool, is_full: bool) -> bool {
        if framing.joins.is_empty() || self.lines.is_empty() {
            return false;
        }
        let text = match self.units {
            Units::Bytes => block,
            Units::Little | Units::Big => &self.decoded,
        };
        self.lines = join(&framing.joins, text, &self.lines, framing.max_record);
        let Some(open) = self.lines.last_mut() else {
            return false;
        };
        let text = &text[open.range()];
        if last && is_cut(&framing.joins, text) {
            tear(open);
        }
        if last || is_closed(&framing.joins, text) {
            return false;
        }
        if (self.lines.len() > 1 || !is_full)
            && let Some(open) = self.lines.pop()
        {
            self.consumed = open.at() - start;
            return true;
        }
        self.lines.first_mut().map(tear);
        false
    }

    /// Adds the line `block[from..to]`, without its carriage return.
    pub(super) fn add(&mut self, block: &[u8], from: usize, to: usize, max: usize, mark: Mark) {
        let units = self.units;
        let end = if units.ends_with_return(&block[from..to]) {
            to - units.width()
        } else {
            to
        };
        let (end, mark) = if end - from > max {
            (from + units.whole(max), Mark::Truncated)
        } else {
            (end, mark)
        };
        let line = Line::new(from, end, mark);
        self.lines.push(match units {
            Units::Bytes => line,
            Units::Little | Units::Big => {
                let start = self.decoded.len();
                units.decode(&block[from..end], &mut self.decoded);
                let line = line.moved(start, self.decoded.len());
                self.decoded.push(b'\n');
                line
            }
        });
    }

    /// What the lines are in, and the lines.
    pub(super) fn into_parts(self, block: Recycled) -> (Recycled, Vec<Line>) {
        match self.units {
            Units::Bytes => (block, self.lines),
            Units::Little | Units::Big => (self.decoded.into(), self.lines),
        }
    }
}

/// The records of a file that is one `block`, what they are in, and how many bytes they are of.
pub(crate) fn framed(framing: &Framing, block: Vec<u8>) -> ((Recycled, Vec<Line>), usize) {
    let units = framing.units_of(&block);
    let start = units.mark_at(0, &block);
    let mut framed = frame(&block, start, framing.max_record, units);
    framed.join(framing, &block, start, true, true);
    let consumed = start + framed.consumed;
    (framed.into_parts(block.into()), consumed)
}

/// Splits `block` from `start` on at line breaks; a line longer than `max` is cut there. What follows the last break is left for later.
pub(super) fn frame(block: &[u8], start: usize, max: usize, units: Units) -> Framed {
    let mut framed = Framed {
        lines: Vec::new(),
        consumed: 0,
        complete: true,
        ends_at_hole: false,
        units,
        decoded: Vec::new(),
    };
    let mut from = start;
    for line_break in units.breaks(&block[start..]) {
        let to = start + line_break;
        framed.complete = framed.lines.len() < MAX_LINES;
        if !framed.complete || (from > start && hole_at(&block[from..to], units) > 0) {
            break;
        }
        framed.add(block, from, to, max, Mark::Whole);
        from = to + units.width();
    }
    framed.consumed = from - start;
    framed.ends_at_hole = from > start && hole_at(&block[from..], units) > 0;
    framed.complete &= !framed.ends_at_hole;
    framed
}

/// How many of the `bytes` that begin a line belong to a hole: a writer without `O_APPEND` goes on where it was when the file was
/// truncated, and no line begins with so many NULs.
pub(super) fn hole_at(bytes: &[u8], units: Units) -> usize {
    let nuls = bytes.iter().take_while(|&&byte| byte == 0).count();
    if nuls < LEAST_HOLE { 0 } else { units.whole(nuls) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(block: &[u8], max: usize) -> (Vec<(u32, String, Mark)>, usize) {
        let framed = frame(block, 0, max, Units::Bytes);
        let text = |l: &Line| String::from_utf8(block[l.range()].to_vec()).unwrap();
        (
            framed.lines.iter().map(|l| (l.start, text(l), l.mark)).collect(),
            framed.consumed,
        )
    }

    #[test]
    fn lines_end_with_a_newline_and_may_be_empty() {
        let whole = |start, text: &str| (start, text.to_owned(), Mark::Whole);
        assert_eq!(
            texts(b"a\n\nb\r\nrest", 9),
            (vec![whole(0, "a"), whole(2, ""), whole(3, "b")], 6)
        );
        assert_eq!(texts(b"no end", 9), (vec![], 0));
        assert_eq!(texts(b"\r\n", 9), (vec![whole(0, "")], 2));
    }

    #[test]
    fn a_line_is_cut_beyond_the_limit_only() {
        for (length, mark) in [(7, Mark::Whole), (8, Mark::Whole), (9, Mark::Truncated)] {
            let (lines, consumed) = texts(format!("{}\n", "x".repeat(length)).as_bytes(), 8);
            assert_eq!(
                (lines[0].1.len(), lines[0].2, consumed),
                (length.min(8), mark, length + 1)
            );
        }
    }

    #[test]
    fn a_block_gives_a_limited_number_of_lines() {
        for (count, complete) in [(MAX_LINES - 1, true), (MAX_LINES, true), (MAX_LINES + 1, false)] {
            let framed = frame(&vec![b'\n'; count], 0, 8, Units::Bytes);
            assert_eq!((framed.lines.len(), framed.complete), (count.min(MAX_LINES), complete));
            assert_eq!(framed.consumed, framed.lines.len());
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(block in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200)) {
            let framed = frame(&block, 0, usize::MAX, Units::Bytes);
            let mut rebuilt = Vec::new();
            for line in &framed.lines {
                prop_assert_eq!(line.range().start, rebuilt.len());
                rebuilt.extend_from_slice(&block[line.range()]);
                if block[line.range().end] == b'\r' {
                    rebuilt.push(b'\r');
                }
                rebuilt.push(b'\n');
            }
            prop_assert_eq!(&rebuilt[..], &block[..framed.consumed]);
            prop_assert!(!block[framed.consumed..].contains(&b'\n'));
        }
    }
}
