//! One client of a service that carries bytes: a connection of its own to an endpoint, until one of both has enough.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use pod_contract::metrics::Counted;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::config::Protocol;
use crate::deadline::Deadline;
use crate::policy::breaker::Evidence;
use crate::respond::Error;
use crate::service::Service;
use crate::starttls::postgres::{self, Unbegun};
use crate::stream::{Buffer, Stream};
use crate::tunnel;

/// For a client to say what it wants, and to be told that it is not to be had.
const REFUSAL: Duration = Duration::from_secs(1);

/// Bytes to an endpoint and back.
pub(super) async fn carry(mut client: Stream, service: &Rc<Service>) {
    let _counted = Counted::on(&service.metrics.connections);
    let _under_way = Counted::on(&service.metrics.under_way);
    let mut early = Buffer::new();
    let idle = service.config.times.idle;
    match timeout(idle, greet(&mut client, service, &mut early)).await {
        Ok(Ok(true)) => {}
        // One that has said nothing only wanted to see whether somebody is there.
        Ok(Ok(false) | Err(_)) if early.is_empty() => return,
        Ok(Ok(false) | Err(_)) => return service.tunnel_ended(tunnel::End::ClientBroke),
        Err(_) => return service.tunnel_ended(tunnel::End::Idle),
    }
    let Some(lease) = client.while_there(service.tunnel()).await else {
        service.metrics.aborted.inc();
        return;
    };
    let mut lease = match lease {
        Ok(lease) => lease,
        Err(error) => return tell(&mut client, service, &error).await,
    };
    let mut answer = Buffer::new();
    let beginning = begin(
        &mut client,
        &mut lease.carrier.stream,
        service,
        (&mut early, &mut answer),
    );
    let begun = tokio::select! {
        begun = timeout(idle, beginning) => begun,
        () = lease.endpoint.barred() => Ok(Err(Unbegun::Unfit)),
    };
    let end = match begun {
        Ok(Ok(())) => {
            let (early, mut deadline) = ((early, answer), Deadline::new());
            let streams = (&mut client, &mut lease.carrier.stream);
            let end = tunnel::run_until(lease.endpoint.barred(), streams, early, &mut deadline, idle).await;
            return service.tunnel_ended(end);
        }
        Ok(Err(Unbegun::Unfit)) => tunnel::End::Unfit,
        Ok(Err(Unbegun::Client)) => tunnel::End::ClientBroke,
        Ok(Err(Unbegun::Server(why))) => {
            let endpoint = lease.endpoint.label.clone();
            let error = Error::BrokenOff { endpoint, why };
            lease.failed(Evidence::BrokenOff, &error);
            return tell(&mut client, service, &error).await;
        }
        Err(_) => tunnel::End::Idle,
    };
    client.reset();
    lease.carrier.stream.reset();
    service.tunnel_ended(end);
}

/// What comes before the first byte for an endpoint; false when nothing will.
async fn greet(client: &mut Stream, service: &Service, early: &mut Buffer) -> io::Result<bool> {
    match service.config.protocol {
        Protocol::Postgres => postgres::greet(client, early).await,
        Protocol::Http | Protocol::Http2 | Protocol::Tcp => Ok(true),
    }
}

/// What comes before bytes pass unseen; what was read of both sides by then.
async fn begin(
    client: &mut Stream,
    server: &mut Stream,
    service: &Service,
    (early, answer): (&mut Buffer, &mut Buffer),
) -> Result<(), Unbegun> {
    match service.config.protocol {
        Protocol::Postgres => postgres::begin(client, server, early, answer).await,
        Protocol::Http | Protocol::Http2 | Protocol::Tcp => Ok(()),
    }
}

/// Tells a client that there is no place for it.
pub(super) async fn refuse(client: &mut Stream, service: &Service, error: &Error) {
    match timeout(REFUSAL, greet(client, service, &mut Buffer::new())).await {
        Ok(Ok(true)) => tell(client, service, error).await,
        _ => service.failed(error, "no tunnel"),
    }
}

/// Ends a connection with what the client's protocol has for that: an error, or a reset, which cannot be taken for an end.
async fn tell(client: &mut Stream, service: &Service, error: &Error) {
    service.failed(error, "no tunnel");
    if service.config.protocol != Protocol::Postgres {
        return client.reset();
    }
    let refusal = postgres::refusal(&format!("proxy-sidecar: {error}"));
    let written = timeout(REFUSAL, client.split().1.write_all(&refusal)).await;
    if written.is_ok_and(|written| written.is_ok()) {
        client.linger().await;
    }
}
