//! Connections of the network sinks, in TLS where the URL says so.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use pod_contract::tls::{Renewing, explained};
use tokio::net::TcpStream;
use tower_service::Service;

/// For TCP.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects by TCP, and by TLS with certificates as they are at that moment.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Option<Arc<Renewing>>,
}

impl Connector {
    /// Without `tls`, only http is spoken.
    pub(super) fn new(tls: Option<Arc<Renewing>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, tls }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Connected = Result<MaybeHttpsStream<TokioIo<TcpStream>>, Error>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Connected> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        match &self.tls {
            Some(tls) => HttpsConnector::from((tcp, tls.current())).call(uri),
            None => Box::pin(async move { Ok(MaybeHttpsStream::Http(tcp.call(uri).await?)) }),
        }
    }
}

/// An error and its causes on one line, with what helps against a failed handshake.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut next) = (String::new(), Some(error));
    while let Some(cause) = next {
        if let Some(tls) = explained(cause) {
            return tls;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
