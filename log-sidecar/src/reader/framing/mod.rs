//! Lines in a block of bytes; pure.

mod multiline;
mod traces;

use std::time::Duration;

use memchr::memchr_iter;

pub(crate) use self::multiline::Join;
use self::multiline::{is_closed, is_cut, join, tear};
use crate::batch::{Line, Mark};

/// What is a record.
#[derive(Debug, Clone)]
pub(crate) struct Framing {
    /// Bytes.
    pub(crate) max_record: usize,
    /// What joins lines; none, if each is a record.
    pub(crate) joins: Vec<Join>,
    /// So long after the last line, none is waited for to be joined.
    pub(crate) join_wait: Duration,
}

/// More lines are left for the next block: a block of empty lines must not need many times its size.
const MAX_LINES: usize = 4096;

/// What a block holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) lines: Vec<Line>,
    /// The bytes up to and with the last newline that was looked at.
    pub(super) consumed: usize,
    /// All of the block was looked at.
    pub(super) complete: bool,
}

impl Framed {
    /// Joins lines, from `start` on. The last record may go on in what is read next, so it is left, unless it is the `last` one; if
    /// there is no other, and the block `is_full`, it ends there. True if one is left.
    pub(super) fn join(&mut self, framing: &Framing, block: &[u8], start: usize, last: bool, is_full: bool) -> bool {
        if framing.joins.is_empty() || self.lines.is_empty() {
            return false;
        }
        self.lines = join(&framing.joins, block, &self.lines, framing.max_record);
        let Some(open) = self.lines.last_mut() else {
            return false;
        };
        let text = &block[open.range()];
        if last && is_cut(&framing.joins, text) {
            tear(open);
        }
        if last || is_closed(&framing.joins, text) {
            return false;
        }
        if (self.lines.len() > 1 || !is_full)
            && let Some(open) = self.lines.pop()
        {
            self.consumed = open.start as usize - start;
            return true;
        }
        self.lines.first_mut().map(tear);
        false
    }
}

/// The records of a block that nothing comes after, and how many bytes they are of.
pub(crate) fn framed(framing: &Framing, block: &[u8]) -> (Vec<Line>, usize) {
    let mut framed = frame(block, 0, framing.max_record);
    framed.join(framing, block, 0, true, true);
    (framed.lines, framed.consumed)
}

/// Splits `block` from `start` on at newlines; a line longer than `max` is cut there. What follows the last newline is left for later.
pub(super) fn frame(block: &[u8], start: usize, max: usize) -> Framed {
    let mut lines = Vec::new();
    let mut from = start;
    for newline in memchr_iter(b'\n', &block[start..]) {
        if lines.len() == MAX_LINES {
            return Framed {
                lines,
                consumed: from - start,
                complete: false,
            };
        }
        let newline = start + newline;
        lines.push(line(block, from, newline, max, Mark::Whole));
        from = newline + 1;
    }
    Framed {
        lines,
        consumed: from - start,
        complete: true,
    }
}

/// The line `block[from..to]`, without its carriage return.
pub(super) fn line(block: &[u8], from: usize, to: usize, max: usize, mark: Mark) -> Line {
    let end = if to > from && block[to - 1] == b'\r' {
        to - 1
    } else {
        to
    };
    if end - from > max {
        Line::new(from, from + max, Mark::Truncated)
    } else {
        Line::new(from, end, mark)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(block: &[u8], max: usize) -> (Vec<(u32, String, Mark)>, usize) {
        let framed = frame(block, 0, max);
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
            let framed = frame(&vec![b'\n'; count], 0, 8);
            assert_eq!((framed.lines.len(), framed.complete), (count.min(MAX_LINES), complete));
            assert_eq!(framed.consumed, framed.lines.len());
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(block in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200)) {
            let framed = frame(&block, 0, usize::MAX);
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
