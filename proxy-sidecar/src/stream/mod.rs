//! A connection to one peer: the only place that knows what carries it.

mod block;
mod buffer;
mod pipe;
mod scratch;
mod tls;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, sockopt};
use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, Interest, ReadBuf};
use tokio::net::{TcpStream, tcp};
use tokio::time::timeout;

pub(crate) use buffer::Buffer;
pub(crate) use pipe::{Fault, Moved, Splicer};
pub(crate) use scratch::Scratch;

/// What a peer still sends after the last word for it is read for so long: closing on unread bytes would reset that away.
const LINGER: Duration = Duration::from_secs(1);

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<tls::Session>),
}

/// The direction from the peer.
#[derive(Debug)]
pub(crate) enum Reader<'s> {
    Tcp(tcp::ReadHalf<'s>),
    Tls(tls::Reader<'s>),
}

/// The direction to the peer. What is written may wait until it is flushed.
#[derive(Debug)]
pub(crate) enum Writer<'s> {
    Tcp(tcp::WriteHalf<'s>),
    Tls(tls::Writer<'s>),
}

/// What can be seen of the peer without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is there, and has nothing to say.
    Quiet,
    /// It has something to say.
    Speaks,
    /// It has broken off, or what it says is not what it has to be.
    Wrong,
    /// It has ended its direction, and everything before that has been read.
    Ended,
}

impl Stream {
    /// A head must not wait for the acknowledgement of another one, so Nagle's algorithm is off.
    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// What comes after a handshake over `socket`.
    pub(crate) fn tls(socket: TcpStream, records: Connection) -> Self {
        Self::Tls(Box::new(tls::Session::new(socket, records)))
    }

    /// Both directions at once.
    pub(crate) fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Self::Tcp(socket) => {
                let (read, write) = socket.split();
                (Reader::Tcp(read), Writer::Tcp(write))
            }
            Self::Tls(session) => {
                let (read, write) = session.split();
                (Reader::Tls(read), Writer::Tls(write))
            }
        }
    }

    /// Of an encrypted one: was an earlier session resumed?
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(session) => Some(session.is_resumed()),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(session) => session.socket(),
        }
    }

    /// Waits for something to read, for the end of the stream, or for an error.
    pub(crate) async fn readable(&mut self) {
        let (mut reader, _) = self.split();
        // What is wrong is told by the read that follows.
        drop(poll_fn(|context| reader.poll_readable(context)).await);
    }

    /// Waits until the peer has broken off. One that has ended its direction may still listen; only a write tells.
    pub(crate) async fn broken_off(&self) {
        drop(self.socket().ready(Interest::ERROR).await);
    }

    /// What `done` gives; none if the peer breaks off before.
    pub(crate) async fn while_there<T>(&self, done: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = done => Some(done),
            () = self.broken_off() => None,
        }
    }

    /// Neither closed nor saying something unasked. Asks the kernel: what the runtime knows is as old as its last turn.
    pub(crate) fn is_quiet(&self) -> bool {
        self.look() == Look::Quiet
    }

    /// The peer has ended its direction, and everything before that has been read.
    pub(crate) fn has_ended(&self) -> bool {
        self.look() == Look::Ended
    }

    /// Nothing is to be had from the peer.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.look(), Look::Ended | Look::Wrong)
    }

    /// Waits for the first of what comes, which is there to be read after it. Of an encrypted one, what that is encrypted.
    pub(crate) async fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        self.socket().peek(into).await
    }

    /// Between two requests: if it ends here, it ends in order.
    pub(crate) fn rest(&self, rests: bool) {
        if let Self::Tls(session) = self {
            session.rest(rests);
        }
    }

    fn look(&self) -> Look {
        match self {
            Self::Tcp(socket) => match rustix::net::recv(socket, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::AGAIN) => Look::Quiet,
                Ok((0, _)) => Look::Ended,
                Ok(_) => Look::Speaks,
                Err(_) => Look::Wrong,
            },
            Self::Tls(session) => session.look(),
        }
    }

    /// Has the kernel ask a peer that is silent whether it is still there: a minute of silence, then every ten seconds, six times.
    pub(crate) fn keep_alive(&self) {
        let set = || {
            let socket = self.socket();
            sockopt::set_socket_keepalive(socket, true)?;
            sockopt::set_tcp_keepidle(socket, Duration::from_secs(60))?;
            sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10))?;
            sockopt::set_tcp_keepcnt(socket, 6)
        };
        if let Err(error) = set() {
            tracing::debug!(%error, "cannot set keepalive");
        }
    }

    /// See [`Writer::acknowledged_within`].
    pub(crate) fn acknowledged_within(&self, limit: Duration) {
        acknowledged_within(self.socket(), Some(limit));
    }

    /// Of an encrypted one: what was agreed to speak in it.
    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(session) => session.alpn(),
        }
    }

    /// Ends our direction after the last word, and reads the other to its end for [`LINGER`].
    pub(crate) async fn linger(&mut self) {
        let (mut reader, mut writer) = self.split();
        if writer.shutdown().await.is_err() {
            return;
        }
        let mut rest = Buffer::new();
        let rest = async {
            while matches!(rest.fill(&mut reader).await, Ok(count) if count > 0) {
                rest.consume(rest.filled().len());
            }
        };
        if Box::pin(timeout(LINGER, rest)).await.is_err() {
            tracing::debug!("the peer goes on sending after the last word");
        }
    }

    /// Makes the end of a broken exchange look like one: a reset, so that what was cut short cannot be taken for complete.
    pub(crate) fn reset(&self) {
        if let Err(error) = self.socket().set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

impl Reader<'_> {
    /// Waits for a byte, for the end of the stream, or for an error.
    pub(crate) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.as_ref().poll_read_ready(context),
            Self::Tls(reader) => reader.poll_readable(context),
        }
    }

    /// See [`Stream::broken_off`].
    pub(crate) async fn broken_off(&self) {
        drop(self.socket().ready(Interest::ERROR).await);
    }

    /// See [`Writer::acknowledged_within`].
    pub(crate) fn acknowledged_within(&self, limit: Option<Duration>) {
        acknowledged_within(self.socket(), limit);
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket.as_ref(),
            Self::Tls(reader) => reader.socket(),
        }
    }

    /// The socket, if its bytes are what is read.
    fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket.as_ref()),
            Self::Tls(_) => None,
        }
    }
}

impl Writer<'_> {
    /// The socket, if what is written are its bytes.
    fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket.as_ref()),
            Self::Tls(_) => None,
        }
    }

    /// How long what was sent may go without an acknowledgement, or without room for it; none is as long as the kernel tries, a quarter of
    /// an hour. A busy process makes no difference, its kernel acknowledges. See tcp(7), TCP_USER_TIMEOUT.
    pub(crate) fn acknowledged_within(&self, limit: Option<Duration>) {
        let socket = match self {
            Self::Tcp(socket) => socket.as_ref(),
            Self::Tls(writer) => writer.socket(),
        };
        acknowledged_within(socket, limit);
    }
}

fn acknowledged_within(socket: &TcpStream, limit: Option<Duration>) {
    let millis = limit.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
    if let Err(error) = sockopt::set_tcp_user_timeout(socket, millis) {
        tracing::debug!(%error, "cannot limit how long a peer may be away");
    }
}

/// For a library that owns the connection.
impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().split().0).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().split().1).poll_write(context, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().split().1).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().split().1).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().split().1).poll_shutdown(context)
    }
}

impl AsyncRead for Reader<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(context, into),
            Self::Tls(reader) => Pin::new(reader).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Writer<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(context, data),
            Self::Tls(writer) => Pin::new(writer).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(context, data),
            Self::Tls(writer) => Pin::new(writer).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(writer) => Pin::new(writer).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(writer) => Pin::new(writer).poll_shutdown(context),
        }
    }
}
