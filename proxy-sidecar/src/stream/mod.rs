//! A connection to one peer: the only place that knows what carries it.

mod buffer;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, tcp};

pub(crate) use buffer::Buffer;

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream(TcpStream);

/// The direction from the peer.
#[derive(Debug)]
pub(crate) struct Reader<'s>(tcp::ReadHalf<'s>);

/// The direction to the peer.
#[derive(Debug)]
pub(crate) struct Writer<'s>(tcp::WriteHalf<'s>);

impl Stream {
    /// A head must not wait for the acknowledgement of another one, so Nagle's algorithm is off.
    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Both directions at once.
    pub(crate) fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        let (read, write) = self.0.split();
        (Reader(read), Writer(write))
    }

    /// Waits for a byte and leaves it there; false at the end of the stream.
    pub(crate) async fn has_more(&self) -> bool {
        matches!(self.0.peek(&mut [0]).await, Ok(count) if count > 0)
    }

    /// Neither closed nor saying something unasked.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        matches!(self.0.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Makes the end of a broken exchange look like one: a reset, so that what was cut short cannot be taken for complete.
    pub(crate) fn reset(&self) {
        if let Err(error) = self.0.set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

impl Reader<'_> {
    /// Waits for a byte, for the end of the stream, or for an error.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Reads what is there now; `WouldBlock` when nothing is.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }

    /// Waits for a byte and leaves it there; 0 at the end of the stream.
    pub(crate) async fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.peek(into).await
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncRead for Reader<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncWrite for Writer<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
