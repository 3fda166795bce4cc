//! One client: as many requests at once as it may have, until it leaves or the proxy stops.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection};
use pod_contract::metrics::Counted;
use pod_contract::run::lifecycle::{CancellationToken, note_panic};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::batch::Batch;
use super::exchange::Call;
use super::{STREAM_WINDOW, connection_window};
use crate::deadline::Deadline;
use crate::http1;
use crate::message::head::Refused;
use crate::service::Service;
use crate::slots::Slots;
use crate::stream::Stream;

/// For the first bytes of a connection.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A client that is idle and was told to leave may take so long to say that it has heard.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves `client` until either side has enough. After `stop`, one that is idle is let go after `quiet`.
pub(crate) async fn serve<F: Future<Output = ()> + 'static>(
    mut client: Stream,
    service: Rc<Service>,
    stop: CancellationToken,
    quiet: Duration,
    calls: &Rc<Slots<Call, F>>,
) {
    let _counted = Counted::on(&service.metrics.connections);
    if timeout(HANDSHAKE, begins(&client)).await.is_ok_and(|begins| !begins) {
        return http1::refuse(&mut client, &service, &Refused::NotHttp2.into()).await;
    }
    let most = service.config.max_requests;
    let handshake = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(most))
        .max_concurrent_streams(u32::try_from(most).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(service.config.max_head).unwrap_or(u32::MAX))
        .max_send_buffer_size(STREAM_WINDOW as usize)
        .handshake::<_, Bytes>(client);
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(connection)) => run(connection, &service, stop, quiet, calls).await,
        Ok(Err(error)) => tracing::debug!(service = service.config.name, %error, "a client does not speak HTTP/2"),
        Err(_) => tracing::debug!(service = service.config.name, "a client does not speak"),
    }
}

/// Is what comes first the first of HTTP/2, or nothing? RFC 9113, section 3.4.
async fn begins(client: &Stream) -> bool {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut first = [0; PREFACE.len()];
    let count = client.peek(&mut first).await.unwrap_or_default();
    PREFACE.starts_with(&first[..count])
}

async fn run<F: Future<Output = ()> + 'static>(
    mut connection: Connection<Stream, Bytes>,
    service: &Rc<Service>,
    stop: CancellationToken,
    quiet: Duration,
    calls: &Rc<Slots<Call, F>>,
) {
    let mut requests = JoinSet::new();
    let (mut deadline, mut batch) = (Deadline::new(), Batch::default());
    let mut idle = service.config.times.client_idle;
    let (mut stopping, mut leaving) = (false, false);
    deadline.set(idle);
    loop {
        tokio::select! {
            asked = poll_fn(|context| batch.poll(context, |context| connection.poll_accept(context))) => match asked {
                Some(Ok((request, respond))) => {
                    requests.spawn_local(calls.run(Call {
                        request,
                        respond,
                        service: Rc::clone(service),
                    }));
                }
                Some(Err(error)) => {
                    tracing::debug!(service = service.config.name, %error, "a client has broken off");
                    break;
                }
                None => break,
            },
            Some(ended) = requests.join_next() => {
                note_panic(ended);
                deadline.set(idle);
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                if !leaving {
                    idle = quiet;
                    deadline.set(idle);
                }
            }
            () = deadline.passed(), if requests.is_empty() => {
                if leaving {
                    break;
                }
                // It is told to begin nothing more, and what it has begun by then is served: RFC 9113, section 6.8.
                leaving = true;
                connection.graceful_shutdown();
                idle = GOODBYE;
                deadline.set(idle);
            }
        }
    }
    while let Some(ended) = requests.try_join_next() {
        note_panic(ended);
    }
    service.metrics.aborted.inc_by(requests.len() as u64);
}
