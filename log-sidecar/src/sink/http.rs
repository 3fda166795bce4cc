//! Requests of the network sinks: over kept connections, each with the login as it is at that moment, and answered in time or not at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::bodies::{bodies, gzip};
use super::connect::{CONNECT_TIMEOUT, Connector, chain};
use super::{Answer, Compress, Network};
use crate::recycle::{Pool, Recycled};

/// An item of `_bulk` answers with about 30 bytes, or a few hundred when it failed.
const MAX_ANSWER: usize = 16 << 20;
/// Below the idle timeouts of the usual load balancers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
#[derive(Debug)]
pub(super) struct Http {
    client: Client<Connector, Full<Bytes>>,
    network: Network,
    /// For what is sent.
    pub(super) bodies: Arc<Pool>,
}

/// Status, headers and body.
pub(super) type Answered = (StatusCode, HeaderMap, Bytes);

/// Why there is no answer, and whether the sink may have acted on the request all the same.
pub(super) struct Unanswered {
    pub(super) why: String,
    pub(super) is_sent: bool,
}

impl From<Unanswered> for Answer {
    fn from(Unanswered { why, is_sent }: Unanswered) -> Self {
        Self::Later {
            why,
            after: None,
            is_unclear: is_sent,
        }
    }
}

impl Unanswered {
    fn unsent(why: String) -> Self {
        Self { why, is_sent: false }
    }
}

impl Http {
    pub(super) fn new(network: Network) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(Connector::new(network.tls.clone()));
        Self {
            client,
            network,
            bodies: bodies(),
        }
    }

    /// Whoever is there and knows us is one to send to; what else is wrong shows then.
    pub(super) async fn greet(&self, url: &str) -> Result<(), String> {
        let asked = async {
            let request = self.request(Method::HEAD, url)?;
            let request = request.body(Full::default()).map_err(|e| e.to_string())?;
            self.client.request(request).await.map_err(|e| chain(&e))
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, asked).await {
            Ok(Ok(response)) if response.status() == StatusCode::UNAUTHORIZED => Err(format!(
                "status {}: it does not know us; give --username and --password, --api-key or --bearer as they are there",
                response.status()
            )),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(why),
            Err(_) => Err("no answer in time".into()),
        }
    }

    /// Sends records, compressed if that is wanted.
    pub(super) async fn send(&self, url: &str, kind: &str, body: Recycled) -> Result<Answered, Unanswered> {
        let request = self.request(Method::POST, url).map_err(Unanswered::unsent)?;
        let (request, body) = match self.network.compress {
            Compress::None => (request, body),
            Compress::Gzip => (request.header(CONTENT_ENCODING, "gzip"), gzip(&self.bodies, &body)),
        };
        self.answer(request.header(CONTENT_TYPE, kind), Bytes::from_owner(body))
            .await
    }

    /// Asks something, or tells to do it.
    pub(super) async fn post(&self, url: &str, kind: &str, body: Bytes) -> Result<Answered, Unanswered> {
        let request = self.request(Method::POST, url).map_err(Unanswered::unsent)?;
        self.answer(request.header(CONTENT_TYPE, kind), body).await
    }

    /// Asks for what is said of something, with `headers` beside those of every request.
    pub(super) async fn head(&self, url: &str, headers: Vec<(&str, String)>) -> Result<Answered, Unanswered> {
        let request = self.request(Method::HEAD, url).map_err(Unanswered::unsent)?;
        self.answer(with(request, headers), Bytes::new()).await
    }

    /// Puts something there, with `headers` beside those of every request.
    pub(super) async fn put(
        &self,
        url: &str,
        headers: Vec<(&str, String)>,
        body: Recycled,
    ) -> Result<Answered, Unanswered> {
        let request = self.request(Method::PUT, url).map_err(Unanswered::unsent)?;
        self.answer(with(request, headers), Bytes::from_owner(body)).await
    }

    /// Asks somebody else than the sink, who is not told what that is told.
    pub(super) async fn ask(&self, url: &str, authorization: Option<&str>) -> Result<Answered, Unanswered> {
        let request = Request::builder().method(Method::GET).uri(url);
        let request = match authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        };
        self.answer(request, Bytes::new()).await
    }

    pub(super) async fn get(&self, url: &str) -> Result<Answered, Unanswered> {
        let request = self.request(Method::GET, url).map_err(Unanswered::unsent)?;
        self.answer(request, Bytes::new()).await
    }

    async fn answer(&self, request: http::request::Builder, body: Bytes) -> Result<Answered, Unanswered> {
        let request = request.body(Full::new(body));
        let request = request.map_err(|e| Unanswered::unsent(e.to_string()))?;
        let answered = async {
            let response = self.client.request(request).await.map_err(|e| Unanswered {
                why: chain(&e),
                is_sent: !e.is_connect(),
            })?;
            let (head, body) = response.into_parts();
            let body = whole(body).await.map_err(|why| Unanswered { why, is_sent: true })?;
            Ok((head.status, head.headers, body))
        };
        let timeout = self.network.timeout;
        let answered = tokio::time::timeout(timeout, answered).await;
        answered.unwrap_or_else(|_| {
            let why = format!("no answer within {timeout:?}");
            Err(Unanswered { why, is_sent: true })
        })
    }

    /// The login is read anew for each request: a mounted Secret changes.
    fn request(&self, method: Method, url: &str) -> Result<http::request::Builder, String> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.network.headers.clone());
        }
        match &self.network.login {
            Some(login) => Ok(request.header(AUTHORIZATION, login.authorization().map_err(|e| e.to_string())?)),
            None => Ok(request),
        }
    }
}

fn with(request: http::request::Builder, headers: Vec<(&str, String)>) -> http::request::Builder {
    headers
        .into_iter()
        .fold(request, |request, (name, value)| request.header(name, value))
}

async fn whole(body: Incoming) -> Result<Bytes, String> {
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| chain(&*e))?;
    Ok(body.to_bytes())
}

/// Seconds, RFC 9110, section 10.2.3. The other form, a date, is left to the back-off: a clock that is off would make it worse.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The answer to a request that was not taken: `at_fault` are the statuses beside 413 by which the sink says that a record of it is.
pub(super) fn refused(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    why: String,
    at_fault: &[StatusCode],
) -> Answer {
    let is_unclear = status.is_server_error();
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Answer::Smaller {
            why,
            too_large: true,
            is_unclear,
        },
        _ if at_fault.contains(&status) && !is_page(headers, body) => Answer::Smaller {
            why,
            too_large: false,
            is_unclear,
        },
        // 401, 403 and 404 as well: a wrong password or a missing index is mended by a person, and then nothing must be gone.
        _ => Answer::Later {
            why,
            after: retry_after(headers),
            // Also of a gateway, after the request went on.
            is_unclear,
        },
    }
}

/// That is how a proxy on the way speaks, of a certificate or a header, and it has not looked at the records.
fn is_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    kind.get(..9)
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"))
        || body.trim_ascii_start().starts_with(b"<")
}

/// What an answer says, for people.
pub(super) fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        refused(
            status,
            &headers,
            body.as_bytes(),
            String::new(),
            &[StatusCode::BAD_REQUEST],
        )
    }

    #[test]
    fn only_the_sink_itself_finds_fault_with_records() {
        for (kind, body) in [("application/json", "{}"), ("text/plain", "too old"), ("", "")] {
            assert!(
                matches!(answer(400, kind, body), Answer::Smaller { too_large: false, .. }),
                "{kind}"
            );
        }
        for (kind, body) in [
            ("text/html", ""),
            ("Text/HTML; charset=utf-8", "no"),
            ("text/plain", "\r\n<html>"),
        ] {
            assert!(matches!(answer(400, kind, body), Answer::Later { .. }), "{kind}");
            // A proxy knows the size as well as any.
            assert!(
                matches!(answer(413, kind, body), Answer::Smaller { too_large: true, .. }),
                "{kind}"
            );
        }
        assert!(matches!(answer(422, "", ""), Answer::Later { is_unclear: false, .. }));
        assert!(matches!(answer(500, "", ""), Answer::Later { is_unclear: true, .. }));
    }
}
