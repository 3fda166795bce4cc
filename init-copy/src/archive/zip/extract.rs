//! The bytes of one member, exactly as many as the directory says and with its checksum.

use std::io::{BufReader, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{Method, ReadAt, Slot, damaged};
use crate::archive::Refused;
use crate::archive::decode::Frames;

const INPUT: usize = 64 << 10;
const OUTPUT: usize = 128 << 10;

/// Buffers that one thread uses for member after member.
pub(crate) struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
    inflate: Decompress,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            input: vec![0; INPUT],
            output: vec![0; OUTPUT],
            inflate: Decompress::new(false),
        }
    }
}

pub(super) fn member<R: ReadAt + ?Sized, E: From<Refused>>(
    zip: &R,
    slot: &Slot,
    scratch: &mut Scratch,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut sum = crc32fast::Hasher::new();
    let mut size = 0;
    let mut checked = |bytes: &[u8]| -> Result<(), E> {
        size += bytes.len() as u64;
        if size > slot.size {
            return Err(Refused::Unsafe("a member is longer than its header says".into()).into());
        }
        sum.update(bytes);
        write(bytes)
    };
    match slot.method {
        Method::Deflated => inflate(zip, slot, scratch, &mut checked)?,
        Method::Zstd => unzstd(zip, slot, scratch, &mut checked)?,
        Method::Stored => {
            let mut at = 0;
            while at < slot.compressed {
                let length = read_input(zip, slot, at, &mut scratch.input)?;
                checked(&scratch.input[..length])?;
                at += length as u64;
            }
        }
    }
    if size < slot.size {
        return Err(damaged("a member is shorter than its header says").into());
    }
    if sum.finalize() != slot.crc {
        return Err(damaged("a member has a wrong checksum").into());
    }
    Ok(())
}

fn inflate<R: ReadAt + ?Sized, E: From<Refused>>(
    zip: &R,
    slot: &Slot,
    scratch: &mut Scratch,
    write: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let Scratch { input, output, inflate } = scratch;
    inflate.reset(false);
    let mut at = 0;
    loop {
        let length = read_input(zip, slot, at, input)?;
        at += length as u64;
        let mut rest = &input[..length];
        loop {
            let (read_before, written_before) = (inflate.total_in(), inflate.total_out());
            let status = inflate
                .decompress(rest, output, FlushDecompress::None)
                .map_err(|e| damaged(&format!("a member does not decompress: {e}")))?;
            let used = usize::try_from(inflate.total_in() - read_before).unwrap_or(rest.len());
            let made = usize::try_from(inflate.total_out() - written_before).unwrap_or(0);
            rest = &rest[used..];
            if made > 0 {
                write(&output[..made])?;
            }
            match status {
                Status::StreamEnd if rest.is_empty() && at == slot.compressed => return Ok(()),
                Status::StreamEnd => return Err(Refused::Unsafe("a member has bytes behind its end".into()).into()),
                // No input left, and the last call did not fill the output: more can only come from the file.
                _ if rest.is_empty() && made < output.len() => break,
                _ if used == 0 && made == 0 => return Err(damaged("a member does not decompress").into()),
                _ => {}
            }
        }
        if at == slot.compressed {
            return Err(damaged("a member is cut short").into());
        }
    }
}

fn unzstd<R: ReadAt + ?Sized, E: From<Refused>>(
    zip: &R,
    slot: &Slot,
    scratch: &mut Scratch,
    write: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut frames = Frames::new(BufReader::with_capacity(INPUT, Packed { zip, slot, at: 0 }));
    loop {
        let made = frames
            .read(&mut scratch.output)
            .map_err(|e| damaged(&format!("a member does not decompress: {e}")))?;
        if made == 0 {
            return Ok(());
        }
        write(&scratch.output[..made])?;
    }
}

/// The packed bytes of a member as a stream.
struct Packed<'z, R: ?Sized> {
    zip: &'z R,
    slot: &'z Slot,
    at: u64,
}

impl<R: ReadAt + ?Sized> Read for Packed<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let length = read_input(self.zip, self.slot, self.at, buf).map_err(|why| match why {
            Refused::Io(error) => error,
            other => std::io::Error::other(other.to_string()),
        })?;
        self.at += length as u64;
        Ok(length)
    }
}

fn read_input<R: ReadAt + ?Sized>(zip: &R, slot: &Slot, at: u64, input: &mut [u8]) -> Result<usize, Refused> {
    let length = usize::try_from(slot.compressed - at)
        .unwrap_or(usize::MAX)
        .min(input.len());
    match zip.read_exact_at(&mut input[..length], slot.data + at) {
        Ok(()) => Ok(length),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(damaged("it is cut short")),
        Err(e) => Err(Refused::Io(e)),
    }
}
