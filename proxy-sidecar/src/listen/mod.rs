//! Accepts the application's connections, and lets them end when the proxy stops.

mod quiet;

use std::rc::Rc;
use std::time::Duration;

use pod_contract::metrics::Counted;
use pod_contract::run::lifecycle::{CancellationToken, note_panic};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time;

use crate::config::Protocol;
use crate::deadline::Deadline;
use crate::service::Service;
use crate::stream::{Buffer, Stream};
use crate::{http1, tunnel};

pub(crate) use quiet::Quiet;

/// After a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// While stopping, whether the application has become quiet is looked at so often.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// Takes clients, each as a task of its own. After `stop` it goes on until all services are quiet.
pub(crate) async fn accept(listener: TcpListener, service: Rc<Service>, stop: CancellationToken, quiet: Rc<Quiet>) {
    let mut clients = JoinSet::new();
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
            // A permit first: a client that cannot be served waits in the kernel's queue.
            accepted = listener.accept(), if clients.len() < service.config.max_connections => match accepted {
                Ok((client, _)) => {
                    quiet.count(quiet.clients() + 1);
                    clients.spawn_local(converse(client, Rc::clone(&service), stop.clone(), quiet.after()));
                }
                Err(error) => {
                    if service.may_tell() {
                        tracing::warn!(service = service.config.name, %error, "cannot accept a connection");
                    }
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
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
                        service.config.idle_timeout,
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
                    if service.may_tell() {
                        tracing::warn!(service = service.config.name, %error, "no tunnel");
                    }
                }
            }
        }
    }
}
