//! Syslog over TCP, also in TLS: RFC 5424 in the frames of RFC 6587, section 3.4.1, and RFC 5425.
//!
//! Syslog has no acknowledgement. So each batch has a connection of its own, which we close for writing: the server reads up to that, and
//! closes its side when it has. That proves that it has read all of the batch, where an open connection proves no more than that the
//! kernel on the way has. A proxy in between that closes by itself voids the proof.

mod encode;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pod_contract::tls::Renewing;
use pod_contract::units::HostPort;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::encode::Encoder;
use super::connect::{CONNECT_TIMEOUT, chain};
use super::{Answer, Network, Verdict};
use crate::batch::Record;
use crate::parse::Shape;
use crate::recycle::Pool;

#[derive(Debug)]
pub(crate) struct Syslog {
    address: HostPort,
    tls: Option<Arc<Renewing>>,
    timeout: Duration,
    encoder: Encoder,
    pub(super) bodies: Arc<Pool>,
}

impl Syslog {
    pub(crate) fn new(address: &HostPort, network: &Network, shape: &Shape) -> Self {
        Self {
            address: address.clone(),
            tls: network.tls.clone(),
            timeout: network.timeout,
            encoder: Encoder::new(shape),
            bodies: super::http::bodies(),
        }
    }

    /// Is somebody there, who is who he says?
    pub(crate) async fn greet(&self) -> Result<(), String> {
        let stream = within(CONNECT_TIMEOUT, NOT_CONNECTED, self.connect()).await;
        stream.map(drop).map_err(|error| chain(&error))
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let later = |is_unclear| {
            move |error: io::Error| Answer::Later {
                why: chain(&error),
                after: None,
                is_unclear,
            }
        };
        let stream = match within(CONNECT_TIMEOUT, NOT_CONNECTED, self.connect()).await {
            Ok(stream) => stream,
            Err(error) => return later(false)(error),
        };
        let mut body = self.bodies.take(self.encoder.size(records));
        self.encoder.write(&mut body, records, read_at);
        match within(self.timeout, NOT_CLOSED, hand_over(stream, &body)).await {
            Ok(()) => Answer::Each(vec![Verdict::Delivered; records.len()]),
            Err(error) => later(true)(error),
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let HostPort { host, port } = &self.address;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls.current()).connect(name, tcp).await?;
        Ok(Box::new(stream))
    }
}

/// Whoever closes without having read resets the connection when the rest arrives: about this time later.
const AFTERMATH: Duration = Duration::from_millis(50);

trait Connection: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Connection for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Sends all of it, and waits until the server has read it and closes its side.
async fn hand_over(mut stream: Box<dyn Connection>, body: &[u8]) -> io::Result<()> {
    let mut ignored = [0; 512];
    stream.write_all(body).await?;
    tokio::select! {
        biased;
        read = stream.read(&mut ignored) => if read? == 0 {
            return Err(io::Error::other("the server closes before it can have read everything"));
        },
        () = std::future::ready(()) => {}
    }
    stream.shutdown().await?;
    loop {
        match stream.read(&mut ignored).await {
            Ok(0) => break,
            Ok(_) => {}
            // Without the last word of TLS, which many leave out.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    tokio::time::sleep(AFTERMATH).await;
    match stream.tcp().take_error()? {
        Some(reset) => Err(reset),
        None => Ok(()),
    }
}

async fn within<T>(limit: Duration, what: &str, done: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = tokio::time::timeout(limit, done).await;
    done.unwrap_or_else(|_| Err(io::Error::other(format!("{what} within {limit:?}"))))
}

const NOT_CONNECTED: &str = "not connected";
const NOT_CLOSED: &str = "not closed by the server, which has to read to the end of a connection and to close it then,";
