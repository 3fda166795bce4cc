//! Connections of the sinks that speak no HTTP, in TLS where the URL says so.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use pod_contract::tls::Renewing;
use pod_contract::units::HostPort;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Answer;
use super::connect::{CONNECT_TIMEOUT, chain};

/// Who is connected to, with certificates as they are at that moment.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) address: HostPort,
    pub(super) tls: Option<Arc<Renewing>>,
}

impl Dial {
    /// # Errors
    /// Also when it takes longer than [`CONNECT_TIMEOUT`].
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        within(CONNECT_TIMEOUT, "not connected", self.reach()).await
    }

    async fn reach(&self) -> io::Result<Box<dyn Connection>> {
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

pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
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

/// All of it is sent again; `is_unclear` if some of it may have been taken.
pub(super) fn later(is_unclear: bool) -> impl FnOnce(io::Error) -> Answer {
    move |error| Answer::Later {
        why: chain(&error),
        after: None,
        is_unclear,
    }
}

pub(super) async fn within<T>(limit: Duration, what: &str, done: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = tokio::time::timeout(limit, done).await;
    done.unwrap_or_else(|_| Err(io::Error::other(format!("{what} within {limit:?}"))))
}
