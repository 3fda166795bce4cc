//! Sparse members of a tar: only the data is stored, and a map says where it goes.
//!
//! Source: GNU tar manual, "Storing Sparse Files": the old format (type `S`) and the PAX formats 0.0, 0.1 and 1.0, of which bsdtar
//! writes the last.

use std::io::Read;

use super::block::{BLOCK, Content, number, octal, read_block};
use crate::archive::Refused;

/// More pieces than this are no file; each is 16 bytes in memory.
const MAX_PIECES: usize = 100_000;

/// Where the data of a member goes.
#[derive(Debug, Default, Clone)]
pub(super) struct Map {
    /// Offset and length, in order.
    pieces: Vec<(u64, u64)>,
    /// Bytes with the holes.
    pub(super) size: u64,
}

/// What PAX records say of a map.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) is_there: bool,
    pub(super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    /// Offsets and lengths in turn.
    numbers: Vec<u64>,
}

impl Records {
    /// Takes one record, whose key starts with `GNU.sparse.`; `None` when it is malformed.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.is_there = true;
        match key {
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.major" => self.major = Some(number(value)?),
            b"GNU.sparse.minor" => self.minor = Some(number(value)?),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = Some(number(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.add(number(value)?)?,
            b"GNU.sparse.map" => {
                for part in value.split(|&b| b == b',') {
                    self.add(number(part)?)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn add(&mut self, value: u64) -> Option<()> {
        self.numbers.push(value);
        (self.numbers.len() <= 2 * MAX_PIECES).then_some(())
    }

    /// The map of a member; in format 1.0 it stands before the data in `content`.
    pub(super) fn map<R: Read>(self, content: &mut Content<'_, R>) -> Result<Map, Refused> {
        let size = self.size.ok_or_else(|| damaged("a sparse member has no size"))?;
        let numbers = match (self.major, self.minor) {
            (None | Some(0), _) => self.numbers,
            (Some(1), Some(0)) => numbers_before(content)?,
            _ => {
                return Err(Refused::Unsupported(
                    "a sparse member has a format from the future".into(),
                ));
            }
        };
        if numbers.len() % 2 != 0 {
            return Err(damaged("the map of a sparse member has an odd number of values"));
        }
        let pieces = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Map { pieces, size }.proved(content.left())
    }
}

/// The decimal lines of format 1.0: how many pieces, then offset and length of each, filled up to a block.
fn numbers_before<R: Read>(content: &mut Content<'_, R>) -> Result<Vec<u64>, Refused> {
    let mut block = [0; BLOCK];
    let (mut line, mut numbers, mut wanted) = (Vec::new(), Vec::new(), None);
    loop {
        content
            .read_exact(&mut block)
            .map_err(|_| damaged("it ends inside the map of a sparse member"))?;
        for &byte in &block {
            if byte != b'\n' {
                line.push(byte);
                if line.len() > 20 {
                    return Err(damaged("the map of a sparse member is malformed"));
                }
                continue;
            }
            let value: u64 =
                number(&std::mem::take(&mut line)).ok_or_else(|| damaged("the map of a sparse member is malformed"))?;
            match wanted {
                None if value > MAX_PIECES as u64 => return Err(too_many()),
                None => wanted = Some(2 * value),
                Some(_) => numbers.push(value),
            }
            if wanted == Some(numbers.len() as u64) {
                return Ok(numbers);
            }
        }
    }
}

/// The map of the old format: four pieces in the header, more in blocks behind it.
pub(super) fn old_map(tar: &mut impl Read, header: &[u8; BLOCK], stored: u64) -> Result<Map, Refused> {
    let size = octal(&header[483..495]).ok_or_else(|| damaged("a size is no number"))?;
    let mut map = Map {
        pieces: Vec::new(),
        size,
    };
    map.take(&header[386..482])?;
    let mut more = header[482] != 0;
    while more {
        let mut block = [0; BLOCK];
        if !read_block(tar, &mut block)? {
            return Err(damaged("it ends inside the map of a sparse member"));
        }
        map.take(&block[..504])?;
        more = block[504] != 0;
    }
    map.proved(stored)
}

impl Map {
    fn take(&mut self, fields: &[u8]) -> Result<(), Refused> {
        for pair in fields.chunks_exact(24) {
            if pair.iter().all(|&b| b == 0) {
                continue;
            }
            let field = |at: usize| octal(&pair[at..at + 12]).ok_or_else(|| damaged("a size is no number"));
            self.pieces.push((field(0)?, field(12)?));
            if self.pieces.len() > MAX_PIECES {
                return Err(too_many());
            }
        }
        Ok(())
    }

    /// Pieces follow each other, end before the end, and are all that is stored.
    fn proved(self, stored: u64) -> Result<Self, Refused> {
        let (mut at, mut data) = (0, 0_u64);
        for &(offset, length) in &self.pieces {
            let end = offset
                .checked_add(length)
                .filter(|&end| offset >= at && end <= self.size);
            at = end.ok_or_else(|| damaged("the pieces of a sparse member overlap, or lie behind its end"))?;
            data += length;
        }
        if data == stored {
            Ok(self)
        } else {
            Err(damaged("the map of a sparse member is not of its data"))
        }
    }
}

/// The content of a sparse member with its holes, as zeros.
pub(super) struct Expanded<'r, R> {
    content: &'r mut R,
    pieces: std::vec::IntoIter<(u64, u64)>,
    size: u64,
    at: u64,
    /// Where data starts next, and where that ends.
    next: (u64, u64),
}

impl<'r, R: Read> Expanded<'r, R> {
    pub(super) fn new(content: &'r mut R, map: Map) -> Self {
        let mut expanded = Self {
            content,
            pieces: map.pieces.into_iter(),
            size: map.size,
            at: 0,
            next: (0, 0),
        };
        expanded.advance();
        expanded
    }

    fn advance(&mut self) {
        while self.at >= self.next.1 {
            match self.pieces.next() {
                Some((offset, length)) => self.next = (offset, offset + length),
                None => {
                    self.next = (self.size, u64::MAX);
                    return;
                }
            }
        }
    }
}

impl<R: Read> Read for Expanded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let (start, end) = self.next;
        let is_hole = self.at < start;
        let until = if is_hole { start } else { end.min(self.size) };
        let most = usize::try_from(until.saturating_sub(self.at))
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let read = if is_hole {
            buf[..most].fill(0);
            most
        } else {
            self.content.read(&mut buf[..most])?
        };
        self.at += read as u64;
        self.advance();
        Ok(read)
    }
}

fn too_many() -> Refused {
    Refused::Unsupported(format!("a sparse member has more than {MAX_PIECES} pieces"))
}

fn damaged(why: &str) -> Refused {
    Refused::Damaged(why.to_owned())
}
