//! TLS below the requests: the settings of [`pod_contract::tls`] as a connector of ureq.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use pod_contract::start::exit::Failure;
use pod_contract::tls::{self, Sources, Tls, Trust};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
    Transport, TransportAdapter,
};

/// The connector of all requests. Files that were named are read at once, so that a mistake shows at the start; what a variable names,
/// when it is needed.
pub(super) fn connector(tls: &Tls) -> Result<impl Connector + use<>, Failure> {
    let secure = Secure::new(tls.clone());
    if tls.sources != Sources::default() {
        secure.config()?;
    }
    Ok(
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(secure),
    )
}

/// Wraps a connection in TLS where the URL asks for it.
struct Secure {
    tls: Tls,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Secure {
    fn new(tls: Tls) -> Self {
        Self {
            tls,
            config: OnceLock::new(),
        }
    }

    /// Read the first time that it is asked for.
    fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let trust = self.tls.trust;
        if trust == Trust::Anybody {
            tracing::warn!(
                "--tls-insecure: any server is believed; whoever is on the way reads and changes what is fetched"
            );
        }
        let config = Arc::new(tls::client(&self.tls.sources.load(trust)?, trust, &["http/1.1"])?);
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secure")
    }
}

impl<In: Transport> Connector<In> for Secure {
    type Out = Either<In, Encrypted>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| ureq::Error::Tls("the host is no name for a certificate"))?;
        let mut conn =
            ClientConnection::new(self.config().map_err(io::Error::other)?, name).map_err(io::Error::other)?;
        let mut sock = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock)
            .map_err(|error| or_alert(error, &mut conn, &mut sock))?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Encrypted {
            buffers,
            stream: StreamOwned { conn, sock },
        })))
    }
}

/// Why the server hung up: its alert may lie unread behind a connection that no longer takes what is written.
fn or_alert(error: io::Error, conn: &mut ClientConnection, sock: &mut TransportAdapter) -> io::Error {
    let hung_up = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
    while hung_up.contains(&error.kind()) && conn.read_tls(sock).is_ok_and(|amount| amount > 0) {
        if let Err(alert) = conn.process_new_packets() {
            return io::Error::new(io::ErrorKind::InvalidData, alert);
        }
    }
    error
}

/// A connection in TLS.
pub(super) struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypted")
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let written = self.stream.write_all(&self.buffers.output()[..amount]);
        let StreamOwned { conn, sock } = &mut self.stream;
        Ok(written.map_err(|error| or_alert(error, conn, sock))?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
