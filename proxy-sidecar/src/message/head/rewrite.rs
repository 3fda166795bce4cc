//! What an endpoint says of its own address and paths, as the application has to see it: it knows only the proxy.

/// How one endpoint is called, and how the proxy was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rewrite<'r> {
    /// The endpoint's Host, if that was put in the place of the application's.
    pub(crate) endpoint: Option<&'r str>,
    /// What its paths begin with, without a slash at the end.
    pub(crate) prefix: &'r str,
    /// The application's Host.
    pub(crate) host: &'r [u8],
    /// The endpoint is spoken to in TLS, and the application is not.
    pub(crate) is_secure: bool,
}

impl Rewrite<'_> {
    /// Does the field `name` tell of addresses?
    pub(crate) fn concerns(&self, name: &str) -> bool {
        let names = ["location", "content-location", "set-cookie"];
        names.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    /// Appends `value` of the field `name`, rewritten if it is one that tells of addresses.
    pub(crate) fn field(&self, name: &str, value: &[u8], out: &mut Vec<u8>) {
        if name.eq_ignore_ascii_case("location") || name.eq_ignore_ascii_case("content-location") {
            self.location(value, out);
        } else if name.eq_ignore_ascii_case("set-cookie") {
            self.cookie(value, out);
        } else {
            out.extend_from_slice(value);
        }
    }

    /// A URL, an authority with a path, or a path.
    fn location(&self, value: &[u8], out: &mut Vec<u8>) {
        let default_port: &[u8] = if self.is_secure { b":443" } else { b":80" };
        // A scheme, its default port, and what the application has in its place.
        let schemes: [(&[u8], &[u8], &[u8]); 3] = [
            (b"//", default_port, b"//"),
            (b"http://", b":80", b"http://"),
            (b"https://", b":443", b"http://"),
        ];
        let schemes = if self.unveils() { &schemes[..] } else { &schemes[..2] };
        let Some((scheme, port, seen)) = schemes.iter().find(|(scheme, ..)| starts_with(value, scheme)) else {
            return self.path(value, out);
        };
        let rest = &value[scheme.len()..];
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
            .unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let is_own = match self.endpoint {
            Some(endpoint) => is_same(authority, port, endpoint.as_bytes(), default_port),
            // The application's Host was kept: that is what the endpoint calls itself.
            None => authority.eq_ignore_ascii_case(self.host),
        };
        if !is_own {
            return out.extend_from_slice(value);
        }
        if self.host.is_empty() {
            return self.path(if path.is_empty() { b"/" } else { path }, out);
        }
        out.extend_from_slice(seen);
        out.extend_from_slice(self.host);
        let path = self.strip(path);
        out.extend_from_slice(if path.starts_with(b"?") && !self.prefix.is_empty() {
            b"/"
        } else {
            b""
        });
        out.extend_from_slice(path);
    }

    /// What is in TLS at the endpoint is not at the proxy. A Host that was kept is the name of whoever stands before the application, and
    /// whether that is in TLS is not known here.
    fn unveils(&self) -> bool {
        self.is_secure && self.endpoint.is_some()
    }

    /// A path of the endpoint as one of the proxy, and never as anything else.
    fn path(&self, path: &[u8], out: &mut Vec<u8>) {
        let stripped = self.strip(path);
        if stripped.len() != path.len() {
            match stripped {
                // It would name a host: RFC 3986, section 4.2.
                [b'/', b'/', ..] => out.extend_from_slice(b"/."),
                // It would be of the page that was asked for.
                [b'?' | b'#', ..] => out.push(b'/'),
                _ => {}
            }
        }
        out.extend_from_slice(stripped);
    }

    /// Without the prefix.
    fn strip<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        match path.strip_prefix(self.prefix.as_bytes()) {
            _ if self.prefix.is_empty() => path,
            Some(b"") => b"/",
            Some(rest) if matches!(rest.first(), Some(b'/' | b'?' | b'#')) => rest,
            _ => path,
        }
    }

    /// A cookie for the endpoint's domain, or for all below it, is one for whoever asked.
    fn cookie(&self, value: &[u8], out: &mut Vec<u8>) {
        for (number, part) in value.split(|byte| *byte == b';').enumerate() {
            let attribute = |name: &[u8]| {
                let at = part.iter().position(|byte| *byte == b'=')?;
                let (found, value) = (part[..at].trim_ascii(), part[at + 1..].trim_ascii());
                found.eq_ignore_ascii_case(name).then_some(value)
            };
            if number > 0 && attribute(b"domain").is_some_and(|domain| self.is_within(domain)) {
                continue;
            }
            // It would not be sent back to where it seems to come from.
            if number > 0 && self.unveils() && part.trim_ascii().eq_ignore_ascii_case(b"secure") && !is_bound(value) {
                continue;
            }
            if number > 0 {
                out.push(b';');
            }
            match attribute(b"path").filter(|_| number > 0) {
                Some(path) => {
                    out.extend_from_slice(b" Path=");
                    out.extend_from_slice(self.strip(path));
                }
                None => out.extend_from_slice(part),
            }
        }
    }

    /// Is the endpoint's host this domain, or below it?
    fn is_within(&self, domain: &[u8]) -> bool {
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        let Some(endpoint) = self.endpoint else {
            return false;
        };
        let host = match endpoint.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => endpoint,
        };
        let Some(at) = host.len().checked_sub(domain.len()) else {
            return false;
        };
        let (above, end) = host.as_bytes().split_at(at);
        !domain.is_empty() && end.eq_ignore_ascii_case(domain) && matches!(above.last(), None | Some(b'.'))
    }
}

/// In whatever case.
fn starts_with(value: &[u8], prefix: &[u8]) -> bool {
    value
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Are these the same host and port? Each without a port has that of its scheme.
fn is_same(one: &[u8], one_port: &[u8], other: &[u8], other_port: &[u8]) -> bool {
    let has_port = |authority: &[u8]| {
        let digits = authority.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && authority[..authority.len() - digits].ends_with(b":")
    };
    let full = |authority: &[u8], port: &[u8]| {
        let port = if has_port(authority) { b"" } else { port };
        [authority, port].concat().to_ascii_lowercase()
    };
    full(one, one_port) == full(other, other_port)
}

/// Such a cookie is not taken without `Secure`: RFC 6265bis, sections 4.1.3 and 5.7, and CHIPS.
fn is_bound(cookie: &[u8]) -> bool {
    let needs = |part: &[u8]| {
        let attribute = part.trim_ascii();
        attribute.eq_ignore_ascii_case(b"samesite=none") || attribute.eq_ignore_ascii_case(b"partitioned")
    };
    let is_named = starts_with(cookie, b"__Secure-") || starts_with(cookie, b"__Host-");
    is_named || cookie.split(|byte| *byte == b';').skip(1).any(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REWRITE: Rewrite<'_> = Rewrite {
        endpoint: Some("es-1.example:9200"),
        prefix: "/api",
        host: b"127.0.0.1:8081",
        is_secure: false,
    };

    fn rewritten(rewrite: Rewrite<'_>, name: &str, value: &str) -> String {
        let mut out = Vec::new();
        rewrite.field(name, value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_location_at_the_endpoint_is_one_at_the_proxy() {
        for (location, seen) in [
            ("http://es-1.example:9200/api/a?b#c", "http://127.0.0.1:8081/a?b#c"),
            ("HTTP://ES-1.example:9200/api", "http://127.0.0.1:8081/"),
            ("//es-1.example:9200/api/a", "//127.0.0.1:8081/a"),
            ("http://es-1.example:9200", "http://127.0.0.1:8081"),
            ("http://es-1.example:9200/other", "http://127.0.0.1:8081/other"),
            ("/api/a", "/a"),
            ("/api?a", "/?a"),
            ("/api#a", "/#a"),
            ("http://es-1.example:9200/api?a", "http://127.0.0.1:8081/?a"),
            // A path is never turned into a host.
            ("/api//evil.example/", "/.//evil.example/"),
            ("//evil.example/", "//evil.example/"),
            ("/apis/a", "/apis/a"),
            ("a/b", "a/b"),
            ("", ""),
            // Somebody else's.
            ("http://es-1.example/api/a", "http://es-1.example/api/a"),
            ("https://es-1.example:9200/api/a", "https://es-1.example:9200/api/a"),
            (
                "http://es-1.example:9200.evil.example/",
                "http://es-1.example:9200.evil.example/",
            ),
        ] {
            assert_eq!(rewritten(REWRITE, "Location", location), seen);
            assert_eq!(rewritten(REWRITE, "content-location", location), seen);
        }
        let old = Rewrite { host: b"", ..REWRITE };
        assert_eq!(rewritten(old, "Location", "http://es-1.example:9200/api/a"), "/a");
        assert_eq!(rewritten(old, "Location", "http://es-1.example:9200"), "/");
        assert_eq!(
            rewritten(old, "Location", "http://es-1.example:9200/api//evil.example"),
            "/.//evil.example"
        );
        let kept = Rewrite {
            endpoint: None,
            ..REWRITE
        };
        assert_eq!(
            rewritten(kept, "Location", "http://127.0.0.1:8081/api/a"),
            "http://127.0.0.1:8081/a"
        );
        let kept = Rewrite { prefix: "", ..kept };
        for location in ["http://es-1.example:9200/a", "/a", "//a"] {
            assert_eq!(rewritten(kept, "Location", location), location);
        }
    }

    #[test]
    fn the_default_port_is_the_same_as_none() {
        let rewrite = Rewrite {
            endpoint: Some("es"),
            ..REWRITE
        };
        for location in ["http://es/a", "http://es:80/a"] {
            assert_eq!(rewritten(rewrite, "Location", location), "http://127.0.0.1:8081/a");
        }
    }

    #[test]
    fn an_endpoint_in_tls_is_at_the_proxy_without_it() {
        let rewrite = Rewrite {
            endpoint: Some("es"),
            is_secure: true,
            ..REWRITE
        };
        for location in [
            "https://es/a",
            "https://ES:443/api/a",
            "//es/a",
            "//es:443/a",
            "http://es:443/a",
        ] {
            let seen = if location.starts_with("//") {
                "//127.0.0.1:8081/a"
            } else {
                "http://127.0.0.1:8081/a"
            };
            assert_eq!(rewritten(rewrite, "Location", location), seen, "{location}");
        }
        // On another port there is another server.
        for location in ["http://es/a", "http://es:80/a", "https://es:8443/a", "//es:80/a"] {
            assert_eq!(rewritten(rewrite, "Location", location), location);
        }
        let kept = Rewrite {
            endpoint: None,
            ..rewrite
        };
        let location = "https://127.0.0.1:8081/api/a";
        assert_eq!(
            rewritten(kept, "Location", location),
            location,
            "somebody may end TLS there"
        );
        assert_eq!(rewritten(kept, "Set-Cookie", "a=b; Secure"), "a=b; Secure");
        for (cookie, seen) in [
            ("a=b; Secure; Path=/api; HttpOnly", "a=b; Path=/; HttpOnly"),
            ("secure", "secure"),
            ("__Host-a=b; Secure", "__Host-a=b; Secure"),
            ("a=b; Secure; SameSite=None", "a=b; Secure; SameSite=None"),
            ("a=b; Partitioned; Secure", "a=b; Partitioned; Secure"),
            ("__secure-a=b; Secure", "__secure-a=b; Secure"),
        ] {
            assert_eq!(rewritten(rewrite, "Set-Cookie", cookie), seen);
        }
    }

    #[test]
    fn cookies_of_the_endpoint_are_of_whoever_asked() {
        for (cookie, seen) in [
            ("a=b", "a=b"),
            ("a=b; Domain=es-1.example; Path=/api; Secure", "a=b; Path=/; Secure"),
            ("a=b; Secure; domain=.EXAMPLE", "a=b; Secure"),
            (
                "a=b; path=/api/x; domain=other.example",
                "a=b; Path=/x; domain=other.example",
            ),
            ("a=b; Domain = es-1.example; Path = /api/x", "a=b; Path=/x"),
            ("a=b; domain=1.example", "a=b; domain=1.example"),
            ("domain=es-1.example", "domain=es-1.example"),
        ] {
            assert_eq!(rewritten(REWRITE, "Set-Cookie", cookie), seen);
        }
    }

    #[test]
    fn other_fields_stay_as_they_are() {
        assert_eq!(
            rewritten(REWRITE, "X-A", "http://es-1.example:9200/api"),
            "http://es-1.example:9200/api"
        );
    }
}
