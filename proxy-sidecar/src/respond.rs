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
    #[error("no tunnel may lead to {0}; see connect")]
    ConnectDenied(String),
    #[error("{0} requests are under way already; see max-requests")]
    MaxRequests(usize),
    #[error("{0} connections are open already; see max-connections")]
    MaxConnections(usize),
    #[error("no endpoint of service {service} can be reached: {tried}")]
    Unreachable { service: String, tried: String },
    #[error("no endpoint of service {service} passes its health check: {why}")]
    Unfit { service: String, why: String },
    #[error("no endpoint of service {service} can be trusted: {tried}")]
    Certificate { service: String, tried: String },
    #[error("no endpoint of service {service} ends a TLS handshake: {tried}")]
    Handshake { service: String, tried: String },
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

/// The kinds of errors. Their names are those of metrics, of the log, and of details in Proxy-Status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Refused,
    HeadTooLarge,
    HeadTimeout,
    BadBody,
    BodyTimeout,
    ConnectDenied,
    MaxRequests,
    MaxConnections,
    Unresolved,
    Unfit,
    Unreachable,
    Certificate,
    Handshake,
    BrokenOff,
    Untrusted,
    ResponseTimeout,
}

impl Reason {
    pub(crate) const ALL: [Self; 16] = [
        Self::Refused,
        Self::HeadTooLarge,
        Self::HeadTimeout,
        Self::BadBody,
        Self::BodyTimeout,
        Self::ConnectDenied,
        Self::MaxRequests,
        Self::MaxConnections,
        Self::Unresolved,
        Self::Unfit,
        Self::Unreachable,
        Self::Certificate,
        Self::Handshake,
        Self::BrokenOff,
        Self::Untrusted,
        Self::ResponseTimeout,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::BadBody => "bad_body",
            Self::BodyTimeout => "body_timeout",
            Self::ConnectDenied => "connect_denied",
            Self::MaxRequests => "max_requests",
            Self::MaxConnections => "max_connections",
            Self::Unresolved => "unresolved",
            Self::Unfit => "unfit",
            Self::Unreachable => "unreachable",
            Self::Certificate => "certificate",
            Self::Handshake => "handshake",
            Self::BrokenOff => "broken_off",
            Self::Untrusted => "untrusted",
            Self::ResponseTimeout => "response_timeout",
        }
    }
}

impl Error {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Refused(Refused::TooManyFields) | Self::HeadTooLarge(_) => Reason::HeadTooLarge,
            Self::Refused(_) => Reason::Refused,
            Self::HeadTimeout => Reason::HeadTimeout,
            Self::BadBody(_) => Reason::BadBody,
            Self::BodyTimeout(_) => Reason::BodyTimeout,
            Self::ConnectDenied(_) => Reason::ConnectDenied,
            Self::MaxRequests(_) => Reason::MaxRequests,
            Self::MaxConnections(_) => Reason::MaxConnections,
            Self::Unresolved { .. } => Reason::Unresolved,
            Self::Unfit { .. } => Reason::Unfit,
            Self::Unreachable { .. } => Reason::Unreachable,
            Self::Certificate { .. } => Reason::Certificate,
            Self::Handshake { .. } => Reason::Handshake,
            Self::BrokenOff { .. } => Reason::BrokenOff,
            Self::Untrusted { .. } => Reason::Untrusted,
            Self::Timeout { .. } => Reason::ResponseTimeout,
        }
    }

    /// Status code, and the error type of RFC 9209 (Proxy-Status), section 2.3.
    pub(crate) fn status(&self) -> (u16, &'static str) {
        match self.reason() {
            Reason::ConnectDenied => (403, "http_request_denied"),
            Reason::Refused | Reason::BadBody => (400, "http_request_error"),
            Reason::HeadTooLarge => (431, "http_request_error"),
            Reason::HeadTimeout | Reason::BodyTimeout => (408, "http_request_error"),
            Reason::MaxRequests | Reason::MaxConnections => (503, "connection_limit_reached"),
            Reason::Unresolved => (503, "dns_error"),
            Reason::Unfit | Reason::Unreachable => (503, "destination_unavailable"),
            Reason::Certificate => (502, "tls_certificate_error"),
            Reason::Handshake => (502, "tls_protocol_error"),
            Reason::BrokenOff => (502, "connection_terminated"),
            Reason::Untrusted => (502, "http_protocol_error"),
            Reason::ResponseTimeout => (504, "http_response_timeout"),
        }
    }

    /// For people.
    pub(crate) fn body(&self) -> String {
        format!("proxy-sidecar: {self}\n")
    }

    /// What RFC 9209 has for it.
    pub(crate) fn proxy_status(&self) -> String {
        let (kind, reason) = (self.status().1, self.reason().name());
        format!("proxy-sidecar; error={kind}; details=\"{reason}\"")
    }

    /// The whole answer of HTTP/1.1; it closes the connection when the request may not have been understood to its end.
    pub(crate) fn encode(&self, close: bool, is_head: bool) -> Vec<u8> {
        let status = self.status().0;
        let reason = match status {
            400 => "Bad Request",
            403 => "Forbidden",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "Gateway Timeout",
        };
        let body = self.body();
        let connection = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nProxy-Status: {}\r\n{connection}\r\n",
            body.len(),
            self.proxy_status()
        );
        if is_head {
            head.into_bytes()
        } else {
            (head + &body).into_bytes()
        }
    }
}
