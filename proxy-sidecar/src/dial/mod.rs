//! New connections: to one address, and to whichever of several stands first.

mod race;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stream::Stream;

pub(crate) use race::{Dial, Event, Race};

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
}

/// Connects to `address`. A packet that is lost is sent again by the kernel after 1, 3 and 7 seconds, as far as `within` allows.
pub(crate) async fn connect(address: SocketAddr, within: Duration) -> Result<Stream, DialError> {
    match timeout(within, TcpStream::connect(address)).await {
        Ok(stream) => stream.and_then(Stream::tcp).map_err(|error| failed(&error)),
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
