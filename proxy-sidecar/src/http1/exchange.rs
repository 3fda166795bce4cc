//! One request and its response, on one endpoint or, when that is safe, on another.

use std::rc::Rc;

use pod_contract::run::lifecycle::CancellationToken;
use tokio::io::AsyncWriteExt as _;

use super::attempt::{Outcome, Upload, attempt};
use super::connect::connect;
use super::next::{Next, Tunnel};
use crate::access_log::Record;
use crate::deadline::Deadline;
use crate::exchange::{Exchange, KEPT};
use crate::message::head::{Framing, Request};
use crate::respond::Error;
use crate::service::Service;
use crate::stream::{Buffer, Stream};

/// A request, with all that it takes to serve it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) client: Stream,
    /// Begins with the body.
    pub(super) input: Buffer,
    pub(super) request: Request,
    pub(super) service: Rc<Service>,
    pub(super) deadline: Deadline,
    pub(super) stop: CancellationToken,
}

/// Sends the request, and its response back.
#[allow(
    clippy::manual_async_fn,
    reason = "an argument of an async function takes its memory twice"
)]
pub(crate) fn exchange(mut asked: Asked) -> impl Future<Output = (Asked, Next)> {
    async move {
        let next = serve(&mut asked).await;
        (asked, next)
    }
}

async fn serve(asked: &mut Asked) -> Next {
    let Asked {
        client,
        input,
        request,
        service,
        deadline,
        stop,
    } = asked;
    let record = Record::begin(service, || request.line());
    if let Some(place) = &request.connect {
        return Box::pin(connect(client, service, request, place, &record)).await;
    }
    service.budget.deposit();
    let retries = service.config.retries;
    let mut exchange = Exchange::new(request.idempotent, is_small(request.framing), retries);
    exchange.key = request.key;
    let mut upload = Upload::new(request, request.idempotent && retries > 0, record);
    let mut fresh = false;
    let error = loop {
        let mut lease = match client.while_there(service.lease(&mut exchange, fresh)).await {
            Some(Ok(lease)) => lease,
            Some(Err(error)) => break error,
            None => {
                service.metrics.aborted.inc();
                return Next::Abort;
            }
        };
        match attempt(client, input, &mut upload, &mut lease, service, deadline, stop).await {
            Outcome::Complete { next, reusable } => {
                upload.record.complete();
                if reusable {
                    service.give_back(lease);
                }
                return next;
            }
            Outcome::Upgraded(early) => {
                upload.record.complete();
                return Next::Tunnel(Box::new(Tunnel {
                    endpoint: lease.endpoint,
                    server: lease.carrier.stream,
                    early,
                }));
            }
            Outcome::ClientGone => {
                service.metrics.aborted.inc();
                return Next::Abort;
            }
            Outcome::Cut(why) => {
                service.cut(&lease, &why);
                return Next::Abort;
            }
            Outcome::BadRequest(error) => {
                return answer_and_close(client, request, service, &error, &upload.record).await;
            }
            Outcome::Failed { error, proof, evidence } => {
                lease.failed(evidence, &error);
                match service.again(&mut exchange, lease.failure(upload.can_repeat(), proof, error)) {
                    Ok(()) => fresh = true,
                    Err(error) => break error,
                }
            }
        }
    };
    answer(client, input, &upload, service, &error).await
}

/// All of such a body can be kept.
fn is_small(framing: Framing) -> bool {
    match framing {
        Framing::None => true,
        Framing::Length(length) => length <= KEPT as u64,
        Framing::Chunked | Framing::UntilClose => false,
    }
}

/// Answers in the place of the cluster. The connection stays usable when all of the request has been read, or is in hand.
async fn answer(
    client: &mut Stream,
    input: &mut Buffer,
    upload: &Upload<'_>,
    service: &Service,
    error: &Error,
) -> Next {
    let request = upload.request;
    let stays = request.keep_alive && (upload.is_read() || skip(input, upload));
    if !stays {
        return answer_and_close(client, request, service, error, &upload.record).await;
    }
    service.tell(error);
    upload.record.failed(error);
    if write(client, service, &error.encode(false, request.is_head)).await {
        upload.record.complete();
        Next::KeepAlive
    } else {
        Next::Abort
    }
}

/// Reads over a body that was not sent anywhere; false when not all of it has come.
fn skip(input: &mut Buffer, upload: &Upload<'_>) -> bool {
    upload
        .decoder
        .clone()
        .skip(input.filled())
        .inspect(|length| input.consume(*length))
        .is_some()
}

pub(super) async fn answer_and_close(
    client: &mut Stream,
    request: &Request,
    service: &Service,
    error: &Error,
    record: &Record,
) -> Next {
    service.tell(error);
    record.failed(error);
    if write(client, service, &error.encode(true, request.is_head)).await {
        record.complete();
        Next::Close
    } else {
        Next::Abort
    }
}

/// False when the client does not take it in time.
pub(super) async fn write(client: &mut Stream, service: &Service, bytes: &[u8]) -> bool {
    let (_, mut client) = client.split();
    tokio::time::timeout(service.config.times.idle, client.write_all(bytes))
        .await
        .is_ok_and(|written| written.is_ok())
}
