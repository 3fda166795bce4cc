//! Protocols that begin plainly and change to TLS by a word: it is spoken with the endpoint, and declined to the application.

pub(crate) mod postgres;

use tokio::net::TcpStream;

use crate::dial::DialError;

/// What is spoken before TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartTls {
    Postgres,
}

impl StartTls {
    /// Has the endpoint expect a TLS handshake.
    pub(crate) async fn ask(self, socket: &mut TcpStream) -> Result<(), DialError> {
        match self {
            Self::Postgres => postgres::ask(socket).await,
        }
    }
}
