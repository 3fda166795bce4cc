//! Heads of HTTP/2, in either direction. The codec has refused what is malformed (RFC 9113, section 8); what two readers could understand in
//! two ways is refused here, and what belongs to one hop stays on it.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request, response};
use httparse::Header;

use super::head::{
    MAX_FIELDS, Refused, Rewrite, Rules, is_forbidden_trailer, is_hop_by_hop, is_host_byte, is_idempotent, length,
};
use crate::policy::balance::Key;

/// A request that was understood, as it goes on.
#[derive(Debug)]
pub(crate) struct Request {
    /// Sending it twice means the same as sending it once. RFC 9110, section 9.2.2.
    pub(crate) idempotent: bool,
    /// Of the body, if it is said.
    pub(crate) length: Option<u64>,
    /// What decides where it goes, if it has that.
    pub(crate) key: Option<Key>,
    method: Method,
    /// What the client calls the proxy.
    authority: Authority,
    path: PathAndQuery,
    fields: HeaderMap,
}

impl Request {
    /// Understands a head, or says why not.
    pub(crate) fn understand(head: request::Parts, rules: &Rules) -> Result<Self, Refused> {
        let request::Parts {
            method,
            uri,
            headers: mut fields,
            ..
        } = head;
        if fields.len() > MAX_FIELDS {
            return Err(Refused::TooManyFields);
        }
        if method == Method::CONNECT {
            return Err(Refused::ConnectInStream);
        }
        let authority = authority(&uri, &fields)?;
        let path = path(&uri, &method)?;
        let lengths = fields.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
        let length = length(lengths, false)?;
        let key = rules.hash_by.as_ref().and_then(|part| {
            let headers = fields.iter().map(|(name, value)| Header {
                name: name.as_str(),
                value: value.as_bytes(),
            });
            part.of(&headers.collect::<Vec<_>>(), path.as_str())
        });
        fields.remove(HOST);
        keep_hop(&mut fields, &[TE]);
        Ok(Self {
            idempotent: is_idempotent(method.as_str()),
            length,
            key,
            method,
            authority,
            path,
            fields,
        })
    }

    /// The client's name for the proxy.
    pub(crate) fn host(&self) -> &[u8] {
        self.authority.as_str().as_bytes()
    }

    /// Method and path.
    pub(crate) fn line(&self) -> (String, String) {
        (self.method.to_string(), self.path.to_string())
    }

    /// As it goes to an endpoint; `host` replaces the client's, and `prefix` goes before its path.
    pub(crate) fn towards(
        &self,
        host: Option<&str>,
        prefix: &str,
        is_secure: bool,
    ) -> Result<http::Request<()>, Refused> {
        let authority = match host {
            Some(host) => Authority::try_from(host).map_err(|_| Refused::BadHost)?,
            None => self.authority.clone(),
        };
        let path = if prefix.is_empty() || !self.path.as_str().starts_with('/') {
            self.path.clone()
        } else {
            PathAndQuery::try_from(format!("{prefix}{}", self.path)).map_err(|_| Refused::BadTarget)?
        };
        let scheme = if is_secure { Scheme::HTTPS } else { Scheme::HTTP };
        let mut uri = http::uri::Parts::default();
        (uri.scheme, uri.authority, uri.path_and_query) = (Some(scheme), Some(authority), Some(path));
        let mut request = http::Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Refused::BadTarget)?;
        *request.headers_mut() = self.fields.clone();
        Ok(request)
    }
}

/// The head of a response as it goes to the client.
pub(crate) fn response(head: response::Parts, rewrite: &Rewrite<'_>) -> http::Response<()> {
    let mut fields = head.headers;
    keep_hop(&mut fields, &[]);
    for (name, value) in &mut fields {
        if rewrite.concerns(name.as_str()) {
            let mut seen = Vec::new();
            rewrite.field(name.as_str(), value.as_bytes(), &mut seen);
            // Only what was there already is in it, and the client's name for the proxy.
            if let Ok(seen) = HeaderValue::from_bytes(&seen) {
                *value = seen;
            }
        }
    }
    let mut response = http::Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = fields;
    response
}

/// The trailers of a message as they go on.
pub(crate) fn trailers(mut fields: HeaderMap) -> HeaderMap {
    drop_fields(&mut fields, is_forbidden_trailer);
    fields
}

/// Is it gRPC, by its content?
pub(crate) fn is_grpc(fields: &HeaderMap) -> bool {
    let kind = fields
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().split_at_checked(16));
    kind.is_some_and(|(kind, more)| {
        kind.eq_ignore_ascii_case(b"application/grpc") && matches!(more.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Drops the fields that mean something to the next hop only, but for those of them that are named.
fn keep_hop(fields: &mut HeaderMap, kept: &[HeaderName]) {
    drop_fields(fields, |name| {
        is_hop_by_hop(name) && !kept.iter().any(|kept| kept == name)
    });
}

fn drop_fields(fields: &mut HeaderMap, is_dropped: impl Fn(&str) -> bool) {
    let dropped: Vec<_> = fields
        .keys()
        .filter(|name| is_dropped(name.as_str()))
        .cloned()
        .collect();
    for name in dropped {
        fields.remove(name);
    }
}

/// RFC 9113, section 8.3.1.
fn authority(uri: &Uri, fields: &HeaderMap) -> Result<Authority, Refused> {
    let mut hosts = fields.get_all(HOST).iter();
    let host = match (uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), None, _) => authority.clone(),
        (Some(authority), Some(host), None) => {
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
                return Err(Refused::HostMismatch);
            }
            authority.clone()
        }
        (None, Some(host), None) => Authority::try_from(host.as_bytes()).map_err(|_| Refused::BadHost)?,
        _ => return Err(Refused::HostCount),
    };
    if host.as_str().bytes().all(is_host_byte) {
        Ok(host)
    } else {
        Err(Refused::BadHost)
    }
}

/// RFC 9113, section 8.3.1. What is after a `#` the codec has left out.
fn path(uri: &Uri, method: &Method) -> Result<PathAndQuery, Refused> {
    let path = uri.path_and_query().ok_or(Refused::BadTarget)?;
    let is_path = path.as_str().starts_with('/') && path.as_str().bytes().all(|byte| byte.is_ascii_graphic());
    if is_path || (path == "*" && method == Method::OPTIONS) {
        Ok(path.clone())
    } else {
        Err(Refused::BadTarget)
    }
}
