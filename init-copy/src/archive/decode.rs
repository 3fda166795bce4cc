//! The compressed stream below a tar.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::Format;

const BUFFER: usize = 64 << 10;
/// What a zstd frame may ask for; level 19 needs 8 MiB, `--ultra -22` 128 MiB.
const MAX_WINDOW: u64 = 64 << 20;

/// The tar inside `file`.
pub(crate) fn decoder(file: &File, format: Format) -> io::Result<Box<dyn Read + '_>> {
    let reader = BufReader::with_capacity(BUFFER, ReadFrom { file, at: 0 });
    Ok(match format {
        Format::TarGz => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(reader))),
        Format::TarZst => Box::new(Frames {
            reader: Some(reader),
            frame: None,
        }),
        Format::Zip | Format::Tar => Box::new(reader),
    })
}

/// Reads a shared file from its start, whatever others do with it.
struct ReadFrom<'f> {
    file: &'f File,
    at: u64,
}

impl Read for ReadFrom<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// All frames of a zstd stream, one after the other (RFC 8878, section 3).
struct Frames<R: Read> {
    reader: Option<R>,
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buf)?;
                if read > 0 || buf.is_empty() {
                    return Ok(read);
                }
                self.reader = self.frame.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut reader) = self.reader.take() else {
                return Ok(0);
            };
            if reader.fill_buf()?.is_empty() {
                return Ok(0);
            }
            refuse_large_window(reader.fill_buf()?)?;
            let frame =
                StreamingDecoder::new(reader).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            self.frame = Some(frame);
        }
    }
}

/// The window is memory that the sender chooses (RFC 8878, section 3.1.1.1.2).
fn refuse_large_window(head: &[u8]) -> io::Result<()> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else {
        return Ok(());
    };
    let single_segment = descriptor & 0x20 != 0;
    let window = if single_segment {
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let (length, base) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
        let size = rest.get(dictionary..dictionary + length).unwrap_or_default();
        size.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte)) + base
    } else {
        let byte = u64::from(rest.first().copied().unwrap_or_default());
        let base = 1_u64 << (10 + (byte >> 3));
        base + (base / 8) * (byte & 7)
    };
    if window > MAX_WINDOW {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the zstd frame asks for a window of {window} bytes, and {MAX_WINDOW} are allowed; pack it with a lower level"
            ),
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_limited() {
        // Window descriptors: exponent above 10 in the high five bits, eighths in the low three.
        for (byte, good) in [
            ((16 << 3) - 1, true),
            (16 << 3, true),
            ((16 << 3) + 1, false),
            (0xff, false),
        ] {
            assert_eq!(
                refuse_large_window(&[0x28, 0xb5, 0x2f, 0xfd, 0, byte]).is_ok(),
                good,
                "{byte}"
            );
        }
        let single = |size: u64| {
            let mut head = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
            head.extend(size.to_le_bytes());
            refuse_large_window(&head).is_ok()
        };
        assert!(single(MAX_WINDOW - 1) && single(MAX_WINDOW) && !single(MAX_WINDOW + 1));
    }
}
