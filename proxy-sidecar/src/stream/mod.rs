//! A connection to one peer: the only place that knows what carries it.

mod block;
mod buffer;
mod pipe;
mod scratch;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, tcp};

pub(crate) use buffer::Buffer;
pub(crate) use pipe::{Fault, Moved, Splicer};
pub(crate) use scratch::Scratch;

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

    /// Waits for a byte, for the end of the stream, or for an error.
    pub(crate) async fn readable(&self) {
        // What is wrong is told by the read that follows.
        drop(self.0.readable().await);
    }

    /// Waits until the peer has broken off. One that has ended its direction may still listen; only a write tells.
    pub(crate) async fn broken_off(&self) {
        drop(self.0.ready(Interest::ERROR).await);
    }

    /// Neither closed nor saying something unasked. Asks the kernel: what the runtime knows is as old as its last turn.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.look(), Err(rustix::io::Errno::AGAIN))
    }

    /// The peer has ended its direction, and everything before that has been read.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.look(), Ok(0))
    }

    fn look(&self) -> rustix::io::Result<usize> {
        let (count, _) = rustix::net::recv(&self.0, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
        Ok(count)
    }

    /// Has the kernel ask a peer that is silent whether it is still there: a minute of silence, then every ten seconds, six times.
    pub(crate) fn keep_alive(&self) {
        let set = || {
            sockopt::set_socket_keepalive(&self.0, true)?;
            sockopt::set_tcp_keepidle(&self.0, Duration::from_secs(60))?;
            sockopt::set_tcp_keepintvl(&self.0, Duration::from_secs(10))?;
            sockopt::set_tcp_keepcnt(&self.0, 6)
        };
        if let Err(error) = set() {
            tracing::debug!(%error, "cannot set keepalive");
        }
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
    pub(crate) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_ref().poll_read_ready(context)
    }

    /// See [`Stream::broken_off`].
    pub(crate) async fn broken_off(&self) {
        drop(self.0.ready(Interest::ERROR).await);
    }
}

impl Writer<'_> {
    /// Writes what is taken now; none when the peer takes nothing.
    pub(crate) async fn write_now(&mut self, data: &[u8]) -> io::Result<Option<usize>> {
        poll_fn(|context| match Pin::new(&mut self.0).poll_write(context, data) {
            Poll::Ready(result) => Poll::Ready(result.map(Some)),
            Poll::Pending => Poll::Ready(Ok(None)),
        })
        .await
    }
}

impl AsyncRead for Reader<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Writer<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
