//! What both directions do with header fields.

use httparse::Header;

use super::{Framing, Refused, Rewrite};

/// Fields that mean something to the next hop only.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// A trailer must not say again what the head decided. RFC 9110, section 6.5.1.
const NOT_IN_TRAILERS: [&str; 8] = [
    "content-length",
    "host",
    "content-encoding",
    "content-type",
    "content-range",
    "trailer",
    "authorization",
    "set-cookie",
];

pub(crate) fn is_forbidden_trailer(name: &str) -> bool {
    is_hop_by_hop(name) || is_among(&NOT_IN_TRAILERS, name)
}

pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    is_among(&HOP_BY_HOP, name)
}

fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Of an authority, without user information. RFC 3986, section 3.2.
pub(crate) fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(&byte)
}

/// Sending such a request twice means the same as sending it once. RFC 9110, section 9.2.2.
pub(crate) fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

pub(super) fn named<'h>(headers: &'h [Header<'h>], name: &str) -> impl Iterator<Item = &'h [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// The comma-separated tokens of all fields of this name.
pub(super) fn tokens<'h>(headers: &'h [Header<'h>], name: &str) -> impl Iterator<Item = &'h [u8]> {
    named(headers, name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

pub(super) fn has_token(headers: &[Header<'_>], name: &str, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
}

/// Content-Length and Transfer-Encoding as they stand: either of them once, in its one plain spelling. If it `may_repeat`, a length may be
/// there several times, each of them equal.
pub(super) fn lengths(headers: &[Header<'_>], may_repeat: bool) -> Result<(Option<u64>, bool), Refused> {
    let length = length(named(headers, "content-length"), may_repeat)?;
    let mut encodings = named(headers, "transfer-encoding");
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok((length, false)),
        (Some(value), None) if value.eq_ignore_ascii_case(b"chunked") => Ok((length, true)),
        _ => Err(Refused::BadTransferEncoding),
    }
}

/// What the fields Content-Length say; see [`lengths`].
pub(crate) fn length<'h>(values: impl Iterator<Item = &'h [u8]>, may_repeat: bool) -> Result<Option<u64>, Refused> {
    let mut length = None;
    for value in values {
        let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number: Option<u64> = plain.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten();
        let number = number.ok_or(Refused::BadLength)?;
        if length.is_some_and(|length| !may_repeat || length != number) {
            return Err(Refused::RepeatedLength);
        }
        length = Some(number);
    }
    Ok(length)
}

/// Appends the fields that go on to the next hop: neither hop-by-hop ones, nor those that Connection names, nor framing and Host, which are
/// written anew.
pub(super) fn forward(headers: &[Header<'_>], out: &mut Vec<u8>, also_dropped: &[&str], rewrite: Option<&Rewrite<'_>>) {
    for header in headers {
        if is_hop_by_hop(header.name)
            || is_among(also_dropped, header.name)
            || tokens(headers, "connection").any(|t| t.eq_ignore_ascii_case(header.name.as_bytes()))
        {
            continue;
        }
        match rewrite {
            None => field(out, header.name, header.value),
            Some(rewrite) => {
                out.extend_from_slice(header.name.as_bytes());
                out.extend_from_slice(b": ");
                rewrite.field(header.name, header.value, out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the field that announces the body.
pub(super) fn announce(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => field(out, "Content-Length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked => field(out, "Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
}
