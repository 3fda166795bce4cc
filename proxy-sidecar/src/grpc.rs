//! What gRPC says over HTTP/2. Source: the document "gRPC over HTTP2" of the gRPC project, and its list of status codes.

use http::HeaderName;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::respond::Reason;

/// How a call ended: a number.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// In words, escaped.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// It may be tried again, by who knows that it does no harm.
pub(crate) const UNAVAILABLE: u8 = 14;
/// All codes, in their order.
pub(crate) const CODES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

const UNKNOWN: u8 = 2;
const DEADLINE_EXCEEDED: u8 = 4;
const RESOURCE_EXHAUSTED: u8 = 8;
const INTERNAL: u8 = 13;
const DATA_LOSS: u8 = 15;

/// How an error of the proxy is called. Of two that fit, the one that does not make a client try again what may have been done.
pub(crate) fn code(reason: Reason) -> u8 {
    match reason {
        Reason::HeadTooLarge => RESOURCE_EXHAUSTED,
        Reason::HeadTimeout | Reason::BodyTimeout | Reason::ResponseTimeout => DEADLINE_EXCEEDED,
        Reason::Refused | Reason::BadBody | Reason::ConnectDenied | Reason::Untrusted => INTERNAL,
        Reason::MaxRequests
        | Reason::MaxConnections
        | Reason::Unresolved
        | Reason::Unfit
        | Reason::Unreachable
        | Reason::Certificate
        | Reason::Handshake
        | Reason::BrokenOff => UNAVAILABLE,
    }
}

/// Does it say that a call failed for want of the server, and not of whoever asked?
pub(crate) fn is_failure(code: u8) -> bool {
    matches!(code, UNKNOWN | DEADLINE_EXCEEDED | INTERNAL | UNAVAILABLE | DATA_LOSS)
}

/// As `grpc-message` has it: visible ASCII and spaces, and all else by %.
pub(crate) fn escaped(message: &str) -> String {
    const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
    utf8_percent_encode(message, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_escaped() {
        assert_eq!(escaped("a b: 100%\n\u{e9}~"), "a b: 100%25%0A%C3%A9~");
    }

    #[test]
    fn each_reason_has_a_code_that_is_known() {
        for reason in Reason::ALL {
            let code = code(reason);
            assert!(code > 0 && usize::from(code) < CODES.len(), "{}", reason.name());
        }
    }
}
