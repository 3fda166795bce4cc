//! Moves one body from a socket to another, decoding its framing on the way in and writing its own on the way out.

use std::io::{self, Write as _};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::deadline::Activity;
use crate::message::head::Framing;
use crate::message::{Decoder, Malformed, Step};
use crate::stream::Buffer;

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

/// Copies the body that `decoder` reads from `input` (with what `buffer` already holds of it) to `output`.
///
/// `pending` holds bytes to be written first, such as the head: they go out together with the first part of the body.
pub(crate) async fn copy<R, W>(
    input: &mut R,
    buffer: &mut Buffer,
    decoder: &mut Decoder,
    output: &mut W,
    framing: Framing,
    pending: &mut Vec<u8>,
    activity: &Activity,
) -> Result<(), Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let full = buffer.is_filled_to_the_brim();
        let ended = forward_filled(buffer, decoder, output, framing, pending).await?;
        if !pending.is_empty() {
            output.write_all(pending).await.map_err(Broken::Write)?;
            pending.clear();
        }
        activity.mark();
        if ended {
            return Ok(());
        }
        if full {
            buffer.grow_if_filled();
        }
        activity.await_input(true);
        let count = buffer.read(input).await.map_err(Broken::Read)?;
        activity.await_input(false);
        if count == 0 {
            if !decoder.ends_with_stream() {
                return Err(Broken::Truncated);
            }
            end(framing, &[], pending);
            output.write_all(pending).await.map_err(Broken::Write)?;
            pending.clear();
            return Ok(());
        }
    }
}

/// Forwards what the buffer holds; true when the body has ended. Small parts are gathered in `pending`.
async fn forward_filled<W: AsyncWrite + Unpin>(
    buffer: &mut Buffer,
    decoder: &mut Decoder,
    output: &mut W,
    framing: Framing,
    pending: &mut Vec<u8>,
) -> Result<bool, Broken> {
    /// Below, one copy costs less than a system call.
    const GATHERED: usize = 16 * 1024;
    loop {
        match decoder.step(buffer.filled())? {
            Step::Data(range) => {
                let data = &buffer.filled()[range.clone()];
                match framing {
                    Framing::Chunked => {
                        write!(pending, "{:x}\r\n", data.len()).map_err(Broken::Write)?;
                        pending.extend_from_slice(data);
                        pending.extend_from_slice(b"\r\n");
                    }
                    _ if pending.is_empty() || data.len() > GATHERED => {
                        if !pending.is_empty() {
                            output.write_all(pending).await.map_err(Broken::Write)?;
                            pending.clear();
                        }
                        output.write_all(data).await.map_err(Broken::Write)?;
                    }
                    _ => pending.extend_from_slice(data),
                }
                buffer.consume(range.end);
            }
            Step::Skip(count) => buffer.consume(count),
            Step::End { consumed, trailers } => {
                buffer.consume(consumed);
                end(framing, &trailers, pending);
                return Ok(true);
            }
            Step::More => return Ok(false),
        }
    }
}

fn end(framing: Framing, trailers: &[u8], pending: &mut Vec<u8>) {
    if framing == Framing::Chunked {
        pending.extend_from_slice(b"0\r\n");
        pending.extend_from_slice(trailers);
        pending.extend_from_slice(b"\r\n");
    }
}
