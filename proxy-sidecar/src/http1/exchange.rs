//! One request and its response, on one endpoint or, when that is safe, on another.

use pod_contract::run::lifecycle::CancellationToken;
use tokio::io::AsyncWriteExt as _;

use super::attempt::{Outcome, Progress, attempt, body_in};
use super::next::{Next, Tunnel};
use crate::deadline::Deadline;
use crate::endpoints::{DialError, Endpoint};
use crate::message::head::Request;
use crate::pool::Lease;
use crate::respond::Error;
use crate::service::{Service, Tried};
use crate::stream::{Buffer, Stream};

/// Sends `request`, whose body begins in `input`, and its response back.
pub(super) async fn exchange(
    client: &mut Stream,
    input: &mut Buffer,
    request: &Request,
    service: &Service,
    deadline: &mut Deadline,
    stop: &CancellationToken,
) -> Next {
    service.budget.deposit();
    // Decided once: what a try has streamed is gone, and what then stands in the buffer is the next request.
    let body = body_in(input, request);
    let mut tried = Tried::default();
    let mut retries = service.config.retries;
    let mut fresh = false;
    loop {
        let Some(endpoint) = service.pick(&tried) else {
            return answer(client, input, request, body, service, &service.unreachable(&tried)).await;
        };
        let mut lease = match lease(&endpoint.0, service, fresh).await {
            Ok(lease) => lease,
            Err(error) => {
                // Nothing was sent: every endpoint may be asked, whatever the method.
                tried.add(&endpoint.0, &error);
                continue;
            }
        };
        let progress = Progress::new(request, body, service, stop);
        match attempt(client, input, &mut lease, &endpoint, service, deadline, &progress).await {
            Outcome::Complete { next, reusable } => {
                if let (true, Some(length)) = (progress.uploaded.get(), body) {
                    input.consume(length);
                }
                if reusable && progress.uploaded.get() {
                    endpoint.0.give_back(lease.stream);
                }
                return next;
            }
            Outcome::Upgraded(early) => {
                return Next::Tunnel(Box::new(Tunnel {
                    _in_flight: endpoint,
                    server: lease.stream,
                    early,
                }));
            }
            Outcome::ClientGone => {
                service.metrics.aborted.inc();
                return Next::Abort;
            }
            Outcome::Cut(why) => {
                service.metrics.cut.inc();
                tracing::warn!(
                    service = service.config.name,
                    endpoint = endpoint.0.name,
                    why,
                    "response cut short"
                );
                return Next::Abort;
            }
            Outcome::BadRequest(error) => return answer_and_close(client, request, service, &error).await,
            Outcome::Failed(error) => {
                if !lease.reused {
                    endpoint.0.failed(&error);
                    tried.add(&endpoint.0, &error);
                }
                let may_repeat = body.is_some() && !progress.interim.get() && may_repeat(request, &error);
                if !may_repeat || !pays_for_retry(service, &mut retries) {
                    return answer(client, input, request, body, service, &error).await;
                }
                // A kept connection may have been closed in the very moment; a new one tells the truth.
                fresh = lease.reused;
            }
        }
    }
}

/// Whether the endpoint acted on the request is not known: only what may be done twice is sent again. An endpoint that is slow or broken
/// in itself would be so again, and others may be as well.
fn may_repeat(request: &Request, error: &Error) -> bool {
    request.idempotent && !matches!(error, Error::Timeout { .. } | Error::Untrusted { .. })
}

fn pays_for_retry(service: &Service, retries: &mut u32) -> bool {
    let Some(left) = retries.checked_sub(1) else {
        return false;
    };
    if !service.budget.withdraw() {
        service.metrics.retries_denied.inc();
        return false;
    }
    *retries = left;
    service.metrics.retries.inc();
    true
}

async fn lease(endpoint: &Endpoint, service: &Service, fresh: bool) -> Result<Lease, DialError> {
    let config = &service.config;
    if fresh {
        endpoint
            .dial(config.connect_timeout)
            .await
            .map(|stream| Lease { stream, reused: false })
    } else {
        endpoint.lease(config.connect_timeout, config.upstream_idle).await
    }
}

/// Answers in the place of the cluster. The connection stays usable when all of the request was in hand.
async fn answer(
    client: &mut Stream,
    input: &mut Buffer,
    request: &Request,
    body: Option<usize>,
    service: &Service,
    error: &Error,
) -> Next {
    let Some(length) = body.filter(|_| request.keep_alive) else {
        return answer_and_close(client, request, service, error).await;
    };
    input.consume(length);
    tell(service, error);
    if write(client, service, &error.encode(false, request.is_head)).await {
        Next::KeepAlive
    } else {
        Next::Abort
    }
}

async fn answer_and_close(client: &mut Stream, request: &Request, service: &Service, error: &Error) -> Next {
    tell(service, error);
    if write(client, service, &error.encode(true, request.is_head)).await {
        Next::Close
    } else {
        Next::Abort
    }
}

/// False when the client does not take it in time.
async fn write(client: &mut Stream, service: &Service, bytes: &[u8]) -> bool {
    tokio::time::timeout(service.config.idle_timeout, client.write_all(bytes))
        .await
        .is_ok_and(|written| written.is_ok())
}

/// Once a second at most for a service: a cluster that is down fails every request.
fn tell(service: &Service, error: &Error) {
    service.metrics.answered(error.status().0);
    if service.may_tell() {
        tracing::warn!(service = service.config.name, %error, "answered in the place of the cluster; told once a second at most");
    }
}
