//! Accepts the application's connections, and lets them end when the proxy stops.

mod quiet;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use pod_contract::metrics::Counted;
use pod_contract::run::lifecycle::{CancellationToken, note_panic};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time;

use crate::config::Protocol;
use crate::deadline::Deadline;
use crate::respond::Error;
use crate::service::Service;
use crate::stream::{Buffer, Stream};
use crate::{http1, tunnel};

pub(crate) use quiet::Quiet;

/// After a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients beyond the limit that wait for a place or are being told that there is none.
const MAX_WAITING: usize = 16;
/// For a place.
const WAIT: Duration = Duration::from_secs(1);
/// While stopping, whether the application has become quiet is looked at so often.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// Takes clients, each as a task of its own. After `stop` it goes on until all services are quiet.
pub(crate) async fn accept(listener: TcpListener, service: Rc<Service>, stop: CancellationToken, quiet: Rc<Quiet>) {
    let mut clients = JoinSet::new();
    let most = service.config.max_connections.saturating_add(MAX_WAITING);
    loop {
        let stopping = stop.is_cancelled();
        if stopping && quiet.is_reached() {
            return;
        }
        tokio::select! {
            () = stop.cancelled(), if !stopping => quiet.count(quiet.clients()),
            () = time::sleep(DRAIN_TICK), if stopping => {}
            Some(ended) = clients.join_next() => {
                note_panic(ended);
                quiet.count(quiet.clients() - 1);
            }
            // Others wait in the kernel's queue.
            accepted = listener.accept(), if clients.len() < most => match accepted {
                Ok((client, _)) => {
                    quiet.count(quiet.clients() + 1);
                    clients.spawn_local(admit(client, Rc::clone(&service), stop.clone(), quiet.after()));
                }
                Err(error) => cannot_accept(&service, &error).await,
            },
        }
    }
}

/// Serves a client when there is a place for it, or tells it that there is none.
async fn admit(client: TcpStream, service: Rc<Service>, stop: CancellationToken, quiet: Duration) {
    let mut client = match Stream::tcp(client) {
        Ok(client) => client,
        Err(error) => return tracing::debug!(%error, "the client has gone already"),
    };
    let places = &service.places;
    let place = match places.try_acquire() {
        Ok(place) => Some(place),
        Err(_) => {
            service.tell_full();
            time::timeout(WAIT, places.acquire()).await.ok().and_then(Result::ok)
        }
    };
    let Some(_place) = place else {
        return refuse(&mut client, &service).await;
    };
    converse(client, Rc::clone(&service), stop, quiet).await;
}

async fn cannot_accept(service: &Service, error: &io::Error) {
    if service.may_tell() {
        tracing::warn!(service = service.config.name, %error, "cannot accept a connection");
    }
    time::sleep(ACCEPT_PAUSE).await;
}

/// Tells a client why it is not served.
async fn refuse(client: &mut Stream, service: &Service) {
    let error = Error::MaxConnections(service.config.max_connections);
    match service.config.protocol {
        Protocol::Http => http1::refuse(client, service, &error).await,
        Protocol::Tcp => {
            client.reset();
            service.failed(&error, "no tunnel");
        }
    }
}

async fn converse(mut client: Stream, service: Rc<Service>, stop: CancellationToken, quiet: Duration) {
    match service.config.protocol {
        Protocol::Http => http1::serve(client, service, stop, quiet).await,
        Protocol::Tcp => {
            let _counted = Counted::on(&service.metrics.connections);
            let _under_way = Counted::on(&service.metrics.under_way);
            let lease = tokio::select! {
                lease = service.tunnel() => lease,
                () = client.broken_off() => {
                    service.metrics.aborted.inc();
                    return;
                }
            };
            match lease {
                Ok(mut lease) => {
                    let end = tunnel::run(
                        &mut client,
                        &mut lease.stream,
                        (Buffer::new(), Buffer::new()),
                        &mut Deadline::new(),
                        service.config.times.idle,
                    )
                    .await;
                    if end != tunnel::End::Closed {
                        service.metrics.cut.inc();
                        client.reset();
                        lease.stream.reset();
                    }
                }
                Err(error) => {
                    client.reset();
                    service.failed(&error, "no tunnel");
                }
            }
        }
    }
}
