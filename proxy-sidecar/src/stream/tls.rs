//! TLS over a connection: rustls has the records, the socket is ours. What is decrypted goes straight into the block it is read for.

use std::cell::{Cell, RefCell, RefMut};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::RecvFlags;
use rustls::{Connection, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, tcp};

use super::Look;

/// What waits encrypted until the socket takes it, in bytes: one record.
const ENCRYPTED: usize = 16 << 10;
/// A peer that is quiet has sent no more than a ticket or two, and one that sends for ever must not be listened to for ever.
const READS_A_LOOK: usize = 4;

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Session {
    socket: TcpStream,
    records: RefCell<Connection>,
    /// Between two requests. An end anywhere else is not one in order, and must not look like one.
    rests: Cell<bool>,
}

/// The direction from the peer.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    socket: tcp::ReadHalf<'s>,
    records: &'s RefCell<Connection>,
}

/// The direction to the peer. What is written may wait until it is flushed.
#[derive(Debug)]
pub(crate) struct Writer<'s> {
    socket: tcp::WriteHalf<'s>,
    records: &'s RefCell<Connection>,
}

impl Session {
    pub(super) fn new(socket: TcpStream, mut records: Connection) -> Self {
        records.set_buffer_limit(Some(ENCRYPTED));
        Self {
            socket,
            records: RefCell::new(records),
            rests: Cell::new(false),
        }
    }

    pub(super) fn rest(&self, rests: bool) {
        self.rests.set(rests);
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn alpn(&self) -> Option<Vec<u8>> {
        self.records.borrow().alpn_protocol().map(<[u8]>::to_vec)
    }

    pub(super) fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        let records = &self.records;
        let (read, write) = self.socket.split();
        (Reader { socket: read, records }, Writer { socket: write, records })
    }

    /// Asks the kernel. Records that carry nothing for us, such as a ticket, are read on the way.
    pub(super) fn look(&self) -> Look {
        let mut records = self.records.borrow_mut();
        for _ in 0..READS_A_LOOK {
            match records.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() > 0 => return Look::Speaks,
                Ok(state) if state.peer_has_closed() => return Look::Ended,
                Ok(_) => {}
                Err(_) => return Look::Wrong,
            }
            match records.read_tls(&mut Now(&self.socket)) {
                Ok(0) => return Look::Ended,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Look::Quiet,
                Err(_) => return Look::Wrong,
            }
        }
        Look::Speaks
    }

    /// Was an earlier session resumed?
    pub(super) fn is_resumed(&self) -> bool {
        self.records.borrow().handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// RFC 8446, section 6.1: who ends says so.
impl Drop for Session {
    fn drop(&mut self) {
        let records = self.records.get_mut();
        if self.rests.get() && !records.wants_write() {
            records.send_close_notify();
            say(records, &self.socket);
        }
    }
}

impl Reader<'_> {
    pub(super) fn socket(&self) -> &TcpStream {
        self.socket.as_ref()
    }

    /// Waits for content, for the end of the stream, or for an error.
    pub(super) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_records(context).map_ok(drop)
    }

    /// Reads records until there is something in them, or they have ended. What is wrong is told after what came before it.
    fn poll_records(&mut self, context: &mut Context<'_>) -> Poll<io::Result<RefMut<'_, Connection>>> {
        let mut records = self.records.borrow_mut();
        loop {
            let processed = processed(&mut records, self.socket.as_ref());
            if !records.wants_read() {
                return Poll::Ready(Ok(records));
            }
            // It is told each time, though nothing more comes.
            processed?;
            let mut socket = Waiting(Pin::new(&mut self.socket), &mut *context);
            // Whether this was in order is told when the content is read.
            if ready!(would_block(records.read_tls(&mut socket)))? == 0 {
                return Poll::Ready(Ok(records));
            }
        }
    }
}

impl AsyncRead for Reader<'_> {
    /// Takes all records that are there, as far as there is room: each has 16 KiB at most.
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        while into.remaining() > 0 {
            let read = match self.poll_records(context) {
                Poll::Ready(Ok(mut records)) => would_block(records.reader().read(into.initialize_unfilled())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
            match read {
                Poll::Ready(Ok(count)) if count > 0 => into.advance(count),
                // It is told again by the next read.
                _ if into.filled().len() > before => break,
                read => return read.map_ok(drop),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Decrypts what was read. What is to be said to that goes out, if it can at once.
fn processed(records: &mut Connection, socket: &TcpStream) -> io::Result<()> {
    let processed = records.process_new_packets();
    if records.wants_write() {
        say(records, socket);
    }
    processed
        .map(drop)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes what waits, as far as that goes without waiting.
fn say(records: &mut Connection, socket: &TcpStream) {
    match records.write_tls(&mut Now(socket)) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            tracing::debug!(%error, "the peer does not hear the last of it");
        }
        _ => {}
    }
}

impl Writer<'_> {
    pub(super) fn socket(&self) -> &TcpStream {
        self.socket.as_ref()
    }

    /// Writes what is encrypted until nothing of it is left.
    fn poll_records(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut records = self.records.borrow_mut();
        while records.wants_write() {
            let mut socket = Waiting(Pin::new(&mut self.socket), &mut *context);
            if ready!(would_block(records.write_tls(&mut socket)))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Writer<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(data)])
    }

    /// Takes as much as there is room for, even if the peer takes nothing now.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let taken = self.records.borrow_mut().writer().write_vectored(data)?;
            match self.poll_records(context)? {
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Ready(()) if taken == 0 && data.iter().any(|part| !part.is_empty()) => {}
                _ => return Poll::Ready(Ok(taken)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_records(context)
    }

    /// Says that no more comes, by a record and by the connection: RFC 8446, section 6.1, lets the other direction go on.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.records.borrow_mut().send_close_notify();
        ready!(self.poll_records(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// One half of a socket as rustls uses it, for who waits: it is woken when the socket can go on.
struct Waiting<'w, 'c, H>(Pin<&'w mut H>, &'w mut Context<'c>);

impl<H: AsyncRead> io::Read for Waiting<'_, '_, H> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        or_would_block(self.0.as_mut().poll_read(self.1, &mut into))?;
        Ok(into.filled().len())
    }
}

impl<H: AsyncWrite> io::Write for Waiting<'_, '_, H> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        or_would_block(self.0.as_mut().poll_write(self.1, data))
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(self.0.as_mut().poll_write_vectored(self.1, data))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket as rustls uses it, for who does not wait.
struct Now<'s>(&'s TcpStream);

impl io::Read for Now<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (count, _) = rustix::net::recv(self.0, into, RecvFlags::DONTWAIT)?;
        Ok(count)
    }
}

impl io::Write for Now<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.try_write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn would_block<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pod_contract::tls::{Sources, Trust, client};
    use rustls::ServerConfig;
    use rustls::pki_types::ServerName;
    use testbed::tls::Authority;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::server::TlsStream;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    async fn pair() -> (Session, TlsStream<TcpStream>) {
        pair_with(Authority::new().server("127.0.0.1")).await
    }

    async fn pair_with(server: ServerConfig) -> (Session, TlsStream<TcpStream>) {
        let server = TlsAcceptor::from(Arc::new(server));
        let material = Sources::default().load(Trust::Anybody).unwrap();
        let client = TlsConnector::from(Arc::new(client(&material, Trust::Anybody, &[]).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async { server.accept(listener.accept().await.unwrap().0).await.unwrap() };
        let connect = async {
            let socket = TcpStream::connect(address).await.unwrap();
            let stream = client.connect(ServerName::from(address.ip()), socket).await.unwrap();
            let (socket, records) = stream.into_inner();
            Session::new(socket, records.into())
        };
        let (server, client) = tokio::join!(accept, connect);
        (client, server)
    }

    fn until(session: &Session, wanted: Look) {
        testbed::wait::until("a look", || (session.look() == wanted).then_some(()));
    }

    #[tokio::test]
    async fn tickets_are_not_taken_for_words() {
        let (mut session, mut server) = pair().await;
        // They lie there unread, since the handshake had ended before they came.
        assert_eq!(session.look(), Look::Quiet);
        server.write_all(b"unasked").await.unwrap();
        server.flush().await.unwrap();
        until(&session, Look::Speaks);
        let mut said = [0; 7];
        session.split().0.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"unasked");
        until(&session, Look::Quiet);
        server.shutdown().await.unwrap();
        until(&session, Look::Ended);
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_after_what_came_before_it() {
        let (mut session, mut server) = pair().await;
        server.write_all(&[7; 4096]).await.unwrap();
        server.flush().await.unwrap();
        let (socket, _) = server.into_inner();
        // A record that nobody signed, in full.
        let record = [&b"\x17\x03\x03\x00\x20"[..], &[1; 32]].concat();
        assert_eq!(socket.try_write(&record).unwrap(), record.len());
        let (mut reader, _writer) = session.split();
        let mut all = vec![0; 8192];
        let mut read = 0;
        let error = loop {
            match tokio::time::timeout(testbed::wait::PATIENCE, reader.read(&mut all[read..]))
                .await
                .unwrap()
            {
                Ok(count) => read += count,
                Err(error) => break error,
            }
        };
        assert_eq!((read, error.kind()), (4096, io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn a_peer_that_sends_for_ever_is_not_listened_to_for_ever() {
        let mut server = Authority::new().server("127.0.0.1");
        server.send_tls13_tickets = 1000;
        let (session, _server) = pair_with(server).await;
        assert_eq!(session.look(), Look::Speaks);
    }

    #[tokio::test]
    async fn an_end_without_a_word_is_seen() {
        let (session, server) = pair().await;
        assert_eq!(session.look(), Look::Quiet);
        drop(server);
        until(&session, Look::Ended);
    }

    #[tokio::test]
    async fn who_ends_at_rest_says_so() {
        for rests in [true, false] {
            let (session, mut server) = pair().await;
            session.rest(rests);
            drop(session);
            assert_eq!(server.read(&mut [0]).await.is_ok(), rests);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_now_goes_out_with_a_flush() {
        let (mut session, mut server) = pair().await;
        let data: Vec<u8> = (0..2 << 20_u32).flat_map(u32::to_le_bytes).collect();
        let (_reader, mut writer) = session.split();
        let write = async {
            writer.write_all(&data).await.unwrap();
            writer.flush().await.unwrap();
        };
        let mut read = vec![0; data.len()];
        tokio::join!(write, async { server.read_exact(&mut read).await.unwrap() });
        assert!(read == data);
    }
}
