//! Moves one body from a socket to another, decoding its framing on the way in and writing its own on the way out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;

use super::outgoing::{Outgoing, flush};
use crate::deadline::Activity;
use crate::message::head::Framing;
use crate::message::{Decoder, Malformed, Step};
use crate::stream::{Buffer, Fault, Moved, Reader, Splicer, Writer};

/// Why a body did not arrive whole; the side tells whose fault it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("cannot read: {0}")]
    Read(io::Error),
    #[error("the body ended early")]
    Truncated,
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("cannot write: {0}")]
    Write(io::Error),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Read(error) => Self::Read(error),
            Fault::Write(error) => Self::Write(error),
        }
    }
}

/// Of less, a copy costs no more.
const SPLICED: u64 = 64 << 10;

/// One direction of a body: from whom, as far as it is read and decoded, and how it goes on.
pub(super) struct Body<'b> {
    pub(super) buffer: &'b mut Buffer,
    pub(super) decoder: &'b mut Decoder,
    pub(super) framing: Framing,
    pub(super) out: &'b RefCell<Outgoing>,
}

/// What is to be done after what can be gathered is.
enum Gathered {
    /// The next bytes of content are too many: they go out from where they are.
    Upto(usize),
    /// Everything that was read.
    AllThereIs,
    /// Everything to the end of the body.
    ToTheEnd,
}

impl Body<'_> {
    /// Copies the body, with what the buffer already holds of it, after what waits to go out.
    pub(super) async fn copy(
        &mut self,
        from: &mut Reader<'_>,
        to: &mut Writer<'_>,
        activity: &Activity,
    ) -> Result<(), Broken> {
        loop {
            let gathered = self.gather()?;
            if let Gathered::Upto(count) = gathered {
                self.send(count, to, activity).await.map_err(Broken::Write)?;
                continue;
            }
            flush(self.out, to).await.map_err(Broken::Write)?;
            activity.mark();
            if matches!(gathered, Gathered::ToTheEnd) {
                self.buffer.release();
                return Ok(());
            }
            if self.is_long() && self.splice(from, to, activity).await? {
                continue;
            }
            activity.await_input(true);
            let count = self.buffer.fill(from).await.map_err(Broken::Read)?;
            activity.await_input(false);
            if count == 0 {
                if !self.decoder.ends_with_stream() {
                    return Err(Broken::Truncated);
                }
                self.end(&[]);
                return flush(self.out, to).await.map_err(Broken::Write);
            }
            self.buffer.keep_pace();
        }
    }

    /// What is left is much, goes on as it comes, and does not have to be kept.
    fn is_long(&self) -> bool {
        let left = self.decoder.left().unwrap_or_default();
        left > SPLICED
            && self.buffer.is_empty()
            && matches!(self.framing, Framing::Length(_))
            && !self.out.borrow().keeps()
    }

    /// Moves what is left without looking at it, as far as it comes at once; false when the rest has to be waited for or copied.
    async fn splice(
        &mut self,
        from: &mut Reader<'_>,
        to: &mut Writer<'_>,
        activity: &Activity,
    ) -> Result<bool, Broken> {
        self.buffer.release();
        let mut splicer = Splicer::default();
        loop {
            let left = self.decoder.left().unwrap_or_default();
            if left == 0 && splicer.is_empty() {
                return Ok(true);
            }
            match splicer.step(from, to, left).await? {
                Moved::Read(count) => self.decoder.take(count as u64),
                Moved::Written => activity.mark(),
                Moved::End => return Err(Broken::Truncated),
                // What comes next may be little, or what cannot be spliced: it is copied first.
                Moved::Idle | Moved::NoPipe => return Ok(false),
            }
        }
    }

    /// Gathers what the buffer holds: small parts, and what may have to be sent again.
    fn gather(&mut self) -> Result<Gathered, Malformed> {
        loop {
            match self.decoder.step(self.buffer.filled())? {
                Step::Data(count) => {
                    let gathers = self.out.borrow().gathers(count);
                    if !gathers {
                        self.out.borrow_mut().commit();
                    }
                    if self.is_chunked() {
                        self.push(ChunkLine::of(count).as_bytes());
                    }
                    if !gathers {
                        return Ok(Gathered::Upto(count));
                    }
                    self.push(&self.buffer.filled()[..count]);
                    self.buffer.consume(count);
                    self.decoder.take(count as u64);
                    self.end_chunk();
                }
                Step::Skip(count) => self.buffer.consume(count),
                Step::End { consumed, trailers } => {
                    self.buffer.consume(consumed);
                    self.end(&trailers);
                    return Ok(Gathered::ToTheEnd);
                }
                Step::Over => return Ok(Gathered::ToTheEnd),
                Step::More => return Ok(Gathered::AllThereIs),
            }
        }
    }

    /// Writes the next `count` bytes from where they are, after what was gathered.
    async fn send(&mut self, mut count: usize, to: &mut Writer<'_>, activity: &Activity) -> io::Result<()> {
        poll_fn(|context| {
            let write = |data: &[u8]| self.out.borrow_mut().poll_send(data, to, context);
            self.buffer.poll_drain(&mut count, write, |taken| {
                activity.mark();
                self.decoder.take(taken as u64);
            })
        })
        .await?;
        self.end_chunk();
        Ok(())
    }

    fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    fn push(&self, bytes: &[u8]) {
        self.out.borrow_mut().push(bytes);
    }

    fn end_chunk(&self) {
        if self.is_chunked() {
            self.push(b"\r\n");
        }
    }

    fn end(&self, trailers: &[u8]) {
        if self.is_chunked() {
            self.push(b"0\r\n");
            self.push(trailers);
            self.push(b"\r\n");
        }
    }
}

/// The size of a chunk and its line end.
struct ChunkLine {
    bytes: [u8; 18],
    start: usize,
}

impl ChunkLine {
    fn of(mut size: usize) -> Self {
        let (mut bytes, mut start) = (*b"................\r\n", 16);
        loop {
            start -= 1;
            bytes[start] = b"0123456789abcdef"[size % 16];
            size /= 16;
            if size == 0 {
                return Self { bytes, start };
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for size in [0, 1, 9, 10, 15, 16, 255, 256, 65_536, usize::MAX] {
            assert_eq!(ChunkLine::of(size).as_bytes(), format!("{size:x}\r\n").as_bytes());
        }
    }
}
