//! Where the last lines of a file ended, and what stood before that: how a copy is known that was made a few lines before the file was
//! truncated.

use std::collections::VecDeque;
use std::fs::File;
use std::iter::once;

use super::framing::Units;
use super::tail::pread_at;
use crate::identity::{GUARD, HEAD};

/// Lines; at 1,000 a second, those of a quarter of a second between copy and truncation.
const MOST: usize = 256;

/// Offsets behind line breaks, with a checksum of what stands before: of all of a short file, else of its head and the last bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    last: VecDeque<(u64, u32)>,
}

impl Ends {
    pub(super) fn of(all: Vec<(u64, u32)>) -> Self {
        Self { last: all.into() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, u32)> {
        self.last.iter().copied()
    }

    /// Notes where the lines of a `block` end, from `from` on. It stands at `base` of a file that begins with `head`, and ends with a line.
    pub(super) fn note(&mut self, base: u64, block: &[u8], from: usize, head: &[u8], units: Units) {
        let breaks = units.breaks(&block[from..]).rev();
        let before = breaks
            .map(|at| from + at + units.width())
            .filter(|end| *end < block.len());
        let last: Vec<_> = once(block.len()).chain(before).take(MOST).collect();
        for end in last.into_iter().rev() {
            let offset = base + end as u64;
            let checksum = if offset <= HEAD {
                crc32fast::hash(&head[..head.len().min(offset as usize)])
            } else {
                checksum(head, &block[end.saturating_sub(GUARD as usize)..end])
            };
            if self.last.len() == MOST {
                self.last.pop_front();
            }
            self.last.push_back((offset, checksum));
        }
    }

    /// Does `file`, of `size` bytes, end where one of these lines did, after the same?
    pub(super) fn agree(&self, file: &File, size: u64) -> bool {
        let read = |from: u64, to: u64| pread_at(file, from, to - from);
        self.checksum_at(size).is_some()
            && matches!(
                (read(0, size.min(HEAD)), read(size.saturating_sub(GUARD), size)),
                (Ok(head), Ok(guard)) if self.agree_with(size, &head, &guard)
            )
    }

    /// The same, of something that begins with `head` and ends with `guard`.
    pub(super) fn agree_with(&self, size: u64, head: &[u8], guard: &[u8]) -> bool {
        let found = if size <= HEAD {
            crc32fast::hash(head)
        } else {
            checksum(head, guard)
        };
        self.checksum_at(size) == Some(found)
    }

    fn checksum_at(&self, size: u64) -> Option<u32> {
        let known = self.last.iter().find(|(offset, _)| *offset == size);
        known.map(|(_, checksum)| *checksum)
    }
}

fn checksum(head: &[u8], guard: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(guard);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Mark;
    use crate::reader::framing::frame;

    #[test]
    fn a_copy_is_known_by_where_it_ends_and_what_stands_before() {
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let (mut ends, mut at) = (Ends::default(), 0);
        // In blocks, as they are read, each with the bytes before it.
        for end in [700, 3000, text.len()] {
            let behind = at.min(GUARD as usize);
            let block = &text.as_bytes()[at - behind..end];
            let framed = frame(block, behind, 100, Units::Bytes);
            let block = &block[..behind + framed.consumed];
            at += framed.consumed;
            ends.note(
                (at - framed.consumed - behind) as u64,
                block,
                behind,
                &text.as_bytes()[..at.min(1024)],
                Units::Bytes,
            );
        }
        assert_eq!(framed_marks(&text), 1000);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let agrees = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ends.agree(&File::open(&path).unwrap(), text.len() as u64)
        };
        let upto = |lines: usize| text.split_inclusive('\n').take(lines).collect::<String>();
        assert!(agrees(&text) && agrees(&upto(999)) && agrees(&upto(1000 - MOST + 1)));
        assert!(!agrees(&upto(1000 - MOST)), "too long ago");
        assert!(!agrees(&text[..text.len() - 3]), "no end of a line");
        assert!(
            !agrees(&upto(999).replace("line 998", "like 998")) && !agrees(&upto(999).replace("line 0\n", "like 0\n"))
        );
    }

    fn framed_marks(text: &str) -> usize {
        let lines = frame(text.as_bytes(), 0, 100, Units::Bytes).lines;
        lines.iter().filter(|line| line.mark == Mark::Whole).count()
    }
}
