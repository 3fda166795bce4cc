//! `CONNECT`: a tunnel from the application to a place that is allowed. RFC 9110, section 9.3.6.

use super::exchange::{answer_and_close, write};
use super::next::{Next, Tunnel};
use crate::access_log::Record;
use crate::lease::Lease;
use crate::message::head::Request;
use crate::respond::Error;
use crate::service::Service;
use crate::stream::{Buffer, Stream};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Connects to where `request` asks for, and says so. Without a connection the client's ends too: what it may have sent already was meant for
/// somebody else, and must not be taken for a request.
pub(super) async fn connect(
    client: &mut Stream,
    service: &Service,
    request: &Request,
    place: &str,
    record: &Record,
) -> Next {
    let Some(leased) = client.while_there(lease(service, place)).await else {
        service.metrics.aborted.inc();
        return Next::Abort;
    };
    let lease = match leased {
        Ok(lease) => lease,
        Err(error) => {
            return answer_and_close(client, request, service, &error, record).await;
        }
    };
    service.metrics.answered(200);
    record.tries(&lease.endpoint);
    record.answered(200);
    if !write(client, service, ESTABLISHED).await {
        return Next::Abort;
    }
    record.complete();
    Next::Tunnel(Box::new(Tunnel {
        endpoint: lease.endpoint,
        server: lease.carrier.stream,
        early: Buffer::new(),
    }))
}

async fn lease(service: &Service, place: &str) -> Result<Lease, Error> {
    match service.connects(place) {
        Some(place) => place.tunnel().await,
        None => Err(Error::ConnectDenied(place.to_owned())),
    }
}
