//! The strict normaliser: the only way by which a message's head passes, in either direction.
//!
//! What two parsers could read in two ways is refused; framing is recomputed from what was understood; what belongs to one hop stays on it.
//! RFC 9112 (HTTP/1.1), sections 3, 5, 6, 9 and 11.2; RFC 9110, section 7.6.1.

mod fields;
mod key;
mod request;
mod response;
mod rewrite;

pub(crate) use fields::{is_forbidden_trailer, is_hop_by_hop, is_host_byte, is_idempotent, length};
pub(crate) use key::HashBy;
pub(crate) use request::Request;
pub(crate) use response::Response;
pub(crate) use rewrite::Rewrite;

/// Fields in one head; a head with more is refused.
pub(crate) const MAX_FIELDS: usize = 128;
/// A response's head, in bytes; larger is not trusted.
pub(crate) const MAX_RESPONSE_HEAD: usize = 64 << 10;
/// Responses on the way to the final one. They do not give it more time.
pub(crate) const MAX_INTERIMS: u32 = 32;

/// What a service allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The protocols that a connection may change to, in lower case.
    pub(crate) upgrades: Vec<String>,
    /// A response may say its length several times, if it is the same.
    pub(crate) equal_lengths: bool,
    /// Lines of a response's head may end with a line feed alone.
    pub(crate) bare_line_feeds: bool,
    /// What of a request decides where it goes.
    pub(crate) hash_by: Option<HashBy>,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
    /// With the connection; responses only.
    UntilClose,
}

/// Why a head is refused; told to whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a line does not end with CR LF")]
    BareLineFeed,
    #[error("a field is folded over two lines")]
    FoldedField,
    #[error("the head is not HTTP/1: {0}")]
    Syntax(httparse::Error),
    #[error("more than {MAX_FIELDS} fields")]
    TooManyFields,
    #[error("both Content-Length and Transfer-Encoding")]
    TwoFramings,
    #[error("Content-Length more than once")]
    RepeatedLength,
    #[error("Content-Length is not a plain number")]
    BadLength,
    #[error("Transfer-Encoding is other than one \"chunked\"")]
    BadTransferEncoding,
    #[error("Transfer-Encoding in HTTP/1.0")]
    ChunkedInHttp10,
    #[error("not exactly one Host")]
    HostCount,
    #[error("Host is not a host")]
    BadHost,
    #[error("the target is neither a path nor an http URL, nor HOST:PORT of CONNECT")]
    BadTarget,
    #[error("the host of the target differs from Host")]
    HostMismatch,
    #[error("CONNECT with a body")]
    ConnectWithBody,
    #[error(
        "it is HTTP/2, and this service speaks HTTP/1.1; its endpoints would have to be h2c://, h2://, grpc:// or grpcs://"
    )]
    NotHttp1,
    #[error("it is not HTTP/2 from the first byte (prior knowledge), which this service speaks, as its endpoints do")]
    NotHttp2,
    #[error("CONNECT in HTTP/2")]
    ConnectInStream,
}

/// The length of the head in `data`, once it is complete. Refuses line ends that parsers disagree about, unless they are allowed.
pub(crate) fn complete(data: &[u8], bare_line_feeds: bool) -> Result<Option<usize>, Refused> {
    let mut line_start = 0;
    while let Some(end) = memchr::memchr(b'\n', &data[line_start..]) {
        let lf = line_start + end;
        let line = match data[line_start..lf].strip_suffix(b"\r") {
            Some(line) => line,
            None if bare_line_feeds => &data[line_start..lf],
            None => return Err(Refused::BareLineFeed),
        };
        // One empty line before the request line is tolerated: RFC 9112, section 2.2.
        if line.is_empty() && line_start > 0 && data[..line_start] != *b"\r\n" {
            return Ok(Some(lf + 1));
        }
        line_start = lf + 1;
        if line_start > 2 && matches!(data.get(line_start), Some(b' ' | b'\t')) {
            return Err(Refused::FoldedField);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(complete(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody", false), Ok(Some(24)));
        assert_eq!(complete(b"GET / HTTP/1.1\r\n\r\n", false), Ok(Some(18)));
        assert_eq!(complete(b"\r\nGET / HTTP/1.1\r\n\r\n", false), Ok(Some(20)));
        for part in [
            &b""[..],
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n\r",
            b"\r\n",
        ] {
            assert_eq!(complete(part, false), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn line_ends_that_parsers_disagree_about_are_refused() {
        for bare in [
            &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"\nGET",
            b"GET / HTTP/1.1\r\nA: b\r\n\n",
        ] {
            assert_eq!(complete(bare, false), Err(Refused::BareLineFeed), "{bare:?}");
        }
        assert_eq!(complete(b"HTTP/1.1 200 OK\nA: b\r\n\nbody", true), Ok(Some(23)));
        for folded in [
            &b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\n\tA: b\r\n\r\n",
        ] {
            assert_eq!(complete(folded, true), Err(Refused::FoldedField), "{folded:?}");
        }
    }
}
