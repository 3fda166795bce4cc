//! All members of a gzip stream, one after the other, and the zeros that may follow. RFC 1952, section 2.2.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Zeros behind the last member are padding, as of a tape, and what many old npm packages end with; gzip, tar and bsdtar pass them over.
pub(super) struct Members<R> {
    /// `None` once all has been read.
    decoder: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            decoder: Some(GzDecoder::new(reader)),
        }
    }

    /// The next member, if there is one.
    fn next(decoder: GzDecoder<R>) -> io::Result<Option<GzDecoder<R>>> {
        let mut reader = decoder.into_inner();
        if reader.fill_buf()?.first().is_some_and(|&first| first != 0) {
            return Ok(Some(GzDecoder::new(reader)));
        }
        loop {
            let rest = reader.fill_buf()?;
            if rest.is_empty() {
                return Ok(None);
            }
            if rest.iter().any(|&byte| byte != 0) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "there is something behind the compressed stream and its padding",
                ));
            }
            let length = rest.len();
            reader.consume(length);
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            self.decoder = match self.decoder.take() {
                Some(decoder) => Self::next(decoder)?,
                None => None,
            };
        }
        Ok(0)
    }
}
