//! Accepts the application's connections, and lets them end when the proxy stops.

mod carry;
mod quiet;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use pod_contract::run::lifecycle::{CancellationToken, note_panic};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time;

use crate::config::Protocol;
use crate::http1::{self, Asked, Next};
use crate::http2::{self, Call};
use crate::respond::Error;
use crate::service::Service;
use crate::slots::Slots;
use crate::stream::Stream;

pub(crate) use quiet::Quiet;

/// After a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients beyond the limit that wait for a place or are being told that there is none.
const MAX_WAITING: usize = 16;
/// For a place.
const WAIT: Duration = Duration::from_secs(1);
/// While stopping, whether the application has become quiet is looked at so often.
const DRAIN_TICK: Duration = Duration::from_millis(20);

type Exchanges<F> = Rc<Slots<Asked, F>>;
type Calls<F> = Rc<Slots<Call, F>>;

/// Takes clients, each as a task of its own. After `stop` it goes on until all services are quiet.
pub(crate) async fn accept(listener: TcpListener, service: Rc<Service>, stop: CancellationToken, quiet: Rc<Quiet>) {
    let mut clients = JoinSet::new();
    let (exchanges, calls) = (
        Rc::new(Slots::new(http1::exchange)),
        Rc::new(Slots::new(http2::exchange)),
    );
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
                    let slots = (Rc::clone(&exchanges), Rc::clone(&calls));
                    let client = admit(client, Rc::clone(&service), stop.clone(), quiet.after(), slots);
                    clients.spawn_local(client);
                }
                Err(error) => cannot_accept(&service, &error).await,
            },
        }
    }
}

/// Serves a client when there is a place for it, or tells it that there is none.
async fn admit<F: Future<Output = (Asked, Next)>, G: Future<Output = ()> + 'static>(
    client: TcpStream,
    service: Rc<Service>,
    stop: CancellationToken,
    quiet: Duration,
    (exchanges, calls): (Exchanges<F>, Calls<G>),
) {
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
    match service.config.protocol {
        Protocol::Http => http1::serve(client, Rc::clone(&service), stop, quiet, &exchanges).await,
        Protocol::Http2 => Box::pin(http2::serve(client, Rc::clone(&service), stop, quiet, &calls)).await,
        Protocol::Tcp | Protocol::Postgres => Box::pin(carry::carry(client, &service)).await,
    }
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
        Protocol::Http2 | Protocol::Tcp | Protocol::Postgres => Box::pin(carry::refuse(client, service, &error)).await,
    }
}
