//! The blocks that a tar is made of, and the numbers and texts in them.

use std::io::{ErrorKind, Read};

use crate::archive::Refused;

pub(in crate::archive) const BLOCK: usize = 512;

/// Looks a block like the header of a member?
pub fn is_header(block: &[u8]) -> bool {
    block.len() == BLOCK && block != [0; BLOCK] && checksum_holds(block)
}

pub(super) fn checksum_holds(block: &[u8]) -> bool {
    let Some(stored) = octal(&block[148..156]) else {
        return false;
    };
    let field = |at: &usize| (148..156).contains(at);
    let unsigned: u64 = (0..BLOCK)
        .map(|at| if field(&at) { 32 } else { u64::from(block[at]) })
        .sum();
    // Some old writers summed signed characters.
    let signed: i64 = (0..BLOCK)
        .map(|at| {
            if field(&at) {
                32
            } else {
                i64::from(block[at].cast_signed())
            }
        })
        .sum();
    stored == unsigned || i64::try_from(stored) == Ok(signed)
}

/// Up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number in octal digits, or in base 256 when its first bit is set (GNU).
pub(super) fn octal(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        if field[0] != 0x80 {
            return None;
        }
        let (high, low) = field[1..].split_at(field.len() - 1 - 8.min(field.len() - 1));
        if high.iter().any(|&b| b != 0) {
            return None;
        }
        return Some(low.iter().fold(0, |n, &b| n << 8 | u64::from(b)));
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_u64, |n, &b| match b {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

pub(super) fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

pub(super) fn padded(size: u64) -> Result<u64, Refused> {
    size.checked_next_multiple_of(BLOCK as u64)
        .ok_or_else(|| Refused::Damaged("a size is beyond measure".into()))
}

/// `false` at the end of the stream; an end inside a block is damage.
pub(super) fn read_block(tar: &mut impl Read, block: &mut [u8; BLOCK]) -> Result<bool, Refused> {
    match read_some(tar, block)? {
        0 => Ok(false),
        BLOCK => Ok(true),
        _ => Err(Refused::Damaged("it ends inside a header".into())),
    }
}

/// A block, or what there is of it.
pub(super) fn read_some(tar: &mut impl Read, block: &mut [u8; BLOCK]) -> Result<usize, Refused> {
    let mut filled = 0;
    while filled < BLOCK {
        match tar.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(damaged(e)),
        }
    }
    Ok(filled)
}

pub(super) fn skip(tar: &mut impl Read, bytes: u64) -> Result<(), Refused> {
    let skipped = std::io::copy(&mut tar.take(bytes), &mut std::io::sink()).map_err(damaged)?;
    if skipped < bytes {
        return Err(Refused::Damaged("it ends inside a member".into()));
    }
    Ok(())
}

/// The content of one member; ends early only with an error.
pub(super) struct Content<'r, R> {
    tar: &'r mut R,
    left: u64,
}

impl<'r, R> Content<'r, R> {
    pub(super) fn new(tar: &'r mut R, size: u64) -> Self {
        Self { tar, left: size }
    }

    /// Bytes that are still to be read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.tar.read(&mut buf[..most])?;
        if read == 0 {
            return Err(std::io::Error::new(
                ErrorKind::UnexpectedEof,
                "the archive ends inside a member",
            ));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// A stream that does not decompress is a damaged archive, not a failing disk.
pub(super) fn damaged(error: std::io::Error) -> Refused {
    match error.raw_os_error() {
        Some(_) => Refused::Io(error),
        None => Refused::Damaged(error.to_string()),
    }
}
