//! Accepts the application's connections, and lets them end when the proxy stops.

mod full;
mod quiet;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use pod_contract::metrics::Counted;
use pod_contract::run::lifecycle::{CancellationToken, note_panic};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use crate::config::Protocol;
use crate::deadline::Deadline;
use crate::respond::Error;
use crate::service::Service;
use crate::stream::{Buffer, Stream};
use crate::{http1, tunnel};

use full::Full;
pub(crate) use quiet::Quiet;

/// After a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients that are being told why they are not served, at a time.
const MAX_REFUSED: usize = 16;
/// While stopping, whether the application has become quiet is looked at so often.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// Takes clients, each as a task of its own. After `stop` it goes on until all services are quiet.
pub(crate) async fn accept(listener: TcpListener, service: Rc<Service>, stop: CancellationToken, quiet: Rc<Quiet>) {
    let (mut clients, mut refused) = (JoinSet::new(), JoinSet::new());
    let (max, mut full) = (service.config.max_connections, Full::default());
    loop {
        let stopping = stop.is_cancelled();
        if stopping && quiet.is_reached() {
            return;
        }
        if full.note(clients.len() >= max, Instant::now()) {
            tracing::warn!(
                service = service.config.name,
                limit = "max-connections",
                value = max,
                "limit reached: further clients wait, and are refused after a second"
            );
        }
        let refuses_at = full.refuses_at();
        tokio::select! {
            () = stop.cancelled(), if !stopping => quiet.count(quiet.clients()),
            () = time::sleep(DRAIN_TICK), if stopping => {}
            Some(ended) = clients.join_next() => {
                note_panic(ended);
                quiet.count(quiet.clients() - 1);
            }
            Some(ended) = refused.join_next() => note_panic(ended),
            // A permit first: a client that cannot be served waits in the kernel's queue.
            accepted = listener.accept(), if refuses_at.is_none() => match accepted {
                Ok((client, _)) => {
                    quiet.count(quiet.clients() + 1);
                    clients.spawn_local(converse(client, Rc::clone(&service), stop.clone(), quiet.after()));
                }
                Err(error) => cannot_accept(&service, &error).await,
            },
            accepted = accept_at(&listener, refuses_at), if refuses_at.is_some() && refused.len() < MAX_REFUSED => match accepted {
                Ok((client, _)) => {
                    refused.spawn_local(refuse(client, Rc::clone(&service)));
                }
                Err(error) => cannot_accept(&service, &error).await,
            },
        }
    }
}

async fn cannot_accept(service: &Service, error: &io::Error) {
    if service.may_tell() {
        tracing::warn!(service = service.config.name, %error, "cannot accept a connection");
    }
    time::sleep(ACCEPT_PAUSE).await;
}

async fn accept_at(listener: &TcpListener, at: Option<Instant>) -> io::Result<(TcpStream, SocketAddr)> {
    if let Some(at) = at {
        time::sleep_until(at).await;
    }
    listener.accept().await
}

/// Tells a client why it is not served.
async fn refuse(client: TcpStream, service: Rc<Service>) {
    let Ok(mut client) = Stream::tcp(client) else {
        return;
    };
    let error = Error::MaxConnections(service.config.max_connections);
    match service.config.protocol {
        Protocol::Http => http1::refuse(&mut client, &service, &error).await,
        Protocol::Tcp => {
            client.reset();
            service.failed(&error, "no tunnel");
        }
    }
}

async fn converse(client: TcpStream, service: Rc<Service>, stop: CancellationToken, quiet: Duration) {
    let mut client = match Stream::tcp(client) {
        Ok(client) => client,
        Err(error) => return tracing::debug!(%error, "the client has gone already"),
    };
    match service.config.protocol {
        Protocol::Http => http1::serve(client, service, stop, quiet).await,
        Protocol::Tcp => {
            let _counted = Counted::on(&service.metrics.connections);
            let _under_way = Counted::on(&service.metrics.under_way);
            match service.tunnel().await {
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
