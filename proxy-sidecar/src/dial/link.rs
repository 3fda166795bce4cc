//! A new connection, ready for what it is to carry.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::{Instant, timeout};

use super::{DialError, connect};
use crate::endpoints::Endpoint;
use crate::http2;
use crate::stream::Stream;

/// What a connection is used for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    /// One request after the other, or bytes.
    Alone,
    /// So many requests at once at most, in HTTP/2.
    Shared { most: usize },
}

/// A connection that stands.
pub(crate) enum Link {
    Alone(Stream),
    /// Is an earlier session in TLS resumed, if it is in TLS?
    Shared(SendRequest<Bytes>, Option<bool>),
}

impl Link {
    /// The endpoint has said something on it.
    pub(crate) fn has_spoken(&self) -> bool {
        matches!(self, Self::Shared(..))
    }

    pub(crate) fn is_resumed(&self) -> Option<bool> {
        match self {
            Self::Alone(stream) => stream.is_resumed(),
            Self::Shared(_, is_resumed) => *is_resumed,
        }
    }
}

/// A connection to `endpoint`, with all that comes before a request, `within` this time.
pub(super) async fn link(
    endpoint: Rc<Endpoint>,
    purpose: Use,
    within: Duration,
    stands: Rc<Cell<bool>>,
) -> Result<Link, DialError> {
    let until = Instant::now() + within;
    let stream = connect(endpoint.address, endpoint.target.secure.clone(), within, stands).await?;
    let Use::Shared { most } = purpose else {
        return Ok(Link::Alone(stream));
    };
    let is_resumed = stream.is_resumed();
    if is_resumed.is_some() && stream.alpn().as_deref() != Some(b"h2") {
        return Err(DialError::Protocol(
            "it does not agree to speak HTTP/2 (h2, by ALPN)".into(),
        ));
    }
    match timeout(until - Instant::now(), http2::greet(stream, most)).await {
        Ok(Ok(send)) if send.current_max_send_streams() == 0 => Err(DialError::Protocol(
            "it allows no request (SETTINGS_MAX_CONCURRENT_STREAMS)".into(),
        )),
        Ok(Ok(send)) => Ok(Link::Shared(send, is_resumed)),
        Ok(Err(error)) => Err(DialError::Protocol(format!("no HTTP/2: {error}"))),
        Err(_) => Err(DialError::Protocol(format!("no HTTP/2 within {within:?}"))),
    }
}
