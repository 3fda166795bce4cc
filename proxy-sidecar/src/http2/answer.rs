//! Answers of our own, as HTTP or as gRPC says them.

use std::future::poll_fn;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::grpc;
use crate::message::http2::is_grpc;
use crate::respond::Error;
use crate::service::Service;

/// RFC 9209.
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Http {
        /// It asked for a head, and gets no body.
        is_head: bool,
    },
    Grpc,
}

impl Form {
    pub(super) fn of(head: &Parts) -> Self {
        if is_grpc(&head.headers) {
            Self::Grpc
        } else {
            Self::Http {
                is_head: head.method == Method::HEAD,
            }
        }
    }
}

/// Answers in the place of the cluster; false if the client has left.
pub(super) fn error(error: &Error, respond: &mut SendResponse<Bytes>, form: Form, service: &Service) -> bool {
    service.tell(error);
    let mut body = Bytes::from(error.body());
    let mut response = Response::new(());
    let fields = response.headers_mut();
    fields.insert(PROXY_STATUS, value(&error.proxy_status()));
    let status = if form == Form::Grpc {
        body.clear();
        let code = grpc::code(error.reason());
        service.metrics.grpc_code(code);
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        say(code, &format!("proxy-sidecar: {error}"), fields);
        StatusCode::OK
    } else {
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        fields.insert(CONTENT_LENGTH, body.len().into());
        if form == (Form::Http { is_head: true }) {
            body.clear();
        }
        StatusCode::from_u16(error.status().0).unwrap_or(StatusCode::BAD_GATEWAY)
    };
    *response.status_mut() = status;
    let sent = respond.send_response(response, body.is_empty()).and_then(|mut rest| {
        if body.is_empty() {
            return Ok(());
        }
        rest.send_data(body, true)
    });
    if sent.is_err() {
        service.metrics.aborted.inc();
    }
    sent.is_ok()
}

/// Ends a response that the endpoint has begun, so that it cannot be taken for complete: gRPC has a status for that, HTTP does not. The code.
pub(super) fn cut(mut rest: SendStream<Bytes>, form: Form, why: &str, endpoint: &str) -> Option<u8> {
    if form == Form::Grpc {
        let mut trailers = HeaderMap::new();
        say(
            grpc::UNAVAILABLE,
            &format!("proxy-sidecar: endpoint {endpoint} broke off: {why}"),
            &mut trailers,
        );
        if rest.send_trailers(trailers).is_ok() {
            return Some(grpc::UNAVAILABLE);
        }
    }
    rest.send_reset(Reason::INTERNAL_ERROR);
    None
}

/// Waits until the client has reset its request, or left.
pub(super) async fn client_left(respond: &mut SendResponse<Bytes>) {
    drop(poll_fn(|context| respond.poll_reset(context)).await);
}

fn say(code: u8, message: &str, fields: &mut HeaderMap) {
    fields.insert(grpc::STATUS, u16::from(code).into());
    fields.insert(grpc::MESSAGE, value(&grpc::escaped(message)));
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("proxy-sidecar"))
}
