//! The one table from error to answer.

use crate::message::Malformed;
use crate::message::head::Refused;

/// Why the proxy answers instead of the cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("request refused: {0}")]
    Refused(#[from] Refused),
    #[error("request refused: line and headers are larger than max-head ({0} bytes)")]
    HeadTooLarge(usize),
    #[error("request refused: its head did not arrive in time")]
    HeadTimeout,
    #[error("request refused: {0}")]
    BadBody(Malformed),
    #[error("request refused: nothing of its body came for {0:?}")]
    BodyTimeout(std::time::Duration),
    #[error("{0} requests are under way already; see max-requests")]
    Busy(usize),
    #[error("no endpoint of service {service} can be reached: {tried}")]
    Unreachable { service: String, tried: String },
    #[error("service {service} has no endpoints: {why}")]
    Unresolved { service: String, why: String },
    #[error("endpoint {endpoint} broke off before it answered: {why}")]
    BrokenOff { endpoint: String, why: String },
    #[error("endpoint {endpoint} answered something that is not trusted: {why}")]
    Untrusted { endpoint: String, why: String },
    #[error("endpoint {endpoint} did not answer within {after:?}")]
    Timeout {
        endpoint: String,
        after: std::time::Duration,
    },
}

impl Error {
    /// Status code, and the error type of RFC 9209 (Proxy-Status), section 2.3.
    pub(crate) fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Refused(Refused::Connect) => (405, "http_request_denied"),
            Self::Refused(Refused::TooManyFields) | Self::HeadTooLarge(_) => (431, "http_request_error"),
            Self::Refused(_) | Self::BadBody(_) => (400, "http_request_error"),
            Self::HeadTimeout | Self::BodyTimeout(_) => (408, "http_request_error"),
            Self::Busy(_) => (503, "connection_limit_reached"),
            Self::Unreachable { .. } => (503, "destination_unavailable"),
            Self::Unresolved { .. } => (503, "dns_error"),
            Self::BrokenOff { .. } => (502, "connection_terminated"),
            Self::Untrusted { .. } => (502, "http_protocol_error"),
            Self::Timeout { .. } => (504, "http_response_timeout"),
        }
    }

    /// The whole answer; it closes the connection when the request may not have been understood to its end.
    pub(crate) fn encode(&self, close: bool, is_head: bool) -> Vec<u8> {
        let (status, kind) = self.status();
        let reason = match status {
            400 => "Bad Request",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "Gateway Timeout",
        };
        let body = format!("proxy-sidecar: {self}\n");
        let connection = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nProxy-Status: proxy-sidecar; error={kind}\r\n{connection}\r\n",
            body.len()
        );
        if is_head {
            head.into_bytes()
        } else {
            (head + &body).into_bytes()
        }
    }
}
