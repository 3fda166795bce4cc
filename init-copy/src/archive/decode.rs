//! Compressed streams.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::gzip::Members;

const BUFFER: usize = 64 << 10;
/// What a zstd frame may ask for; level 19 needs 8 MiB, `--ultra -22` 128 MiB.
const MAX_WINDOW: u64 = 64 << 20;
/// KiB: a dictionary of that size, which `xz -9` asks for, and what its decoder takes beside.
const XZ_MEMORY: u32 = (64 << 10) + 1024;

/// What a stream is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Packing {
    /// Told by the first bytes of a file.
    pub(super) fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gz",
            Self::Zstd => "zst",
            Self::Xz => "xz",
            Self::Bzip2 => "bz2",
        }
    }
}

/// The stream inside `file`.
pub(crate) fn decoder(file: &File, packing: Packing) -> io::Result<Box<dyn Read + '_>> {
    let reader = BufReader::with_capacity(BUFFER, ReadFrom::start(file));
    Ok(match packing {
        Packing::None => Box::new(reader),
        Packing::Gzip => Box::new(BufReader::with_capacity(BUFFER, Members::new(reader))),
        Packing::Zstd => Box::new(Frames::new(reader)),
        Packing::Xz => Box::new(Xz(XzReader::new_mem_limit(reader, true, XZ_MEMORY))),
        Packing::Bzip2 => Box::new(BufReader::with_capacity(BUFFER, MultiBzDecoder::new(reader))),
    })
}

/// Reads a shared file from its start, whatever others do with it.
pub(super) struct ReadFrom<'f> {
    file: &'f File,
    at: u64,
}

impl<'f> ReadFrom<'f> {
    pub(super) fn start(file: &'f File) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for ReadFrom<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// All streams of an xz file, and zeros between and behind them. The xz file format, section 2.
struct Xz<R: Read>(XzReader<R>);

impl<R: Read> Read for Xz<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => invalid(format!(
                "it asks for a dictionary of more than {} MiB; pack it with a lower level",
                MAX_WINDOW >> 20
            )),
            _ => error,
        })
    }
}

/// All frames of a zstd stream, one after the other (RFC 8878, section 3).
pub(in crate::archive) struct Frames<R> {
    reader: R,
    decoder: FrameDecoder,
    /// Inside a frame.
    inside: bool,
}

impl<R: BufRead> Frames<R> {
    pub(in crate::archive) fn new(reader: R) -> Self {
        let mut decoder = FrameDecoder::new();
        // The window is memory that the sender chooses (RFC 8878, section 3.1.1.1.2).
        decoder.set_max_window_size(MAX_WINDOW);
        Self {
            reader,
            decoder,
            inside: false,
        }
    }

    /// Begins the next frame; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.reader.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.reader) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(
                    FrameDecoderError::WindowSizeTooBig { requested: asked, .. }
                    | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { got: asked }),
                ) => {
                    return Err(invalid(format!(
                        "a zstd frame asks for a window of {asked} bytes, and {MAX_WINDOW} are allowed; pack it with a lower level"
                    )));
                }
                Err(error) => return Err(invalid(error.to_string())),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() {
            if !self.inside && !self.begin()? {
                break;
            }
            self.inside = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.reader, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|e| invalid(e.to_string()))?;
            }
            let read = self.decoder.read(buf)?;
            if read > 0 {
                return Ok(read);
            }
            self.inside = false;
            let (told, found) = (
                self.decoder.get_checksum_from_data(),
                self.decoder.get_calculated_checksum(),
            );
            if told.is_some() && told != found {
                return Err(invalid("a zstd frame has a wrong checksum".into()));
            }
        }
        Ok(0)
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_limited() {
        let read = |head: &[u8]| Frames::new(head).read(&mut [0; 1]).unwrap_err().to_string();
        // Window descriptors: exponent above 10 in the high five bits, eighths in the low three. No block follows.
        for (byte, good) in [
            ((16 << 3) - 1, true),
            (16 << 3, true),
            ((16 << 3) + 1, false),
            (0xff, false),
        ] {
            let error = read(&[0x28, 0xb5, 0x2f, 0xfd, 0, byte]);
            assert_eq!(!error.contains("asks for a window"), good, "{byte}: {error}");
        }
        let single = |size: u64| {
            let mut head = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
            head.extend(size.to_le_bytes());
            !read(&head).contains("asks for a window")
        };
        assert!(single(MAX_WINDOW - 1) && single(MAX_WINDOW) && !single(MAX_WINDOW + 1));
    }
}
