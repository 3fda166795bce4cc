//! The head of a response, from the cluster to the application.

use httparse::{EMPTY_HEADER, Header};

use super::fields::{announce, field, forward, has_token, lengths, tokens};
use super::{Framing, MAX_FIELDS, Refused, Request, Rewrite, Rules};
use crate::stream::Scratch;

/// A response that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// As it comes from the endpoint.
    pub(crate) framing: Framing,
    /// The endpoint's connection can carry another request.
    pub(crate) reusable: bool,
    /// Its line and fields, without framing and the final empty line.
    head: Scratch,
}

impl Response {
    /// Understands a complete head that answers `request`.
    pub(crate) fn parse(head: &[u8], request: &Request, rules: &Rules, rewrite: &Rewrite<'_>) -> Result<Self, Refused> {
        let mut headers = [EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Refused::Syntax(httparse::Error::Token)),
            Err(httparse::Error::TooManyHeaders) => return Err(Refused::TooManyFields),
            Err(e) => return Err(Refused::Syntax(e)),
        }
        let status = parsed.code.unwrap_or_default();
        let changes = || {
            let to = request.upgrade.as_deref()?;
            // Some do not say to what; there was only one to choose.
            let is_said = tokens(parsed.headers, "upgrade").next().is_some();
            (!is_said || has_token(parsed.headers, "upgrade", to)).then_some(())
        };
        if !(100..=999).contains(&status) || (status == 101 && changes().is_none()) {
            return Err(Refused::Syntax(httparse::Error::Status));
        }
        Self::understand(
            status,
            parsed.reason.unwrap_or_default(),
            parsed.version == Some(1),
            parsed.headers,
            request,
            (rules, rewrite),
        )
    }

    fn understand(
        status: u16,
        reason: &str,
        is_http11: bool,
        headers: &[Header<'_>],
        request: &Request,
        (rules, rewrite): (&Rules, &Rewrite<'_>),
    ) -> Result<Self, Refused> {
        let (length, chunked) = lengths(headers, rules.equal_lengths)?;
        let bodyless = request.is_head || matches!(status, 100..=199 | 204 | 304);
        let framing = match (length, chunked) {
            _ if bodyless => Framing::None,
            // Transfer-Encoding decides, and the connection is not trusted with another message: RFC 9112, section 6.3.
            (_, true) => Framing::Chunked,
            (Some(length), false) => Framing::Length(length),
            (None, false) => Framing::UntilClose,
        };
        // A body where there may be none would stand before the next response.
        let unexpected = matches!(status, 100..=199 | 204) && (chunked || length.is_some_and(|length| length > 0));
        let ambiguous = unexpected || (length.is_some() && chunked);
        let reusable = is_http11
            && !ambiguous
            && framing != Framing::UntilClose
            && !has_token(headers, "connection", "close")
            && status != 101;
        let mut head = Scratch::new();
        head.extend_from_slice(b"HTTP/1.1 ");
        head.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        head.extend_from_slice(b" ");
        head.extend_from_slice(reason.as_bytes());
        head.extend_from_slice(b"\r\n");
        // Without a body, the length tells of the body that a GET would have; with one, it is written anew.
        let keeps_length = bodyless && !chunked && !matches!(status, 100..=199 | 204);
        forward(headers, &mut head, &["content-length"], Some(rewrite));
        if let Some(length) = length.filter(|_| keeps_length) {
            announce(&mut head, Framing::Length(length));
        }
        if let (101, Some(protocol)) = (status, &request.upgrade) {
            field(&mut head, "Connection", b"upgrade");
            field(&mut head, "Upgrade", protocol.as_bytes());
        }
        Ok(Self {
            status,
            framing,
            reusable,
            head,
        })
    }

    /// A response on the way to the final one.
    pub(crate) fn is_interim(&self) -> bool {
        matches!(self.status, 100..=199) && self.status != 101
    }

    /// How the body goes on to this client: one that speaks HTTP/1.0 does not know chunks.
    pub(crate) fn framing_towards(&self, request: &Request) -> Framing {
        match self.framing {
            Framing::Chunked | Framing::UntilClose if request.is_http11 => Framing::Chunked,
            Framing::Chunked => Framing::UntilClose,
            other => other,
        }
    }

    /// Appends the head as it goes to the client.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, framing: Framing, close: bool) {
        out.extend_from_slice(&self.head);
        announce(out, framing);
        if close && !matches!(self.status, 100..=199) {
            field(out, "Connection", b"close");
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, version: &str) -> Request {
        let head = format!("{method} / HTTP/{version}\r\nHost: x\r\n\r\n");
        Request::parse(head.as_bytes(), &Rules::default()).unwrap()
    }

    fn parse(head: &str) -> Result<Response, Refused> {
        understand(head, &request("GET", "1.1"))
    }

    const AS_IT_IS: Rewrite<'_> = Rewrite {
        endpoint: None,
        prefix: "",
        host: b"x",
        is_secure: false,
    };

    fn understand(head: &str, request: &Request) -> Result<Response, Refused> {
        Response::parse(head.as_bytes(), request, &Rules::default(), &AS_IT_IS)
    }

    fn forwarded(head: &str, request: &Request, close: bool) -> String {
        let response = understand(head, request).unwrap();
        let mut out = Vec::new();
        response.encode(&mut out, response.framing_towards(request), close);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_body_ends_as_the_rfc_says() {
        for (head, framing, reusable) in [
            ("200 OK\r\nContent-Length: 5\r\n", Framing::Length(5), true),
            ("200 OK\r\nTransfer-Encoding: chunked\r\n", Framing::Chunked, true),
            ("200 OK\r\n", Framing::UntilClose, false),
            (
                "200 OK\r\nContent-Length: 5\r\nConnection: close\r\n",
                Framing::Length(5),
                false,
            ),
            (
                "200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Framing::Chunked,
                false,
            ),
            ("204 No Content\r\n", Framing::None, true),
            ("204 No Content\r\nContent-Length: 5\r\n", Framing::None, false),
            ("304 Not Modified\r\nContent-Length: 5\r\n", Framing::None, true),
            ("100 Continue\r\n", Framing::None, true),
        ] {
            let response = parse(&format!("HTTP/1.1 {head}\r\n")).unwrap();
            assert_eq!((response.framing, response.reusable), (framing, reusable), "{head:?}");
        }
        assert!(!parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").unwrap().reusable);
        let head = understand("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &request("HEAD", "1.1")).unwrap();
        assert_eq!(head.framing, Framing::None);
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        for (head, refused) in [
            (
                "200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
                Refused::RepeatedLength,
            ),
            ("200 OK\r\nContent-Length: a\r\n", Refused::BadLength),
            ("200 OK\r\nTransfer-Encoding: gzip\r\n", Refused::BadTransferEncoding),
            ("101 Switching Protocols\r\n", Refused::Syntax(httparse::Error::Status)),
        ] {
            assert_eq!(parse(&format!("HTTP/1.1 {head}\r\n")), Err(refused), "{head:?}");
        }
    }

    #[test]
    fn an_old_server_may_be_believed() {
        let rules = Rules {
            equal_lengths: true,
            ..Rules::default()
        };
        let parse = |lengths: [u8; 2]| {
            let [a, b] = lengths;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {a}\r\nContent-Length: {b}\r\n\r\n");
            Response::parse(head.as_bytes(), &request("GET", "1.1"), &rules, &AS_IT_IS).map(|r| r.framing)
        };
        assert_eq!(parse([5, 5]), Ok(Framing::Length(5)));
        assert_eq!(parse([5, 6]), Err(Refused::RepeatedLength));
        let head = b"HTTP/1.0 200 OK\nA: b\r\n\n";
        let response = Response::parse(head, &request("GET", "1.1"), &rules, &AS_IT_IS).unwrap();
        let mut out = Vec::new();
        response.encode(&mut out, Framing::UntilClose, true);
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn only_what_was_asked_for_is_changed_to() {
        let rules = Rules {
            upgrades: vec!["tcp".into(), "websocket".into()],
            ..Rules::default()
        };
        let ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: TCP\r\n\r\n";
        let ask = Request::parse(ask, &rules).unwrap();
        let answer = |upgrade: &str| {
            let head = format!("HTTP/1.1 101 OK\r\nConnection: Upgrade\r\n{upgrade}A: b\r\n\r\n");
            Response::parse(head.as_bytes(), &ask, &rules, &AS_IT_IS)
        };
        let mut out = Vec::new();
        answer("Upgrade: tcp\r\n")
            .unwrap()
            .encode(&mut out, Framing::None, false);
        assert_eq!(
            out,
            b"HTTP/1.1 101 OK\r\nA: b\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n"
        );
        assert_eq!(
            answer("Upgrade: websocket\r\n"),
            Err(Refused::Syntax(httparse::Error::Status))
        );
        assert!(answer("").is_ok());
    }

    #[test]
    fn heads_are_written_anew() {
        let get = request("GET", "1.1");
        assert_eq!(
            forwarded(
                "HTTP/1.0 200 Fine\r\nKeep-Alive: 5\r\nConnection: x-hop\r\nX-Hop: 1\r\nETag: a\r\n\r\n",
                &get,
                true
            ),
            "HTTP/1.1 200 Fine\r\nETag: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            forwarded(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                &request("GET", "1.0"),
                true
            ),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            forwarded(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                &request("HEAD", "1.1"),
                false
            ),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        );
    }
}
