//! The head of a request, from the application to the cluster.

use std::cell::{Ref, RefCell};
use std::ops::Range;

use httparse::{EMPTY_HEADER, Header};

use super::fields::{announce, field, forward, has_token, is_host_byte, is_idempotent, lengths, named, tokens};
use super::{Framing, MAX_FIELDS, Refused, Rules};
use crate::policy::balance::Key;
use crate::stream::Scratch;

/// A request that was understood, and the parts of its head as they go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) framing: Framing,
    /// `HEAD`: the response has no body.
    pub(crate) is_head: bool,
    /// Sending it twice means the same as sending it once. RFC 9110, section 9.2.2.
    pub(crate) idempotent: bool,
    /// The client speaks HTTP/1.1.
    pub(crate) is_http11: bool,
    /// The client wants to use the connection again.
    pub(crate) keep_alive: bool,
    /// The protocol that the connection is to change to, in lower case.
    pub(crate) upgrade: Option<String>,
    /// `CONNECT`: where a tunnel is to lead.
    pub(crate) connect: Option<String>,
    /// What decides where it goes, if it has that.
    pub(crate) key: Option<Key>,
    /// All of it as it goes on, until it is not needed any more.
    head: RefCell<Scratch>,
    /// Where in `head` the path begins,
    path: usize,
    /// and where the value of Host is.
    host: Range<usize>,
}

impl Request {
    /// Understands a complete head, or says why not.
    pub(crate) fn parse(head: &[u8], rules: &Rules) -> Result<Self, Refused> {
        if head.starts_with(b"PRI * HTTP/2.0\r\n") {
            return Err(Refused::NotHttp1);
        }
        let mut headers = [EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Refused::Syntax(httparse::Error::Token)),
            Err(httparse::Error::TooManyHeaders) => return Err(Refused::TooManyFields),
            Err(e) => return Err(Refused::Syntax(e)),
        }
        let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        let is_http11 = parsed.version == Some(1);
        Self::understand(method, target, is_http11, parsed.headers, rules)
    }

    fn understand(
        method: &str,
        target: &str,
        is_http11: bool,
        headers: &[Header<'_>],
        rules: &Rules,
    ) -> Result<Self, Refused> {
        let framing = framing(headers, is_http11)?;
        let host = host(headers, is_http11)?;
        if method == "CONNECT" {
            return Self::connect(target, framing, is_http11);
        }
        let (authority, path) = split_target(method, target)?;
        let host = match authority {
            Some(authority) if is_http11 && !authority.as_bytes().eq_ignore_ascii_case(host) => {
                return Err(Refused::HostMismatch);
            }
            Some(authority) => authority.as_bytes(),
            None => host,
        };
        let upgrade = upgrade(headers, rules).filter(|_| is_http11 && framing != Framing::Chunked);
        // Trailers pass both ways; who wants them says so to each hop.
        let trailers = is_http11 && has_token(headers, "te", "trailers");
        let mut head = Scratch::new();
        for part in [method.as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\nHost: "] {
            head.extend_from_slice(part);
        }
        let host_at = head.len();
        head.extend_from_slice(host);
        let host = host_at..head.len();
        head.extend_from_slice(b"\r\n");
        let dropped: &[&str] = if is_http11 {
            &["host", "content-length"]
        } else {
            &["host", "content-length", "expect"]
        };
        forward(headers, &mut head, dropped, None);
        announce(&mut head, framing);
        match (&upgrade, trailers) {
            (None, false) => {}
            (None, true) => field(&mut head, "Connection", b"TE"),
            (Some(_), false) => field(&mut head, "Connection", b"upgrade"),
            (Some(_), true) => field(&mut head, "Connection", b"upgrade, TE"),
        }
        if let Some(upgrade) = &upgrade {
            field(&mut head, "Upgrade", upgrade.as_bytes());
        }
        if trailers {
            field(&mut head, "TE", b"trailers");
        }
        head.extend_from_slice(b"\r\n");
        Ok(Self {
            framing,
            is_head: method == "HEAD",
            idempotent: is_idempotent(method),
            is_http11,
            keep_alive: is_http11 && !has_token(headers, "connection", "close"),
            upgrade,
            connect: None,
            key: rules.hash_by.as_ref().and_then(|part| part.of(headers, path)),
            head: RefCell::new(head),
            path: method.len() + 1,
            host,
        })
    }

    /// Nothing of it goes on. RFC 9110, section 9.3.6: the target is a host and a port, and content has no meaning.
    fn connect(target: &str, framing: Framing, is_http11: bool) -> Result<Self, Refused> {
        let port = target.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() || !target.bytes().all(is_host_byte) {
            return Err(Refused::BadTarget);
        }
        if !matches!(framing, Framing::None | Framing::Length(0)) {
            return Err(Refused::ConnectWithBody);
        }
        Ok(Self {
            framing: Framing::None,
            is_head: false,
            idempotent: false,
            is_http11,
            keep_alive: false,
            upgrade: None,
            connect: Some(target.to_owned()),
            key: None,
            head: RefCell::default(),
            path: 0,
            host: 0..0,
        })
    }

    /// The client's Host; empty if it has none.
    pub(crate) fn host(&self) -> Ref<'_, [u8]> {
        Ref::map(self.head.borrow(), |head| &head[self.host.clone()])
    }

    /// Method and target.
    pub(crate) fn line(&self) -> (String, String) {
        if let Some(place) = &self.connect {
            return ("CONNECT".to_owned(), place.clone());
        }
        let head = self.head.borrow();
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let target = head[self.path..].split(|byte| *byte == b' ').next().unwrap_or_default();
        (text(head[..self.path].trim_ascii_end()), text(target))
    }

    /// It has been sent, and will not be again.
    pub(crate) fn forget_head(&self) {
        self.head.take();
    }

    /// Appends the head as it goes to an endpoint; `host` replaces the client's, and `prefix` goes before its path.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, host: Option<&str>, prefix: &str) {
        let head = self.head.borrow();
        out.extend_from_slice(&head[..self.path]);
        if head[self.path] == b'/' {
            out.extend_from_slice(prefix.as_bytes());
        }
        let Some(host) = host else {
            return out.extend_from_slice(&head[self.path..]);
        };
        out.extend_from_slice(&head[self.path..self.host.start]);
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(&head[self.host.end..]);
    }
}

/// The one protocol to change to, if it is asked for and allowed.
fn upgrade(headers: &[Header<'_>], rules: &Rules) -> Option<String> {
    let mut asked = tokens(headers, "upgrade");
    let (Some(only), None) = (asked.next(), asked.next()) else {
        return None;
    };
    let allowed = rules
        .upgrades
        .iter()
        .find(|allowed| allowed.as_bytes().eq_ignore_ascii_case(only));
    allowed.filter(|_| has_token(headers, "connection", "upgrade")).cloned()
}

fn framing(headers: &[Header<'_>], is_http11: bool) -> Result<Framing, Refused> {
    match lengths(headers, false)? {
        (Some(_), true) => Err(Refused::TwoFramings),
        (None, true) if !is_http11 => Err(Refused::ChunkedInHttp10),
        (None, true) => Ok(Framing::Chunked),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, false) => Ok(Framing::None),
    }
}

fn host<'h>(headers: &'h [Header<'h>], is_http11: bool) -> Result<&'h [u8], Refused> {
    let mut hosts = named(headers, "host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.iter().all(|&b| is_host_byte(b)) => Ok(host),
        (Some(_), None) => Err(Refused::BadHost),
        (None, _) if !is_http11 => Ok(b""),
        _ => Err(Refused::HostCount),
    }
}

/// The authority of an absolute target, and the path with its query.
fn split_target<'t>(method: &str, target: &'t str) -> Result<(Option<&'t str>, &'t str), Refused> {
    let visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !visible {
        return Err(Refused::BadTarget);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.map(|scheme| &target[scheme.len()..]).ok_or(Refused::BadTarget)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() || !authority.bytes().all(is_host_byte) || path.starts_with('?') {
        return Err(Refused::BadTarget);
    }
    Ok((Some(authority), if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Request, Refused> {
        let upgrades = vec!["websocket".into(), "tcp".into()];
        let rules = Rules {
            upgrades,
            ..Rules::default()
        };
        Request::parse(head.as_bytes(), &rules)
    }

    fn forwarded(head: &str) -> String {
        let mut out = Vec::new();
        parse(head).unwrap().encode(&mut out, None, "");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_plain_request_passes() {
        let head = "GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
        assert_eq!(forwarded(head), head);
        let request = parse(head).unwrap();
        assert_eq!(
            (request.framing, request.keep_alive, request.idempotent),
            (Framing::None, true, true)
        );
        assert!(
            !parse("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .unwrap()
                .keep_alive
        );
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
        let mut out = Vec::new();
        request.encode(&mut out, Some("es-1:9200"), "/api");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "GET /api/a?b HTTP/1.1\r\nHost: es-1:9200\r\nAccept: */*\r\n\r\n"
        );
        let mut out = Vec::new();
        parse("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap()
            .encode(&mut out, None, "/api");
        assert!(out.starts_with(b"OPTIONS * HTTP/1.1\r\n"));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let host = "POST / HTTP/1.1\r\nHost: x\r\n";
        for (fields, refused) in [
            (
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                Refused::TwoFramings,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                Refused::TwoFramings,
            ),
            ("Content-Length: 3\r\nContent-Length: 3\r\n", Refused::RepeatedLength),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", Refused::RepeatedLength),
            ("Content-Length: 3, 3\r\n", Refused::BadLength),
            ("Content-Length: +3\r\n", Refused::BadLength),
            ("Content-Length: -1\r\n", Refused::BadLength),
            ("Content-Length: 0x3\r\n", Refused::BadLength),
            ("Content-Length: \r\n", Refused::BadLength),
            ("Content-Length: 18446744073709551616\r\n", Refused::BadLength),
            ("Transfer-Encoding: gzip, chunked\r\n", Refused::BadTransferEncoding),
            ("Transfer-Encoding: chunked, chunked\r\n", Refused::BadTransferEncoding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Refused::BadTransferEncoding,
            ),
            ("Transfer-Encoding: xchunked\r\n", Refused::BadTransferEncoding),
            ("Transfer-Encoding: \"chunked\"\r\n", Refused::BadTransferEncoding),
            ("Transfer-Encoding:\r\n", Refused::BadTransferEncoding),
            ("Host: y\r\n", Refused::HostCount),
        ] {
            assert_eq!(parse(&format!("{host}{fields}\r\n")), Err(refused), "{fields:?}");
        }
        for head in [
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
            "POST / HTTP/2.0\r\nHost: x\r\n\r\n",
            "POST  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "P@ST/ HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            assert!(
                matches!(parse(head), Err(Refused::Syntax(_))),
                "{head:?}: {:?}",
                parse(head)
            );
        }
        assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Err(Refused::HostCount));
        assert_eq!(parse("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), Err(Refused::BadHost));
        assert_eq!(parse("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), Err(Refused::BadHost));
        assert_eq!(
            parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Err(Refused::ChunkedInHttp10)
        );
        for target in ["x", "x:", "x:65536", "x:http", "/", "u@x:1", "http://x:1/", "x/y:1"] {
            let head = format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(parse(&head), Err(Refused::BadTarget), "{target}");
        }
        assert_eq!(parse("CONNECT x:443 HTTP/1.1\r\n\r\n"), Err(Refused::HostCount));
        for framing in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
            let head = format!("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n{framing}\r\n\r\n");
            assert_eq!(parse(&head), Err(Refused::ConnectWithBody));
        }
        for head in [
            "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n",
        ] {
            assert_eq!(parse(head).unwrap().connect.as_deref(), Some("[2001:db8::1]:443"));
        }
    }

    #[test]
    fn targets_have_one_meaning() {
        for (target, result) in [
            ("/a#b", Err(Refused::BadTarget)),
            ("a", Err(Refused::BadTarget)),
            ("*", Err(Refused::BadTarget)),
            ("https://x/", Err(Refused::BadTarget)),
            ("http://", Err(Refused::BadTarget)),
            ("http://u@x/", Err(Refused::BadTarget)),
            ("http://y/", Err(Refused::HostMismatch)),
            ("http://X/a", Ok("GET /a HTTP/1.1\r\n")),
            ("http://x", Ok("GET / HTTP/1.1\r\n")),
        ] {
            let found = parse(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(
                found.map(|r| r
                    .head
                    .borrow()
                    .split_inclusive(|b| *b == b'\n')
                    .next()
                    .unwrap()
                    .to_vec()),
                result.map(|line| line.as_bytes().to_vec()),
                "{target}"
            );
        }
        assert!(parse("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").is_ok());
    }

    #[test]
    fn what_belongs_to_the_hop_stays_on_it() {
        let head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Secret\r\nConnection: x-other, host, content-length\r\nKeep-Alive: 5\r\n\
                    X-Secret: 1\r\nx-other: 2\r\nTE: trailers\r\nProxy-Connection: a\r\nProxy-Authorization: b\r\nUpgrade: h2c\r\n\
                    HTTP2-Settings: c\r\nContent-Length: 0\r\nX-Kept: 3\r\n\r\n";
        assert_eq!(
            forwarded(head),
            "GET / HTTP/1.1\r\nHost: x\r\nX-Kept: 3\r\nContent-Length: 0\r\nConnection: TE\r\nTE: trailers\r\n\r\n"
        );
        assert!(!forwarded("GET / HTTP/1.1\r\nHost: x\r\nTE: gzip\r\n\r\n").contains("TE"));
    }

    #[test]
    fn a_connection_changes_only_to_what_is_allowed() {
        let ask = |more: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{more}\r\n");
        for (more, protocol) in [
            ("Upgrade: WebSocket\r\n", "websocket"),
            ("Upgrade: tcp\r\nContent-Length: 1\r\n", "tcp"),
        ] {
            assert_eq!(parse(&ask(more)).unwrap().upgrade.as_deref(), Some(protocol));
            let as_sent = format!("Connection: upgrade\r\nUpgrade: {protocol}\r\n");
            assert!(forwarded(&ask(more)).contains(&as_sent));
        }
        for more in [
            "Upgrade: h2c\r\n",
            "Upgrade: websocket, h2c\r\n",
            "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            "",
        ] {
            assert_eq!(parse(&ask(more)).unwrap().upgrade, None, "{more:?}");
            assert!(!forwarded(&ask(more)).to_lowercase().contains("upgrade"), "{more:?}");
        }
        assert_eq!(
            parse("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
                .unwrap()
                .upgrade,
            None
        );
    }

    #[test]
    fn fields_are_limited() {
        let with = |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
        for (count, refused) in [(MAX_FIELDS - 1, false), (MAX_FIELDS, false), (MAX_FIELDS + 1, true)] {
            assert_eq!(parse(&with(count)) == Err(Refused::TooManyFields), refused, "{count}");
        }
    }
}
