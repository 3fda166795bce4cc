//! TLS towards an endpoint.

use std::io;
use std::rc::Rc;

use pod_contract::tls::{Renewing, cause, explained};
use rustls::Error;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::DialError;
use crate::starttls::StartTls;
use crate::stream::Stream;

/// How an endpoint is spoken to in TLS.
#[derive(Debug, Clone)]
pub(crate) struct Secure {
    pub(crate) certificates: Rc<Renewing>,
    /// What the endpoint is asked for, and has to be.
    pub(crate) name: ServerName<'static>,
    /// What comes before the handshake.
    pub(crate) start: Option<StartTls>,
}

impl Secure {
    /// The handshake, with certificates as they are at this moment.
    pub(super) async fn over(&self, mut socket: TcpStream) -> Result<Stream, DialError> {
        socket.set_nodelay(true).map_err(|error| failed(&error))?;
        if let Some(start) = self.start {
            start.ask(&mut socket).await?;
        }
        let connector = TlsConnector::from(self.certificates.current());
        match connector.connect(self.name.clone(), socket).await {
            Ok(stream) => {
                let (socket, records) = stream.into_inner();
                Ok(Stream::tls(socket, records.into()))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

fn failed(error: &io::Error) -> DialError {
    let why = explained(error).unwrap_or_else(|| format!("no TLS handshake: {error}"));
    match cause(error) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => DialError::Certificate(why),
        _ => DialError::Handshake(why),
    }
}
