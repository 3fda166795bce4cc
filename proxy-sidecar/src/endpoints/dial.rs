//! A new connection to an endpoint: resolve, connect, within one timeout.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pod_contract::units::HostPort;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::stream::Stream;

/// Long enough for a handshake over a slow line.
const SHORTEST_SHARE: Duration = Duration::from_millis(250);
/// An answer of the resolver is used so long before it is asked again.
const FRESH: Duration = Duration::from_secs(5);

/// Why there is no connection. Nothing was sent, so any request may go elsewhere.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot resolve: {0}")]
    Resolve(String),
    #[error("{0}")]
    Connect(String),
    /// Nothing that the endpoint could help.
    #[error("{0}; raise this container's limit of open files")]
    OutOfFiles(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Connects to one host and port, and remembers the last good addresses: a resolver that fails is no reason to fail.
#[derive(Debug)]
pub(crate) struct Dialer {
    target: HostPort,
    literal: Option<SocketAddr>,
    resolved: RefCell<Vec<SocketAddr>>,
    resolved_at: Cell<Option<Instant>>,
}

impl Dialer {
    pub(crate) fn new(target: &HostPort) -> Self {
        let literal = target
            .host
            .parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, target.port));
        Self {
            target: target.clone(),
            literal,
            resolved: RefCell::default(),
            resolved_at: Cell::new(None),
        }
    }

    pub(crate) async fn dial(&self, within: Duration) -> Result<Stream, DialError> {
        match timeout(within, self.connect(within)).await {
            Ok(Ok(stream)) => Stream::tcp(stream).map_err(|e| failed(&e)),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(DialError::Timeout(within)),
        }
    }

    async fn connect(&self, within: Duration) -> Result<TcpStream, DialError> {
        if let Some(address) = self.literal {
            return TcpStream::connect(address).await.map_err(|e| failed(&e));
        }
        let mut last = DialError::Resolve("the name has no address".into());
        let addresses = self.addresses(within).await?;
        // One that does not answer must not use up the time of the others, as far as there is enough for all.
        let share =
            (within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX)).max(SHORTEST_SHARE.min(within));
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => last = failed(&e),
                Err(_) => last = DialError::Timeout(share),
            }
        }
        // The addresses may be out of date.
        self.resolved_at.set(None);
        Err(last)
    }

    async fn addresses(&self, within: Duration) -> Result<Vec<SocketAddr>, DialError> {
        if self.resolved_at.get().is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(self.resolved.borrow().clone());
        }
        let lookup = lookup_host((self.target.host.as_str(), self.target.port));
        // With addresses in hand, a resolver that does not answer is not waited for.
        let patience = if self.resolved.borrow().is_empty() {
            within
        } else {
            within / 4
        };
        let found = match timeout(patience, lookup).await {
            Ok(found) => found.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no answer within {patience:?}")),
        };
        // Asked again after a while, also when it failed.
        self.resolved_at.set(Some(Instant::now()));
        match found {
            Ok(found) => drop(self.resolved.replace(found.collect())),
            Err(error) if self.resolved.borrow().is_empty() => {
                self.resolved_at.set(None);
                return Err(DialError::Resolve(error));
            }
            Err(error) => {
                tracing::debug!(target = %self.target, %error, "cannot resolve; using the last good addresses")
            }
        }
        Ok(self.resolved.borrow().clone())
    }
}

fn failed(error: &io::Error) -> DialError {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    match error.raw_os_error() {
        Some(ENFILE | EMFILE) => DialError::OutOfFiles(error.to_string()),
        _ => DialError::Connect(error.to_string()),
    }
}
