//! One turn of reading: a block, and the lines in it.

use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{SeekFrom, seek};

use super::{Tail, modified, pread_into};
use crate::batch::{Line, Mark, Segment};
use crate::identity::{GUARD, HEAD};
use crate::lease::Writers;
use crate::reader::former::Former;
use crate::reader::framing::{Framing, LEAST_HOLE, LINE_END, MARK, Units, frame, hole_at};
use crate::recycle::{Pool, Recycled};

/// One read at most, so that files take turns.
pub(in crate::reader) const BLOCK: usize = 256 * 1024;

/// What may still be written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::reader) enum Expected {
    More,
    /// Nobody is left who could, as it was at the last look.
    Nothing,
    /// It is not waited for.
    Whatever,
}

/// What one turn of reading found.
#[derive(Debug)]
pub(in crate::reader) enum Turn {
    Segment(Segment),
    /// Nothing to read now.
    Idle,
    /// Read something that is no whole record yet.
    More,
    /// Passed over so many bytes that nobody has written.
    Hole(u64),
    /// The file was truncated or replaced in place; it is read from its start under a new id.
    Reset(Box<Former>),
}

impl Tail {
    /// Reads one block. If nothing more is expected, the start of a line without end is a record too.
    pub(in crate::reader) fn turn(
        &mut self,
        blocks: &Arc<Pool>,
        framing: &Framing,
        expected: Expected,
    ) -> std::io::Result<Turn> {
        let max_record = framing.max_record;
        let meta = self.file.metadata()?;
        let (size, modified) = (self.up_to_stop(meta.len()), modified(&meta));
        let last = match expected {
            Expected::More => self.stop_at.is_some(),
            Expected::Nothing => self.stop_at.is_some() || size == self.looked_at,
            Expected::Whatever => true,
        };
        if size < self.position {
            self.seen = self.seen.max(self.measured);
            return Ok(self.reset());
        }
        // Written anew after the look, before anything of it was read: a copy of what that has seen is a file of its own.
        self.measured = self.measured.min(meta.len());
        // Written anew, and as long as before.
        let is_touched = std::mem::replace(&mut self.modified, modified) != modified;
        if is_touched && size == self.looked_at && self.is_changed() {
            return Ok(self.reset());
        }
        let is_due = |at: Instant| size == self.looked_at && at <= Instant::now();
        let joins_no_more = last || self.due_at(framing).is_some_and(is_due);
        if size == self.looked_at && !self.in_nuls && !(joins_no_more && size > self.unfinished_from()) {
            return Ok(Turn::Idle);
        }
        if size != self.looked_at {
            self.grew_at = Instant::now();
            self.writers = Writers::Unknown;
        }
        // A block that holds more than the longest record shows whether a line is too long.
        let want = (size - self.position).min((BLOCK.max(max_record + LINE_END) + MARK) as u64);
        let behind = self.guard.len();
        let mut block = blocks.take(behind + usize::try_from(want).map_err(std::io::Error::other)?);
        pread_into(
            &self.file,
            self.position - behind as u64,
            &mut block,
            behind as u64 + want,
        )?;
        if !block.starts_with(&self.guard) {
            return Ok(self.reset());
        }
        if self.in_nuls && size == self.looked_at && block[behind..].iter().all(|&byte| byte == 0) {
            return Ok(Turn::Idle);
        }
        self.seen = meta.len();
        let before = (self.looked_at, self.long, self.in_nuls);
        self.is_open = false;
        self.looked_at = self.position + (block.len() - behind) as u64;
        let turn = match self.long.take() {
            Some(start) => self.in_long_line(start, &block, behind, framing, last),
            None => self.at_line_start(block, behind, framing, (last, joins_no_more)),
        };
        if turn.is_err() {
            (self.looked_at, self.long, self.in_nuls) = before;
        }
        turn
    }

    fn at_line_start(
        &mut self,
        mut block: Recycled,
        behind: usize,
        framing: &Framing,
        (last, joins_no_more): (bool, bool),
    ) -> std::io::Result<Turn> {
        let (max_record, units) = (framing.max_record, self.units_of(&block, framing));
        if units.is_torn_at(self.position) && block.len() > behind {
            let start = self.position;
            self.advance(&block, 1);
            self.looked_at = self.position;
            self.frontier.settle(start, self.position);
            return Ok(Turn::More);
        }
        // A mark goes with the first line: alone, it would be no evidence of which file it is.
        let from = behind + units.mark_at(self.position, &block[behind..]);
        self.is_blank = from == block.len();
        // NULs up to the end of the file are room that somebody has made for lines to come.
        let text = block[behind..].iter().rposition(|&byte| byte != 0);
        let text = behind + text.map_or(0, |at| units.around(at + 1)).min(block.len() - behind);
        self.in_nuls = self.is_room(text - behind, block.len() - behind);
        if self.in_nuls {
            block.truncate(text);
            self.looked_at = self.size();
        }
        if hole_at(&block[behind..], units) > 0 {
            return self.at_hole(&block[behind..], units);
        }
        let mut framed = frame(&block, from, max_record, units);
        if !framed.complete {
            self.looked_at = self.position + (from - behind + framed.consumed) as u64;
        }
        let unread = block.len() - from;
        if framed.consumed == 0 && unread >= max_record + LINE_END {
            self.long = Some(self.position);
            self.advance(&block, from - behind + units.whole(unread));
            return Ok(Turn::More);
        }
        let is_end = (last || joins_no_more) && self.looked_at == self.size();
        // It may have grown since it was read: only a block that is full can end a record.
        let is_full = !framed.complete || unread >= BLOCK.max(max_record + LINE_END);
        let joins_no_more = (joins_no_more && is_end) || framed.ends_at_hole;
        self.is_open = framed.join(framing, &block, from, joins_no_more, is_full);
        if last && is_end && framed.consumed < unread {
            framed.add(&block, from + framed.consumed, block.len(), max_record, Mark::Partial);
            framed.consumed = unread;
        }
        if framed.lines.is_empty() {
            return Ok(Turn::Idle);
        }
        let start = self.position;
        self.advance(&block, from - behind + framed.consumed);
        block.truncate(from + framed.consumed);
        let base = start - behind as u64;
        self.ends.note(base, &block, behind, &self.head, units);
        Ok(self.segment(start, base, framed.into_parts(block)))
    }

    /// Of `unread` bytes, those from `text` on are NULs: is there nothing else up to the end of the file? That is looked at once for a
    /// size.
    fn is_room(&mut self, text: usize, unread: usize) -> bool {
        let nuls = unread - text;
        if nuls == 0 {
            return false;
        }
        // Also where it is not to be read to its end.
        let size = self.file.metadata().map_or(self.looked_at, |meta| meta.len());
        let reaches_end = self.position + unread as u64 == size;
        let is_room = reaches_end
            || self.room_of == Some(size)
            || (nuls >= LEAST_HOLE && self.end_of_nuls(self.position + text as u64).is_none());
        if is_room {
            self.room_of = Some(size);
        }
        is_room
    }

    /// Passes over a hole, see [`hole_at`].
    fn at_hole(&mut self, unread: &[u8], units: Units) -> std::io::Result<Turn> {
        let start = self.position;
        let in_block = unread.iter().position(|&byte| byte != 0).map(|at| start + at as u64);
        let Some(end) = in_block.or_else(|| self.end_of_nuls(start + unread.len() as u64)) else {
            self.in_nuls = true;
            self.looked_at = self.size();
            return Ok(Turn::Idle);
        };
        let end = end - (end - start) % units.width() as u64;
        let guarded = end.saturating_sub(GUARD);
        let (head, guard) = (self.pread(0, end.min(HEAD))?, self.pread(guarded, end - guarded)?);
        (self.head, self.guard) = (head, guard);
        self.position = end;
        self.looked_at = end;
        self.frontier.settle(start, end);
        Ok(Turn::Hole(end - start))
    }

    /// Where something else than a NUL stands, from `offset` on.
    fn end_of_nuls(&self, mut offset: u64) -> Option<u64> {
        loop {
            offset = seek(&self.file, SeekFrom::Data(offset)).ok()?;
            let block = self
                .pread(offset, BLOCK as u64)
                .ok()
                .filter(|block| !block.is_empty())?;
            match block.iter().position(|&byte| byte != 0) {
                Some(at) => return Some(offset + at as u64),
                None => offset += block.len() as u64,
            }
        }
    }

    fn in_long_line(
        &mut self,
        start: u64,
        block: &[u8],
        behind: usize,
        framing: &Framing,
        last: bool,
    ) -> std::io::Result<Turn> {
        let (units, unread) = (self.units_of(block, framing), &block[behind..]);
        let (consumed, ends) = match units.breaks(unread).next() {
            Some(at) => (at + units.width(), true),
            None if last && self.looked_at == self.size() => (unread.len(), true),
            None => (units.whole(unread.len()), false),
        };
        if !ends {
            let turn = if consumed > 0 { Turn::More } else { Turn::Idle };
            self.advance(block, consumed);
            self.long = Some(start);
            return Ok(turn);
        }
        let mut raw = self.pread(start, (MARK + units.whole(framing.max_record)) as u64)?;
        let mark = units.mark_at(start, &raw);
        raw.drain(..mark);
        raw.truncate(units.whole(framing.max_record));
        let data = units.decoded(raw);
        self.advance(block, consumed);
        // The rest of the block was not looked at.
        self.looked_at = self.position;
        let lines = vec![Line::new(0, data.len(), Mark::Truncated)];
        Ok(self.segment(start, start + mark as u64, (data.into(), lines)))
    }

    /// What was read from `start` up to the position.
    fn segment(&self, start: u64, base: u64, parts: (Recycled, Vec<Line>)) -> Turn {
        Turn::Segment(Segment::new(
            &self.source,
            start..self.position,
            base,
            parts,
            self.sent_up_to,
        ))
    }

    /// Moves over `count` bytes after the guard of `block`.
    fn advance(&mut self, block: &[u8], count: usize) {
        let end = self.guard.len() + count;
        if self.position < HEAD {
            let more = count.min((HEAD - self.position) as usize);
            self.head
                .extend_from_slice(&block[self.guard.len()..self.guard.len() + more]);
        }
        self.position += count as u64;
        self.guard = block[end.saturating_sub(GUARD as usize)..end].to_vec();
    }

    /// What the file is made of; `block` is what was read of it, with the guard.
    fn units_of(&self, block: &[u8], framing: &Framing) -> Units {
        let is_head_in_block = self.position <= GUARD;
        framing.units_of(if is_head_in_block { block } else { &self.head })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::time::Duration;

    use pod_contract::config::Setting as _;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::Batch;
    use crate::identity::Inode;
    use crate::reader::framing::Join;
    use crate::reader::framing::Utf16;

    /// Each line is a record.
    fn lines() -> Framing {
        Framing {
            max_record: 1000,
            joins: Vec::new(),
            join_wait: Duration::ZERO,
            utf16: None,
        }
    }

    fn followed(file: &tempfile::NamedTempFile) -> Tail {
        let inode = Inode::of(file.as_file()).unwrap();
        Tail::new(file.reopen().unwrap(), inode, "a", &Arc::from("pod")).unwrap()
    }

    fn encoded(text: &str, utf16: Option<Utf16>) -> Vec<u8> {
        let units = text.encode_utf16();
        match utf16 {
            None => text.into(),
            Some(Utf16::Big) => units.flat_map(u16::to_be_bytes).collect(),
            Some(_) => units.flat_map(u16::to_le_bytes).collect(),
        }
    }

    /// Where in a file each record of `text` starts, and its text.
    fn places(text: &str, utf16: Option<Utf16>) -> Vec<(u64, String)> {
        let mut at = 0;
        let place = |line: &str| {
            let start = at;
            at += encoded(line, utf16).len() as u64;
            let text = line.strip_suffix('\n').unwrap_or(line);
            let text = text.strip_suffix('\r').unwrap_or(text);
            (start, text.to_owned())
        };
        let mut places: Vec<_> = text.split_inclusive('\n').map(place).collect();
        if let Some(text) = places[0].1.strip_prefix('\u{feff}') {
            places[0] = (encoded("\u{feff}", utf16).len() as u64, text.to_owned());
        }
        places
    }

    proptest! {
        /// Whatever bytes stand in them, wherever what is read of a file ends, and before a hole or after it.
        #[test]
        fn lines_of_utf16_are_those_of_utf8(
            text in "([a-c\r\n\u{a0a}\u{d0d}\u{20ac}\u{1d11e}]|\n){0,60}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            utf16 in prop::option::of(prop_oneof![Just(Utf16::Little), Just(Utf16::Big), Just(Utf16::Evident)]),
            is_marked in any::<bool>(),
            hole in prop_oneof![Just(0), 64..300_usize],
        ) {
            let mark = if is_marked || utf16 == Some(Utf16::Evident) { "\u{feff}" } else { "" };
            let (text, after) = (format!("{mark}{text}\n"), "\u{4e00} after\n");
            let hole = hole * 2;
            let mut bytes = encoded(&text, utf16);
            let mut expected = places(&text, utf16);
            if hole > 0 {
                expected.push(((bytes.len() + hole) as u64, after.trim_end().into()));
                bytes.resize(bytes.len() + hole, 0);
                bytes.extend(encoded(after, utf16));
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut framing = lines();
            framing.utf16 = utf16;
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let (mut tail, blocks, mut segments) = (followed(&file), Pool::new(1, 1), Vec::new());
            for cut in cuts.windows(2) {
                file.write_all(&bytes[cut[0]..cut[1]]).unwrap();
                loop {
                    match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                        Turn::Segment(segment) => segments.push(segment),
                        Turn::Idle => break,
                        Turn::Hole(_) | Turn::More => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
            prop_assert_eq!(tail.position(), bytes.len() as u64);
            let batch = Batch::new(segments, std::time::UNIX_EPOCH);
            let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
            let found: Vec<_> = batch.records().map(|record| (record.offset, text(record.text))).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn lines_of_utf16_are_joined_cut_and_ended_like_others() {
        let long = "\u{20ac}".repeat(BLOCK);
        let trace = "ERROR a\n\tat a.B.c(B.java:1)";
        let joined = (
            &["java"][..],
            format!("\u{feff}{trace}\nb\nc"),
            vec![(trace, Mark::Whole), ("b", Mark::Whole), ("c\u{fffd}", Mark::Partial)],
        );
        let cut = (
            &[][..],
            format!("{long}\r\n{long}c\n{long}d"),
            vec![
                (long.as_str(), Mark::Whole),
                (&long, Mark::Truncated),
                (&long, Mark::Truncated),
            ],
        );
        for (joins, text, expected) in [joined, cut] {
            for (utf16, max_record) in [(Utf16::Little, 2 * BLOCK), (Utf16::Big, 2 * BLOCK + 1)] {
                let framing = Framing {
                    utf16: Some(utf16),
                    joins: joins.iter().map(|join| Join::parse(join).unwrap()).collect(),
                    max_record,
                    ..lines()
                };
                // The half of a unit, too.
                let found = records(&framing, &[&[encoded(&text, Some(utf16)), b"x".to_vec()].concat()]);
                let lengths: Vec<_> = found.iter().map(|(text, mark)| (text.len(), *mark)).collect();
                let found = found.iter().map(|(text, mark)| (text.as_str(), *mark));
                assert!(found.eq(expected.clone()), "{utf16:?}: {lengths:?}");
            }
        }
    }

    /// All of a file, to which nothing comes after each of `parts`.
    fn records(framing: &Framing, parts: &[&[u8]]) -> Vec<(String, Mark)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let (mut tail, blocks, mut found) = (followed(&file), Pool::new(1, 1), Vec::new());
        for part in parts {
            file.write_all(part).unwrap();
            loop {
                match tail.turn(&blocks, framing, Expected::Whatever).unwrap() {
                    Turn::Segment(segment) => {
                        let text = |line: &Line| String::from_utf8(segment.data[line.range()].to_vec()).unwrap();
                        found.extend(segment.lines.iter().map(|line| (text(line), line.mark)));
                        tail.frontier.settle(segment.start, segment.end);
                    }
                    Turn::More | Turn::Hole(_) => {}
                    Turn::Idle => break,
                    other @ Turn::Reset(_) => panic!("{other:?}"),
                }
            }
            assert!(tail.is_done());
        }
        found
    }

    #[test]
    fn what_is_no_text_is_in_no_record() {
        let framing = |joins: &[&str], max_record, utf16| Framing {
            joins: joins.iter().map(|join| Join::parse(join).unwrap()).collect(),
            max_record,
            utf16,
            ..lines()
        };
        for utf16 in [None, Some(Utf16::Evident), Some(Utf16::Little), Some(Utf16::Big)] {
            let text = |text: &str| encoded(text, utf16);
            // A mark alone, and before a line as long as may be.
            let width = text("a").len();
            let one = framing(&[], 100 * width, utf16);
            let long = "a".repeat(100);
            let found = records(&one, &[&text("\u{feff}"), &text(&format!("{long}\n"))]);
            assert_eq!(found, [(long, Mark::Whole)], "{utf16:?}");
            // Before what is joined.
            let trace = "Traceback (most recent call last):\n  File x\nValueError: x";
            let found = records(
                &framing(&["python"], 1000, utf16),
                &[&text(&format!("\u{feff}{trace}\n"))],
            );
            assert_eq!(found, [(trace.to_owned(), Mark::Whole)], "{utf16:?}");
            // A hole before a line without end.
            let found = records(&one, &[&[text("\u{feff}a\n"), vec![0; 100], text("xyz")].concat()]);
            assert_eq!(
                found,
                [("a".into(), Mark::Whole), ("xyz".into(), Mark::Partial)],
                "{utf16:?}"
            );
        }
        // Half a unit, and then the other half.
        let utf16 = Some(Utf16::Evident);
        let text = encoded("\u{feff}line 1\nline 2\nline 3\n", utf16);
        let (start, end) = text.split_at(27);
        let texts: Vec<_> = records(&framing(&[], 100, utf16), &[start, end])
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(texts, ["line 1", "line \u{fffd}", "", "line 3"]);
    }

    /// Its writer has written the mark once.
    #[test]
    fn a_file_of_utf16_that_is_truncated_is_that_still() {
        let framing = Framing {
            utf16: Some(Utf16::Evident),
            ..lines()
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut tail, blocks, mut found) = (followed(&file), Pool::new(1, 1), Vec::new());
        for text in ["\u{feff}before\n", "after\n"] {
            std::fs::write(file.path(), encoded(text, framing.utf16)).unwrap();
            loop {
                match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                    Turn::Segment(segment) => found.extend_from_slice(&segment.data[segment.lines[0].range()]),
                    Turn::Idle => break,
                    Turn::More | Turn::Reset(_) | Turn::Hole(_) => {}
                }
            }
        }
        assert_eq!(String::from_utf8(found).unwrap(), "beforeafter");
    }

    #[test]
    fn how_a_file_begins_says_whether_it_is_utf16() {
        let mut framing = lines();
        framing.utf16 = Some(Utf16::Evident);
        for (bytes, text) in [
            ("a\n".as_bytes(), "a"),
            ("\u{feff}b\n".as_bytes(), "b"),
            (b"\xff\xfec\0\n\0", "c"),
            (b"\xfe\xff\0d\0\n", "d"),
            (b"e\0\n\0", "e"),
            (b"\0f\0\n", "f"),
        ] {
            assert_eq!(records(&framing, &[bytes]), [(text.to_owned(), Mark::Whole)]);
        }
    }

    /// Nothing that rests gives something at each turn: that would never end.
    #[test]
    fn what_rests_is_idle_however_it_is_joined() {
        let mut framing = Framing {
            joins: vec![Join::parse("java").unwrap()],
            ..lines()
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let (blocks, long) = (Pool::new(1, 1), vec![b'x'; BLOCK + 1]);
        let mut records = 0;
        // The start of a line, which outgrows a block, and its end; then a whole line, and one that it may be joined with.
        for more in [b"xxxx".as_slice(), &long, b"\n", b"ERROR\n", b"\tat a.B.c(B.java:1)\n"] {
            file.write_all(more).unwrap();
            // While it is waited for, and then no longer.
            for join_wait in [Duration::from_secs(3600), Duration::ZERO] {
                framing.join_wait = if more == b"xxxx" {
                    Duration::from_secs(3600)
                } else {
                    join_wait
                };
                let gives = (0..20).filter(|_| match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                    Turn::Idle => false,
                    Turn::Segment(segment) => {
                        records += segment.lines.len();
                        true
                    }
                    _ => true,
                });
                assert!(gives.count() < 4);
                assert!(matches!(tail.turn(&blocks, &framing, Expected::More), Ok(Turn::Idle)));
            }
        }
        assert_eq!(records, 3);
    }

    /// A look has seen more than was there when it was read: nobody knows what that was.
    #[test]
    fn what_was_never_read_of_a_former_content_is_no_loss_of_this_one() {
        let framing = lines();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let blocks = Pool::new(1, 1);
        let turn = |tail: &mut Tail| tail.turn(&blocks, &framing, Expected::More).unwrap();
        std::fs::write(file.path(), "much that is copied, truncated and seen by a look\n").unwrap();
        tail.measure(tail.size(), Instant::now());
        std::fs::write(file.path(), "something new\n").unwrap();
        assert!(matches!(turn(&mut tail), Turn::Segment(_)));
        std::fs::write(file.path(), "").unwrap();
        match turn(&mut tail) {
            Turn::Reset(former) => assert_eq!(former.loss(0), None, "all of it was read"),
            other => panic!("{other:?}"),
        }
    }

    /// That nobody writes any more was known before the last look at its size.
    #[test]
    fn a_line_that_has_gone_on_is_not_torn() {
        let framing = lines();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let blocks = Pool::new(1, 1);
        for part in ["a line", " that goes", " on"] {
            file.write_all(part.as_bytes()).unwrap();
            let turn = tail.turn(&blocks, &framing, Expected::Nothing).unwrap();
            assert!(matches!(turn, Turn::Idle), "{part}: {turn:?}");
        }
        match tail.turn(&blocks, &framing, Expected::Nothing).unwrap() {
            Turn::Segment(segment) => {
                assert_eq!(segment.data[segment.lines[0].range()], *b"a line that goes on");
                assert_eq!(segment.lines[0].mark, Mark::Partial);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Nobody waits for it, so nobody is behind with it.
    #[test]
    fn the_start_of_a_line_is_not_behind() {
        let framing = lines();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = followed(&file);
        let blocks = Pool::new(1, 1);
        let measure = |tail: &mut Tail| tail.measure(tail.size(), Instant::now());
        // Also one that does not fit into a block.
        for start in [b"start".to_vec(), vec![b'x'; BLOCK + 1]] {
            file.write_all(b"line\n").unwrap();
            file.write_all(&start).unwrap();
            assert!(measure(&mut tail).1.is_some_and(|lag| lag.bytes > start.len() as u64));
            loop {
                match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                    Turn::Idle => break,
                    Turn::Segment(segment) => tail.frontier.settle(segment.start, segment.end),
                    _ => {}
                }
            }
            assert!(measure(&mut tail).1.is_none());
            file.write_all(b"\n").unwrap();
            assert!(measure(&mut tail).1.is_some());
        }
    }

    /// As when the volume is away for a moment.
    #[test]
    fn a_failed_read_does_not_advance() {
        const MAX: usize = 1000;
        let framing = Framing {
            max_record: MAX,
            joins: Vec::new(),
            join_wait: Duration::ZERO,
            utf16: None,
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"first\n").unwrap();
        let inode = Inode::of(file.as_file()).unwrap();
        let open = |may_read| File::options().read(may_read).write(true).open(file.path()).unwrap();
        let blocks = Pool::new(1, 1);
        let mut tail = Tail::new(open(true), inode, "a", &Arc::from("pod")).unwrap();
        let mut texts = Vec::new();
        // A line, one that is too long for a block, its end, and a hole.
        let long = vec![b'x'; BLOCK + 1];
        for more in [b"second\n".as_slice(), &long, b"end\n", &[0; 100], b"third\n"] {
            file.as_file().write_all(more).unwrap();
            tail.file = open(false);
            for _ in 0..3 {
                tail.turn(&blocks, &framing, Expected::More).unwrap_err();
            }
            tail.file = open(true);
            loop {
                match tail.turn(&blocks, &framing, Expected::More).unwrap() {
                    Turn::Idle => break,
                    Turn::Segment(segment) => {
                        texts.extend(segment.lines.iter().map(|line| segment.data[line.range()].to_vec()));
                    }
                    Turn::More | Turn::Hole(_) => {}
                    Turn::Reset(former) => panic!("{former:?}"),
                }
            }
        }
        let lengths: Vec<_> = texts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [5, 6, MAX, 5], "{texts:?}");
    }
}
