//! A rotated file that was compressed by gzip, read through as if it were the file that it was.
//!
//! Format: RFC 1952, also of several members.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::clock::Clocks;
use super::former::Former;
use super::framing::{Framing, LINE_END, MARK, Units, frame, hole_at};
use super::tail::BLOCK;
use super::trouble::Trouble;
use crate::batch::{Line, Mark, Segment, Source};
use crate::checkpoint::{Packed, Saved};
use crate::frontier::Frontier;
use crate::identity::{Evidence, GUARD, HEAD, Inode};
use crate::recycle::{Pool, Recycled};

/// What is passed over at a time, bytes.
const STEP: usize = 16 << 10;

/// A file read at an offset of its own: who else has it open does not matter.
#[derive(Debug)]
struct Packing {
    file: Arc<File>,
    offset: u64,
}

impl Read for Packing {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(bytes, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// What is in an archive, from its start on, and what has passed of it.
#[derive(Debug)]
pub(super) struct Unpacked {
    decoder: MultiGzDecoder<Packing>,
    pub(super) position: u64,
    /// The first bytes.
    pub(super) head: Vec<u8>,
    /// The bytes before the position.
    pub(super) guard: Vec<u8>,
    /// What came after the last bytes.
    error: Option<io::Error>,
}

impl Unpacked {
    pub(super) fn of(file: &Arc<File>) -> Self {
        let file = Arc::clone(file);
        Self {
            decoder: MultiGzDecoder::new(Packing { file, offset: 0 }),
            position: 0,
            head: Vec::new(),
            guard: Vec::new(),
            error: None,
        }
    }

    /// Passes over what stands before `offset`; false if there is less, also since the archive is broken.
    pub(super) fn advance_to(&mut self, offset: u64) -> io::Result<bool> {
        let mut step = Vec::new();
        while self.position < offset {
            step.clear();
            let count = (offset - self.position).min(STEP as u64);
            match self.read(&mut step, count) {
                Err(error) if error.raw_os_error().is_none() && self.position > 0 => return Ok(false),
                Ok(0) => return Ok(false),
                read => read?,
            };
        }
        Ok(true)
    }

    /// The first bytes, as far as they stand before `offset`.
    pub(super) fn head_of(&self, offset: u64) -> &[u8] {
        let most = usize::try_from(offset).unwrap_or(usize::MAX);
        &self.head[..self.head.len().min(most)]
    }

    /// Does nothing but NULs stand there?
    fn ends_in_hole(&self) -> bool {
        self.guard.len() == GUARD as usize && self.guard.iter().all(|&byte| byte == 0)
    }

    /// Is `evidence` of what stands before the position?
    pub(super) fn agrees(&self, evidence: &Evidence) -> bool {
        *evidence == Evidence::of(self.head_of(self.position), &self.guard)
    }

    /// Passes over the rest of a line, and puts what was read of the next into `rest`; returns how many bytes the line had. What is broken
    /// ends it.
    fn pass_line(&mut self, rest: &mut Vec<u8>, units: Units) -> io::Result<usize> {
        let mut passed = 0;
        loop {
            rest.clear();
            match self.read(rest, STEP as u64) {
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                Err(_) | Ok(0) => return Ok(passed),
                Ok(count) => {
                    let first = units.breaks(rest).next();
                    if let Some(at) = first {
                        let line = at + units.width();
                        rest.drain(..line);
                        return Ok(passed + line);
                    }
                    passed += count;
                }
            }
        }
    }

    /// Appends up to `count` bytes; fewer at the end.
    fn read(&mut self, out: &mut Vec<u8>, count: u64) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let before = out.len();
        let read = Read::by_ref(&mut self.decoder).take(count).read_to_end(out);
        // What came before an error counts.
        let new = &out[before..];
        self.position += new.len() as u64;
        let more = (HEAD as usize - self.head.len()).min(new.len());
        self.head.extend_from_slice(&new[..more]);
        self.guard
            .extend_from_slice(&new[new.len().saturating_sub(GUARD as usize)..]);
        self.guard.drain(..self.guard.len().saturating_sub(GUARD as usize));
        match read {
            Err(error) if new.is_empty() => Err(error),
            Err(error) => {
                let count = new.len();
                self.error = Some(error);
                Ok(count)
            }
            Ok(_) => Ok(new.len()),
        }
    }
}

/// What one turn of reading found.
#[derive(Debug)]
pub(super) enum Passage {
    Segment(Segment),
    /// All of it is read.
    End,
    /// It ends in the middle, or is no gzip from here on.
    Broken(io::Error),
}

/// An archive that is read, from one line to the next.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    pub(super) inode: Inode,
    /// Where it is; the source says of which file it is the rest.
    pub(super) path: PathBuf,
    pub(super) source: Arc<Source>,
    generation: u32,
    pub(super) frontier: Frontier,
    /// None before the first turn, after a failed one, and once all is read.
    unpacked: Option<Unpacked>,
    /// Where the next line begins.
    pub(super) position: u64,
    /// What is read of it.
    rest: Vec<u8>,
    pub(super) is_read: bool,
    /// All of what was read last are NULs of a hole.
    is_in_hole: bool,
    /// What stands before this may have been sent by a run that was killed.
    pub(super) sent_up_to: u64,
    pub(super) clock: Clocks,
    pub(super) trouble: Trouble,
    size: u64,
    evidence: Evidence,
}

impl Archive {
    /// The rest of what `known` was, which `file` holds.
    pub(super) fn of(known: Former, file: Arc<File>, inode: Inode, path: PathBuf) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self {
            evidence: Evidence::take(&file, size)?,
            file,
            inode,
            path,
            source: known.source,
            generation: known.generation,
            unpacked: None,
            position: known.resume_at,
            frontier: known.frontier,
            rest: Vec::new(),
            is_read: false,
            is_in_hole: false,
            sent_up_to: 0,
            clock: known.clock,
            trouble: Trouble::default(),
            size,
        })
    }

    /// Reads up to one block of lines. The last one may lack its end.
    ///
    /// # Errors
    /// When the file cannot be read; the next turn goes on where this one was.
    pub(super) fn turn(&mut self, blocks: &Arc<Pool>, framing: &Framing) -> io::Result<Passage> {
        let max_record = framing.max_record;
        let is_anew = self.unpacked.is_none();
        let unpacked = match &mut self.unpacked {
            Some(unpacked) => unpacked,
            None => {
                self.rest.clear();
                self.unpacked.insert(Unpacked::of(&self.file))
            }
        };
        // A block that is full is not the last, and one that holds no whole line has one that is too long.
        let (start, want) = (
            self.position,
            BLOCK.max(max_record.next_multiple_of(2) + LINE_END) + MARK,
        );
        let mut block = blocks.take(want);
        let read = unpacked.advance_to(start).and_then(|_| {
            if is_anew {
                self.is_in_hole = unpacked.ends_in_hole();
            }
            block.append(&mut self.rest);
            let room = want - block.len();
            unpacked.read(&mut block, room as u64)
        });
        if let Err(error) = read {
            unpacked.error = Some(error);
        }
        // What is left may come another time.
        if let Some(error) = unpacked.error.take_if(|error| error.raw_os_error().is_some()) {
            self.unpacked = None;
            return Err(error);
        }
        // A broken archive is told once what came before is handed out.
        if block.is_empty() {
            let passage = unpacked.error.take().map_or(Passage::End, Passage::Broken);
            return Ok(self.end(passage));
        }
        let is_last = block.len() < want;
        let units = framing.units_of(&unpacked.head);
        let passed = no_text(&block, start, units, &mut self.is_in_hole);
        if passed > 0 {
            // What comes after it has all the room of a block.
            self.rest.extend_from_slice(&block[passed..]);
            block.truncate(passed);
            return Ok(self.passage(passed, (block, Vec::new())));
        }
        let mark = units.mark_at(start, &block);
        let mut framed = frame(&block, mark, max_record, units);
        // A hole ends what stands before it.
        let is_end = (is_last && framed.complete) || framed.ends_at_hole;
        framed.join(framing, &block, mark, is_end, true);
        let mut consumed = mark + framed.consumed;
        if framed.consumed == 0 && consumed < block.len() {
            let end = if is_last { Mark::Partial } else { Mark::Truncated };
            framed.add(&block, mark, block.len(), max_record, end);
            consumed = block.len();
            if !is_last {
                consumed += unpacked
                    .pass_line(&mut self.rest, units)
                    .inspect_err(|_| self.unpacked = None)?;
            }
        }
        if consumed < block.len() {
            self.rest.extend_from_slice(&block[consumed..]);
        }
        block.truncate(consumed);
        Ok(self.passage(consumed, framed.into_parts(block)))
    }

    /// Of the next bytes, what they hold.
    fn passage(&mut self, bytes: usize, parts: (Recycled, Vec<Line>)) -> Passage {
        let start = self.position;
        self.position += bytes as u64;
        Passage::Segment(Segment::new(
            &self.source,
            start..self.position,
            start,
            parts,
            self.sent_up_to,
        ))
    }

    fn end(&mut self, passage: Passage) -> Passage {
        self.unpacked = None;
        self.is_read = true;
        passage
    }

    /// Of the file, bytes: those that are not read yet, about.
    pub(super) fn backlog(&self) -> u64 {
        match &self.unpacked {
            _ if self.is_read => 0,
            Some(unpacked) => self.size.saturating_sub(unpacked.decoder.get_ref().offset),
            None => self.size,
        }
    }

    /// Is everything read and settled?
    pub(super) fn is_done(&self) -> bool {
        self.is_read && self.frontier.settled() == self.position
    }

    /// What a checkpoint says of it.
    pub(super) fn saved(&self) -> Saved {
        Saved {
            id: self.source.id.clone(),
            path: self.source.path.clone(),
            inode: self.inode,
            generation: self.generation,
            offset: self.frontier.settled(),
            evidence: self.evidence,
            begins: None,
            read: self.position,
            size: 0,
            modified: 0,
            packed: Some(Packed {
                size: self.size,
                is_finished: self.is_done(),
            }),
            clock: self.clock.saved(self.frontier.settled()),
        }
    }
}

/// How many of the bytes in `block`, which stands at `start` where a line begins, are none of a line, and whether that `is_in_hole` then.
fn no_text(block: &[u8], start: u64, units: Units, is_in_hole: &mut bool) -> usize {
    let nuls = block.iter().take_while(|&&byte| byte == 0).count();
    let passed = match hole_at(block, units) {
        _ if units.is_torn_at(start) => 1,
        // The rest of one that fills blocks.
        0 if *is_in_hole => units.whole(nuls),
        hole => hole,
    };
    *is_in_hole = passed > 0 && nuls == block.len();
    passed
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use pod_contract::config::Setting as _;

    use super::*;
    use crate::batch::Batch;
    use crate::reader::framing::{Join, Utf16};
    use crate::reader::tail::Expected;
    use crate::reader::tail::{Tail, Turn};

    const MAX: usize = 300_000;
    fn framing(joins: &[&str]) -> Framing {
        Framing {
            max_record: MAX,
            joins: joins.iter().map(|join| Join::parse(join).unwrap()).collect(),
            join_wait: std::time::Duration::from_secs(1),
            utf16: None,
        }
    }

    type Records = Vec<(u64, Vec<u8>, Mark)>;

    /// The records of segments that leave no gap, unless they may skip holes, and where they end.
    fn records(segments: Vec<Segment>, may_skip: bool) -> (Records, u64) {
        let end = segments.iter().fold(0, |at, segment| {
            assert!(segment.start == at || may_skip);
            segment.end
        });
        let read_at = std::time::SystemTime::now();
        let batch = Batch::new(segments, read_at);
        let records = batch
            .records()
            .map(|record| (record.offset, record.text.to_vec(), record.mark));
        (records.collect(), end)
    }

    fn packed(texts: &[&[u8]]) -> Archive {
        let mut file = tempfile::tempfile().unwrap();
        for text in texts {
            let mut encoder = GzEncoder::new(&file, Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap();
        }
        file.flush().unwrap();
        let inode = Inode::of(&file).unwrap();
        let known = Former::unread(inode, "a.gz".as_ref(), "pod", 0);
        Archive::of(known, Arc::new(file), inode, "a.gz".into()).unwrap()
    }

    fn read(archive: &mut Archive, framing: &Framing) -> (Records, u64) {
        let (blocks, mut segments) = (Pool::new(1, 1), Vec::new());
        loop {
            match archive.turn(&blocks, framing).unwrap() {
                Passage::Segment(segment) => segments.push(segment),
                Passage::End => return records(segments, false),
                Passage::Broken(error) => panic!("{error}"),
            }
        }
    }

    fn read_plain(text: &[u8], framing: &Framing) -> (Records, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let inode = Inode::of(&file).unwrap();
        let mut tail = Tail::new(file, inode, "a", &Arc::from("pod")).unwrap();
        let (blocks, mut segments) = (Pool::new(1, 1), Vec::new());
        loop {
            match tail.turn(&blocks, framing, Expected::Whatever).unwrap() {
                Turn::Segment(segment) => segments.push(segment),
                Turn::More | Turn::Hole(_) => {}
                Turn::Idle => return records(segments, true),
                turn => panic!("{turn:?}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn an_archive_reads_as_the_file_that_it_was(
            lines in prop::collection::vec((0usize..3, any::<u8>(), prop_oneof![4 => Just(0), 1 => 64..1000_usize, 1 => Just(BLOCK), 1 => Just(MAX + 20)]), 0..20),
            members in prop::collection::vec(0usize..1000, 0..4),
            is_ended in any::<bool>(),
            joins in 0usize..3,
            utf16 in prop_oneof![Just(None), Just(Some(Utf16::Little)), Just(Some(Utf16::Big)), Just(Some(Utf16::Evident))],
            is_marked in any::<bool>(),
        ) {
            let mut text = Vec::new();
            for (length, letter, hole) in lines {
                // Nobody leaves one behind a mark, and what begins with one is no evident UTF-16.
                let is_text = text.is_empty() && (is_marked || utf16 == Some(Utf16::Evident));
                let hole = if is_text { 0 } else { hole };
                text.extend(std::iter::repeat_n(0, hole));
                // Short ones, some that fill a block, and some that are too long.
                let length = [usize::from(letter), 20_000, MAX + usize::from(letter) * 3000][length / usize::from(letter % 8 + 1)];
                text.extend(std::iter::repeat_n(letter % 26 + b'a', length));
                text.push(b'\n');
            }
            if !is_ended && !text.ends_with(b"\0\n") {
                text.pop();
            }
            let little = |byte| [byte, 0];
            let big = |byte| [0, byte];
            match utf16 {
                Some(Utf16::Big) => text = text.into_iter().flat_map(big).collect(),
                Some(_) => text = text.into_iter().flat_map(little).collect(),
                None => {}
            }
            if is_marked {
                let mark: &[u8] = match utf16 {
                    Some(Utf16::Big) => b"\xfe\xff",
                    Some(_) => b"\xff\xfe",
                    None => b"\xef\xbb\xbf",
                };
                text.splice(..0, mark.iter().copied());
            }
            let mut cuts: Vec<_> = members.iter().map(|at| at * text.len() / 1000).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let framing = Framing { utf16, ..framing(&["java", "/^[a-m]/"][..joins]) };
            let (records, end) = read(&mut packed(&parts), &framing);
            prop_assert!(records == read_plain(&text, &framing).0);
            prop_assert_eq!(end, text.len() as u64);
        }
    }

    #[test]
    fn the_longest_record_is_whole_in_an_archive_too() {
        for length in [MAX - 1, MAX, MAX + 1] {
            let text = [vec![b'a'; length], vec![b'\n']].concat();
            let framing = framing(&["java"]);
            let (records, end) = read(&mut packed(&[&text]), &framing);
            let mark = if length > MAX { Mark::Truncated } else { Mark::Whole };
            assert_eq!(
                (records.len(), records[0].2, end),
                (1, mark, text.len() as u64),
                "{length}"
            );
            assert_eq!((records, end), read_plain(&text, &framing));
        }
    }

    #[test]
    fn a_hole_in_an_archive_is_no_line_wherever_it_is() {
        for hole in [64, 1000, BLOCK, MAX + BLOCK] {
            let nuls = vec![0; hole];
            let text = [b"a\n".as_slice(), &nuls, b"b\n", &nuls, b"c\nd"].concat();
            let (records, end) = read(&mut packed(&[&text]), &framing(&[]));
            let texts: Vec<_> = records.iter().map(|(_, text, _)| text.as_slice()).collect();
            assert_eq!(texts, [b"a", b"b", b"c", b"d"], "{hole}");
            assert_eq!((records[2].0, end), (4 + 2 * hole as u64, text.len() as u64));
        }
        let text = [b"a\n".as_slice(), &[0; 63], b"b\n"].concat();
        assert_eq!(
            read(&mut packed(&[&text]), &framing(&[])).0[1].1.len(),
            64,
            "a line may begin with some"
        );
    }

    #[test]
    fn it_goes_on_where_it_was_also_after_an_error() {
        let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        let framing = &framing(&[]);
        let (whole, _) = read(&mut packed(&[text.as_bytes()]), framing);
        let mut archive = packed(&[text.as_bytes()]);
        let blocks = Pool::new(1, 1);
        let Passage::Segment(first) = archive.turn(&blocks, framing).unwrap() else {
            panic!()
        };
        let (packed, unreadable) = (Arc::clone(&archive.file), tempfile::NamedTempFile::new().unwrap());
        // It cannot be read for a while.
        archive.unpacked = None;
        archive.file = Arc::new(File::options().write(true).open(unreadable.path()).unwrap());
        archive.turn(&blocks, framing).unwrap_err();
        archive.file = packed;
        let mut segments = vec![first];
        while let Passage::Segment(segment) = archive.turn(&blocks, framing).unwrap() {
            segments.push(segment);
        }
        assert_eq!(records(segments, false).0, whole);
    }
}
