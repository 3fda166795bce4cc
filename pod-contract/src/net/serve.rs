//! A small HTTP/1.1 server for what is asked seldom (probes, scrapes): limits, and a drain on stop.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::net::patient::Patient;
use crate::run::lifecycle::note_panic;

/// More clients wait in the kernel's queue; a pod has a kubelet, a scraper or two, and a person.
const MAX_CONNECTIONS: usize = 256;
/// For a request head, and between requests. Short: whoever only holds a connection must not keep the kubelet out for long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For a client to take some of what is written to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request head that is larger is answered with 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// After a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests with `handler` until `stop`, then finishes those under way.
pub async fn serve<H, B>(listener: TcpListener, stop: CancellationToken, handler: H)
where
    H: AsyncFn(Request<Incoming>) -> Response<B> + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let handler = Rc::new(handler);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(done) = connections.join_next() => {
                note_panic(done);
                continue;
            }
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Else the second piece of an answer waits for the client's delayed acknowledgement, some 40 ms.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                connections.spawn_local(connection(stream, stop.clone(), Rc::clone(&handler)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while let Some(done) = connections.join_next().await {
        note_panic(done);
    }
}

async fn connection<H, B>(stream: TcpStream, stop: CancellationToken, handler: Rc<H>)
where
    H: AsyncFn(Request<Incoming>) -> Response<B> + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(move |request| {
        let handler = Rc::clone(&handler);
        async move { Ok::<_, Infallible>(handler(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIMEOUT)), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}
