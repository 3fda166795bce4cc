//! One client: request after request until it leaves, is refused, or the proxy stops.

use std::rc::Rc;
use std::time::Duration;

use pod_contract::metrics::Counted;
use pod_contract::run::lifecycle::CancellationToken;
use tokio::io::AsyncWriteExt as _;

use super::exchange::Asked;
use super::next::{Next, Tunnel};
use crate::config::ServiceConfig;
use crate::deadline::Deadline;
use crate::message::head::{self, Request};
use crate::respond::Error;
use crate::service::Service;
use crate::slots::Slots;
use crate::stream::{Buffer, Stream};
use crate::tunnel;

/// From the first byte of a head to its last; half of the usual grace, so that half a head does not hold up a stop.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves `client` until either side has enough. After `stop`, an idle client is let go after `quiet`.
pub(crate) async fn serve<F: Future<Output = (Asked, Next)>>(
    mut client: Stream,
    service: Rc<Service>,
    stop: CancellationToken,
    quiet: Duration,
    exchanges: &Rc<Slots<Asked, F>>,
) {
    let _counted = Counted::on(&service.metrics.connections);
    let mut deadline = Deadline::new();
    // Between requests a client costs no memory for bytes.
    let mut input = Buffer::new();
    loop {
        if input.is_empty() && !is_asking(&mut client, &service, &mut deadline, &stop, quiet).await {
            return;
        }
        // Its turn comes first: what waits is held by the client, not by us.
        let turn = match service.turn().await {
            Ok(turn) => turn,
            // To see that a client has left takes no turn from those who ask.
            Err(_) if input.is_empty() && client.has_ended() => return,
            Err(error) => return refuse(&mut client, &service, &error).await,
        };
        if input.is_empty() {
            match input.fill_now(&mut client.split().0).await {
                Ok(Some(0)) | Err(_) => return,
                Ok(Some(_)) => skip_empty_lines(&mut input),
                Ok(None) => {}
            }
            if input.is_empty() {
                // A false alarm.
                continue;
            }
        }
        let request = match read_head(&mut client, &mut input, &service.config, &mut deadline).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                drop(turn);
                return refuse(&mut client, &service, &error).await;
            }
        };
        let under_way = Counted::on(&service.metrics.under_way);
        let next;
        (
            Asked {
                client,
                input,
                deadline,
                ..
            },
            next,
        ) = exchanges
            .run(Asked {
                client,
                input,
                request,
                service: Rc::clone(&service),
                deadline,
                stop: stop.clone(),
            })
            .await;
        drop(turn);
        match next {
            Next::KeepAlive => skip_empty_lines(&mut input),
            Next::Done => return,
            Next::Close => {
                drop(under_way);
                return client.linger().await;
            }
            Next::Abort => return client.reset(),
            Next::Tunnel(tunnel) => return Box::pin(pass(client, input, *tunnel, deadline, &service)).await,
        }
    }
}

/// Passes bytes until the tunnel ends.
async fn pass(mut client: Stream, input: Buffer, mut tunnel: Tunnel, mut deadline: Deadline, service: &Service) {
    let early = (input, tunnel.early);
    let idle = service.config.times.idle;
    let streams = (&mut client, &mut tunnel.server);
    let end = tunnel::run_until(tunnel.endpoint.barred(), streams, early, &mut deadline, idle).await;
    service.tunnel_ended(end);
}

/// An empty line after a request is no next one: RFC 9112, section 2.2.
fn skip_empty_lines(input: &mut Buffer) {
    if input.filled().iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        input.consume(input.filled().len());
    }
    input.release();
}

/// Waits for the next request; false when there will be none.
async fn is_asking(
    client: &mut Stream,
    service: &Service,
    deadline: &mut Deadline,
    stop: &CancellationToken,
    quiet: Duration,
) -> bool {
    deadline.set(service.config.times.client_idle);
    tokio::select! {
        () = client.readable() => return true,
        () = deadline.passed() => return false,
        () = stop.cancelled() => {}
    }
    deadline.set(quiet);
    tokio::select! {
        () = client.readable() => true,
        () = deadline.passed() => false,
    }
}

/// Reads up to the end of a head; `None` when the client left instead.
async fn read_head(
    client: &mut Stream,
    input: &mut Buffer,
    service: &ServiceConfig,
    deadline: &mut Deadline,
) -> Result<Option<Request>, Error> {
    let max = service.max_head;
    deadline.set(HEAD_TIMEOUT);
    loop {
        if !input.is_empty() {
            let window = &input.filled()[..input.filled().len().min(max)];
            if let Some(length) = head::complete(window, false)? {
                let request = Request::parse(&input.filled()[..length], &service.rules)?;
                input.consume(length);
                return Ok(Some(request));
            }
            if input.filled().len() > max {
                return Err(Error::HeadTooLarge(max));
            }
        }
        let (mut client, _) = client.split();
        tokio::select! {
            read = input.fill(&mut client) => match read {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            },
            () = deadline.passed() => return Err(Error::HeadTimeout),
        }
    }
}

/// Answers a request that was not understood; where the next one would begin is not known, so the connection ends.
pub(crate) async fn refuse(client: &mut Stream, service: &Service, error: &Error) {
    service.tell(error);
    let answer = error.encode(true, false);
    let writing = async { client.split().1.write_all(&answer).await };
    let written = tokio::time::timeout(HEAD_TIMEOUT, Box::pin(writing)).await;
    if written.is_ok_and(|written| written.is_ok()) {
        client.linger().await;
    }
}
