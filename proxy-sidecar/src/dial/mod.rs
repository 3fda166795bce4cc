//! New connections: to one address, and to whichever of several stands first.

mod link;
mod race;
mod secure;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::respond::Reason;
use crate::stream::Stream;

pub(crate) use link::{Link, Use};
pub(crate) use race::{Dial, Event, Race};
pub(crate) use secure::Secure;

/// Why there is no connection. Nothing was sent, so any request may go elsewhere.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{0}")]
    Connect(String),
    /// Nothing that the endpoint could help.
    #[error("{0}; raise this container's limit of open files")]
    OutOfFiles(String),
    /// Likewise.
    #[error("{0}; this machine has no more ports or memory for it")]
    Own(String),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// It is not who it has to be.
    #[error("{0}")]
    Certificate(String),
    #[error("{0}")]
    Handshake(String),
    /// It speaks something else.
    #[error("{0}")]
    Protocol(String),
}

impl DialError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Certificate(_) => Reason::Certificate,
            Self::Handshake(_) => Reason::Handshake,
            Self::Connect(_) | Self::OutOfFiles(_) | Self::Own(_) | Self::Timeout(_) | Self::Protocol(_) => {
                Reason::Unreachable
            }
        }
    }
}

/// Connects to `address`, and tells when the connection `stands`; what is `secure` takes its handshake in the same time. A packet that is
/// lost is sent again by the kernel after 1, 3 and 7 seconds, as far as `within` allows.
pub(crate) async fn connect(
    address: SocketAddr,
    secure: Option<Secure>,
    within: Duration,
    stands: Rc<Cell<bool>>,
) -> Result<Stream, DialError> {
    let connected = async {
        let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        stands.set(true);
        match secure {
            None => Stream::tcp(socket).map_err(|error| failed(&error)),
            Some(secure) => secure.over(socket).await,
        }
    };
    match timeout(within, connected).await {
        Ok(stream) => stream,
        Err(_) if stands.get() => Err(DialError::Handshake(format!("no TLS handshake within {within:?}"))),
        Err(_) => Err(DialError::Timeout(within)),
    }
}

fn failed(error: &io::Error) -> DialError {
    match Errno::from_io_error(error) {
        Some(Errno::NFILE | Errno::MFILE) => DialError::OutOfFiles(error.to_string()),
        Some(Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM) => DialError::Own(error.to_string()),
        _ => DialError::Connect(error.to_string()),
    }
}
