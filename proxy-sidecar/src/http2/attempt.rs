//! One try of a request on one endpoint: both directions at once, until the response is complete or something ends it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use pod_contract::tls::explained;
use tokio::time::Instant;

use super::flow;
use super::upload::{Broken, Upload};
use crate::access_log::Record;
use crate::config::HostHeader;
use crate::deadline::{Activity, Borrowed};
use crate::endpoints::Endpoint;
use crate::lease::Lease;
use crate::message::head::{MAX_INTERIMS, Rewrite};
use crate::message::http2::{self, Request};
use crate::policy::breaker::Evidence;
use crate::policy::retry::Proof;
use crate::pool::Slot;
use crate::respond::Error;
use crate::service::Service;

/// How a try on one endpoint ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The whole response is with the client.
    Complete,
    /// The client left, or has broken its request.
    ClientGone,
    /// The endpoint failed after the response had begun, and this is left of it.
    Cut {
        why: String,
        rest: Option<SendStream<Bytes>>,
    },
    /// The endpoint failed before anything came back.
    Failed(Failure),
    /// The client is at fault: its body does not come.
    BadRequest(Error),
}

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) proof: Proof,
    /// What that says of the endpoint.
    pub(super) evidence: Option<Evidence>,
    /// It was the connection's end, which says nothing of this request.
    pub(super) is_of_connection: bool,
}

/// What the two directions of a try share.
struct Progress<'r> {
    record: &'r Record,
    activity: Activity,
    /// All of the request is sent, or the endpoint takes no more of it.
    uploaded: Cell<bool>,
    asked_at: Cell<Instant>,
    /// The final response has begun.
    begun: Cell<bool>,
    response_limit: Duration,
    /// The request goes elsewhere if it takes longer.
    is_trying: bool,
}

impl Progress<'_> {
    fn sent(&self) {
        self.uploaded.set(true);
        if !self.begun.get() {
            self.activity.limit(self.response_limit);
            self.asked_at.set(self.activity.moved_at());
        }
    }
}

/// Both directions at once, until the response is complete or something ends it.
pub(super) async fn attempt(
    request: &Request,
    upload: &mut Upload,
    respond: &mut SendResponse<Bytes>,
    lease: &mut Lease<Slot>,
    service: &Service,
    deadline: &mut Borrowed<'_>,
    record: &Record,
) -> Outcome {
    let config = &service.config;
    let target = &lease.endpoint.target;
    let host = (config.host == HostHeader::Rewrite).then_some(&*target.host);
    let is_secure = target.secure.is_some();
    let head = match request.towards(host, &target.prefix, is_secure) {
        Ok(head) => head,
        Err(refused) => return Outcome::BadRequest(refused.into()),
    };
    let rewrite = Rewrite {
        endpoint: host,
        prefix: &target.prefix,
        host: request.host(),
        is_secure,
    };
    let (response, mut send) = match lease.carrier.send.send_request(head, upload.is_empty()) {
        Ok(streams) => streams,
        Err(error) => return Outcome::Failed(unsent(&error, lease)),
    };
    let response_limit = config
        .times
        .response
        .min(lease.endpoint.patience.unwrap_or(Duration::MAX));
    let progress = Progress {
        record,
        activity: Activity::within(config.times.idle, config.times.idle),
        uploaded: Cell::new(false),
        asked_at: Cell::new(lease.began),
        begun: Cell::new(false),
        response_limit,
        is_trying: lease.endpoint.patience.is_some(),
    };
    let tick = response_limit.min(config.times.idle);
    let mut is_uploading = !upload.is_empty();
    if !is_uploading {
        progress.sent();
    }
    let mut rest = None;
    let ended = {
        let mut uploading = pin!(upload.copy(&mut send, &progress.activity, &progress.begun));
        let mut download = pin!(receive(
            response,
            (respond, &mut rest),
            &rewrite,
            &lease.endpoint,
            service,
            &progress
        ));
        loop {
            tokio::select! {
                ended = &mut download => break ended,
                broken = &mut uploading, if is_uploading => match broken {
                    Ok(()) | Err(Broken::Endpoint) => {
                        is_uploading = false;
                        progress.sent();
                    }
                    Err(Broken::Client) => break Ended::ClientGone,
                },
                is_over = deadline.is_idle(&progress.activity, tick) => if is_over {
                    break Ended::Late;
                }
            }
        }
    };
    outcome(ended, rest, lease, &progress, service)
}

/// How the response ended.
enum Ended {
    Complete,
    ClientGone,
    Cut(String),
    NoHead(h2::Error),
    /// It sends one interim response after the other.
    Endless,
    /// It changes to another protocol.
    Switches,
    /// Nothing moved for too long.
    Late,
}

fn outcome(
    ended: Ended,
    rest: Option<SendStream<Bytes>>,
    lease: &Lease<Slot>,
    progress: &Progress<'_>,
    service: &Service,
) -> Outcome {
    let endpoint = &lease.endpoint;
    let idle = service.config.times.idle;
    match ended {
        Ended::Complete => Outcome::Complete,
        Ended::Cut(why) => Outcome::Cut { why, rest },
        Ended::ClientGone => {
            if progress.uploaded.get() && !progress.begun.get() {
                endpoint.kept_silent(progress.asked_at.get().elapsed());
            }
            Outcome::ClientGone
        }
        Ended::NoHead(error) => Outcome::Failed(failed(&error, lease)),
        Ended::Endless => Outcome::Failed(untrusted(
            format!("more than {MAX_INTERIMS} interim responses"),
            endpoint,
        )),
        Ended::Switches => Outcome::Failed(untrusted("101, which HTTP/2 does not have".into(), endpoint)),
        Ended::Late if progress.begun.get() => Outcome::Cut {
            why: format!("nothing moved for {idle:?}"),
            rest,
        },
        Ended::Late if progress.activity.is_awaiting_input() => Outcome::BadRequest(Error::BodyTimeout(idle)),
        Ended::Late => Outcome::Failed(Failure {
            error: Error::Timeout {
                endpoint: endpoint.label.clone(),
                after: if progress.uploaded.get() {
                    progress.response_limit
                } else {
                    idle
                },
            },
            // It would be as slow elsewhere, unless it is this endpoint that is in doubt.
            proof: if progress.is_trying {
                Proof::Ambiguous
            } else {
                Proof::Final
            },
            evidence: Some(Evidence::Silent),
            is_of_connection: false,
        }),
    }
}

/// Receives the response and sends it to the client.
async fn receive(
    mut response: ResponseFuture,
    (respond, rest): (&mut SendResponse<Bytes>, &mut Option<SendStream<Bytes>>),
    rewrite: &Rewrite<'_>,
    endpoint: &Endpoint,
    service: &Service,
    progress: &Progress<'_>,
) -> Ended {
    let mut interims = 0;
    let response = loop {
        match next_head(&mut response, respond).await {
            Head::Final(response) => break response,
            // There is none in HTTP/2: RFC 9113, section 8.6.
            Head::Interim(interim) if interim.status() == StatusCode::SWITCHING_PROTOCOLS => return Ended::Switches,
            Head::Interim(interim) => {
                interims += 1;
                if interims > MAX_INTERIMS {
                    return Ended::Endless;
                }
                let interim = http2::response(interim.into_parts().0, rewrite);
                if respond.send_informational(interim).is_err() {
                    return Ended::ClientGone;
                }
            }
            Head::Failed(error) => return Ended::NoHead(error),
            Head::ClientGone => return Ended::ClientGone,
        }
    };
    let took = progress.uploaded.get().then(|| progress.asked_at.get().elapsed());
    let status = response.status().as_u16();
    endpoint.answered(status, took);
    service.metrics.responded(status, took);
    progress.record.answered(status);
    progress.begun.set(true);
    progress.activity.limit(service.config.times.idle);
    let (head, body) = response.into_parts();
    progress.record.ended(service.metrics.grpc(&head.headers));
    let ends = body.is_end_stream();
    match respond.send_response(http2::response(head, rewrite), ends) {
        Ok(_) if ends => Ended::Complete,
        Ok(client) => copy(body, rest.insert(client), service, progress).await,
        Err(_) => Ended::ClientGone,
    }
}

/// The body of a response, and what follows it.
async fn copy(
    mut body: RecvStream,
    client: &mut SendStream<Bytes>,
    service: &Service,
    progress: &Progress<'_>,
) -> Ended {
    loop {
        let data = poll_fn(|context| match body.poll_data(context) {
            Poll::Pending if flow::is_reset(client, context) => Poll::Ready(Err(())),
            data => data.map(Ok),
        });
        let data = match data.await {
            Ok(Some(Ok(data))) => data,
            Ok(Some(Err(error))) => return Ended::Cut(reason(&error)),
            Ok(None) => break,
            Err(()) => return Ended::ClientGone,
        };
        progress.activity.mark();
        let (size, ends) = (data.len(), body.is_end_stream());
        if flow::send(data, ends, client).await.is_err() {
            return Ended::ClientGone;
        }
        progress.activity.mark();
        if ends {
            return Ended::Complete;
        }
        // If it has ended, the next read tells.
        drop(body.flow_control().release_capacity(size));
    }
    let sent = match body.trailers().await {
        Ok(Some(trailers)) => {
            progress.record.ended(service.metrics.grpc(&trailers));
            client.send_trailers(http2::trailers(trailers))
        }
        Ok(None) => client.send_data(Bytes::new(), true),
        Err(error) => return Ended::Cut(reason(&error)),
    };
    match sent {
        Ok(()) => Ended::Complete,
        Err(_) => Ended::ClientGone,
    }
}

enum Head {
    Interim(http::Response<()>),
    Final(http::Response<RecvStream>),
    Failed(h2::Error),
    ClientGone,
}

async fn next_head(response: &mut ResponseFuture, respond: &mut SendResponse<Bytes>) -> Head {
    let mut response = pin!(response);
    poll_fn(|context| {
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(context) {
            return Poll::Ready(Head::Interim(interim));
        }
        match response.as_mut().poll(context) {
            Poll::Ready(Ok(response)) => Poll::Ready(Head::Final(response)),
            Poll::Ready(Err(error)) => Poll::Ready(Head::Failed(error)),
            Poll::Pending => respond.poll_reset(context).map(|_| Head::ClientGone),
        }
    })
    .await
}

/// The request has not begun.
fn unsent(error: &h2::Error, lease: &Lease<Slot>) -> Failure {
    Failure {
        proof: Proof::NotSent,
        evidence: None,
        is_of_connection: lease.reused,
        error: broken_off(reason(error), &lease.endpoint),
    }
}

/// There is no response, and this is why.
fn failed(error: &h2::Error, lease: &Lease<Slot>) -> Failure {
    let endpoint = &lease.endpoint;
    // Those that it has not looked at are named by its last word: RFC 9113, section 6.8.
    if error.is_go_away() && error.is_remote() {
        return unsent(error, lease);
    }
    if error.is_reset() && error.is_remote() {
        let is_refused = error.reason() == Some(Reason::REFUSED_STREAM);
        return Failure {
            // Refused is what was not looked at: RFC 9113, section 8.7.
            proof: if is_refused { Proof::Refused } else { Proof::Ambiguous },
            // It is there, and does not like this request.
            evidence: None,
            is_of_connection: false,
            error: broken_off(reason(error), endpoint),
        };
    }
    // One of its connection fails all that it carries.
    if error.is_reset() && error.is_library() {
        return untrusted(reason(error), endpoint);
    }
    Failure {
        proof: Proof::Ambiguous,
        evidence: lease.carrier.may_blame().then_some(Evidence::BrokenOff),
        is_of_connection: lease.reused,
        error: broken_off(reason(error), endpoint),
    }
}

fn untrusted(why: String, endpoint: &Endpoint) -> Failure {
    Failure {
        error: Error::Untrusted {
            endpoint: endpoint.label.clone(),
            why,
        },
        proof: Proof::Final,
        evidence: Some(Evidence::BrokenOff),
        is_of_connection: false,
    }
}

fn broken_off(why: String, endpoint: &Endpoint) -> Error {
    Error::BrokenOff {
        endpoint: endpoint.label.clone(),
        why,
    }
}

/// In words.
fn reason(error: &h2::Error) -> String {
    match error.get_io() {
        Some(error) => explained(error).unwrap_or_else(|| error.to_string()),
        None => error.to_string(),
    }
}
