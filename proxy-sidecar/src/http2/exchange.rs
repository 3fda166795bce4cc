//! One request and its response, on one endpoint or, when that is safe, on another.

use std::rc::Rc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use pod_contract::metrics::Counted;
use tokio::time::timeout;

use super::answer::{self, Form};
use super::attempt::{Failure, Outcome, attempt};
use super::upload::Upload;
use crate::deadline::Deadline;
use crate::exchange::{Exchange, KEPT, Verdict};
use crate::message::http2::Request;
use crate::respond::Error;
use crate::service::Service;

/// Sends the request, and its response back.
pub(super) async fn exchange(asked: http::Request<RecvStream>, mut respond: SendResponse<Bytes>, service: Rc<Service>) {
    let _under_way = Counted::on(&service.metrics.under_way);
    let (head, body) = asked.into_parts();
    let form = Form::of(&head);
    let request = match Request::understand(head, &service.config.rules) {
        Ok(request) => request,
        Err(refused) => return answer::error(&refused.into(), &mut respond, form, &service),
    };
    let turn = match service.turns.try_acquire() {
        Ok(turn) => Ok(turn),
        Err(_) => timeout(service.config.times.response, service.turns.acquire())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(()),
    };
    let served = match turn {
        Ok(_turn) => serve(&request, body, &mut respond, form, &service).await,
        Err(()) => Err(Error::MaxRequests(service.config.max_requests)),
    };
    if let Err(error) = served {
        answer::error(&error, &mut respond, form, &service);
    }
}

/// The error is what is to be answered.
async fn serve(
    request: &Request,
    body: RecvStream,
    respond: &mut SendResponse<Bytes>,
    form: Form,
    service: &Rc<Service>,
) -> Result<(), Error> {
    service.budget.deposit();
    let retries = service.config.retries;
    let is_small = body.is_end_stream() || request.length.is_some_and(|length| length <= KEPT as u64);
    let mut exchange = Exchange::new(request.idempotent, is_small, retries);
    exchange.key = request.key;
    let mut upload = Upload::new(body);
    let mut deadline = Deadline::new();
    loop {
        let leased = tokio::select! {
            biased;
            leased = service.lease_shared(&mut exchange) => leased,
            () = answer::client_left(respond) => {
                service.metrics.aborted.inc();
                return Ok(());
            }
        };
        let mut lease = leased?;
        match attempt(request, &mut upload, respond, &mut lease, service, &mut deadline).await {
            Outcome::Complete => return Ok(()),
            Outcome::ClientGone => {
                service.metrics.aborted.inc();
                return Ok(());
            }
            Outcome::Cut { why, rest } => {
                service.cut(&lease, &why);
                if let Some(rest) = rest {
                    answer::cut(rest, form, &why, &lease.endpoint.label);
                }
                return Ok(());
            }
            Outcome::BadRequest(error) => return Err(error),
            Outcome::Failed(Failure {
                error,
                proof,
                evidence,
                is_of_connection,
            }) => {
                if let Some(evidence) = evidence {
                    lease.failed(evidence, &error);
                }
                lease.reused = is_of_connection;
                match exchange.failed(lease.failure(upload.can_repeat(), proof, error), &service.budget) {
                    Verdict::Again => service.metrics.retries.inc(),
                    Verdict::Over { error, denied } => {
                        if denied {
                            service.metrics.retries_denied.inc();
                        }
                        return Err(error);
                    }
                };
            }
        }
    }
}
