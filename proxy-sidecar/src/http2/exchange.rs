//! One request and its response, on one endpoint or, when that is safe, on another.

use std::rc::Rc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use pod_contract::metrics::Counted;

use super::answer::{self, Form};
use super::attempt::{Failure, Outcome, attempt};
use super::upload::Upload;
use crate::access_log::Record;
use crate::exchange::{Exchange, Failed, KEPT};
use crate::grpc;
use crate::message::http2::Request;
use crate::respond::Error;
use crate::service::Service;

/// A request, with all that it takes to serve it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) request: http::Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) service: Rc<Service>,
}

/// Sends the request, and its response back.
#[allow(
    clippy::manual_async_fn,
    reason = "an argument of an async function takes its memory twice"
)]
pub(crate) fn exchange(call: Call) -> impl Future<Output = ()> {
    async move {
        let Call {
            request: asked,
            mut respond,
            service,
        } = call;
        let _under_way = Counted::on(&service.metrics.under_way);
        let (head, body) = asked.into_parts();
        let form = Form::of(&head);
        let request = match Request::understand(head, &service.config.rules) {
            Ok(request) => request,
            Err(refused) => {
                answer::error(&refused.into(), &mut respond, form, &service);
                return;
            }
        };
        let record = Record::begin(&service, || request.line());
        let turn = tokio::select! {
            biased;
            // One that has left must not take the turn of one that has not.
            () = answer::client_left(&mut respond) => {
                service.metrics.aborted.inc();
                return;
            }
            turn = service.turn() => turn,
        };
        let served = match turn {
            Ok(_turn) => serve(&request, body, &mut respond, form, &service, &record).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            record.failed(&error);
            if form == Form::Grpc {
                record.answered(200);
                record.ended(Some(grpc::code(error.reason())));
            }
            if answer::error(&error, &mut respond, form, &service) {
                record.complete();
            }
        }
    }
}

/// The error is what is to be answered.
async fn serve(
    request: &Request,
    body: RecvStream,
    respond: &mut SendResponse<Bytes>,
    form: Form,
    service: &Rc<Service>,
    record: &Record,
) -> Result<(), Error> {
    service.budget.deposit();
    let retries = service.config.retries;
    let is_small = body.is_end_stream() || request.length.is_some_and(|length| length <= KEPT as u64);
    let mut exchange = Exchange::new(request.idempotent, is_small, retries);
    exchange.key = request.key;
    let mut upload = Upload::new(body);
    let mut deadline = service.deadlines.borrow();
    let mut was_excused = false;
    loop {
        let leased = tokio::select! {
            biased;
            () = answer::client_left(respond) => {
                service.metrics.aborted.inc();
                return Ok(());
            }
            leased = service.lease_shared(&mut exchange) => leased,
        };
        let mut lease = leased?;
        record.tries(&lease.endpoint);
        match attempt(
            request,
            &mut upload,
            respond,
            &mut lease,
            service,
            &mut deadline,
            record,
        )
        .await
        {
            Outcome::Complete => {
                record.complete();
                return Ok(());
            }
            Outcome::ClientGone => {
                service.metrics.aborted.inc();
                return Ok(());
            }
            Outcome::Cut { why, rest } => {
                service.cut(&lease, &why);
                let code = rest.and_then(|rest| answer::cut(rest, form, &why, &lease.endpoint.label));
                code.into_iter().for_each(|code| service.metrics.grpc_code(code));
                record.ended(code);
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
                let failure = Failed {
                    // Once. One that goes away each time is not the one to stay with.
                    reused: is_of_connection && !std::mem::replace(&mut was_excused, true),
                    ..lease.failure(upload.can_repeat(), proof, error)
                };
                service.again(&mut exchange, failure)?;
            }
        }
    }
}
