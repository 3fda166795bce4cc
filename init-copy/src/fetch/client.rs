//! One request and its redirects, with what went wrong sorted into what passes and what does not.

use std::fmt;
use std::io::Read as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pod_contract::start::exit::{Failure, USAGE};
use pod_contract::tls::{self, Tls};
use ureq::http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, http};

use super::credentials::Credentials;
use super::proxy::proxy_for;
use super::retry::{Deadline, Problem, Tries, retry_after};
use super::secure;
use super::url::WebUrl;
use crate::error::{AUTH, NETWORK, SOURCE};

/// More is a loop.
const MAX_REDIRECTS: usize = 10;
const CONNECT: Duration = Duration::from_secs(10);
/// What a server says besides the body.
const MAX_HEAD: usize = 64 << 10;

/// A client for one step.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    credentials: Credentials,
    deadline: Deadline,
}

/// What to ask for.
#[derive(Debug)]
pub(crate) struct Request<'r> {
    pub(crate) url: &'r WebUrl,
    pub(crate) headers: &'r [(&'static str, String)],
    /// For the origin of `url` only.
    pub(crate) authorization: Option<Authorization<'r>>,
}

impl Request<'_> {
    fn is_for_keys(&self) -> bool {
        matches!(self.authorization, Some(Authorization::ForKeys(_)))
    }
}

/// Who we are to a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Authorization<'a> {
    /// The value of that header.
    Header(&'a str),
    /// For keys, perhaps by the value of that header: nobody else is asked on the way, and nobody else is told.
    ForKeys(Option<&'a str>),
    /// Each request is signed by itself.
    Signed(&'a dyn Sign),
}

/// Who signs the requests to a store.
pub(crate) trait Sign: fmt::Debug {
    /// The headers that make a `GET` of `url` a signed one; none without keys.
    fn sign(&self, client: &Client, url: &WebUrl) -> Result<Vec<(&'static str, String)>, Problem>;

    /// That of the store.
    fn region(&self) -> &str;
}

/// A response whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: http::Response<Body>,
    /// Where it came from in the end.
    pub(crate) url: WebUrl,
    /// The region that was asked for, if it is the answer of a store.
    store: Option<String>,
    /// What the store, or whoever gives keys, says is wrong, in one word.
    pub(super) said: Option<String>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }
}

impl Client {
    pub(crate) fn new(
        tls: &Tls,
        credentials: Credentials,
        stall: Duration,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here: what may be sent along depends on where it leads.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("init-copy/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEAD)
            .input_buffer_size(64 << 10)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .timeout_recv_response(Some(stall))
            .build();
        let agent = Agent::with_parts(agent, secure::connector(tls)?, DefaultResolver::default());
        Ok(Self {
            agent,
            credentials,
            deadline,
        })
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Tries until it works, fails for good, or was tried often enough; what is waited for is told as `what`.
    pub(crate) fn persist<T>(
        &self,
        tries: u32,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, Problem>,
    ) -> Result<T, Failure> {
        let mut tries = Tries::new(tries);
        loop {
            let (why, after) = match attempt() {
                Ok(found) => return Ok(found),
                Err(Problem::Final(failure)) => return Err(failure),
                Err(Problem::Passing { why, after }) => (why, after),
            };
            let Some(pause) = tries.next(after, fastrand::f64()) else {
                return Err(why);
            };
            if self.deadline.left().is_some_and(|left| left <= pause) {
                return Err(self.deadline.failure(&why.cause));
            }
            tracing::warn!(error = why.cause, again_in = ?pause, "{what} does not answer");
            std::thread::sleep(pause);
        }
    }

    /// Asks, follows redirects, and returns whatever answer is no redirect.
    pub(crate) fn get(&self, request: &Request<'_>) -> Result<Answer, Problem> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut response = self.once(&url, request)?;
            let is_for_keys = request.is_for_keys();
            let Some(location) = redirect(&response).filter(|_| !is_for_keys) else {
                let store = match request.authorization.filter(|_| url.same_origin(request.url)) {
                    Some(Authorization::Signed(signer)) => Some(signer.region().to_owned()),
                    _ => None,
                };
                let tells = (store.is_some() || is_for_keys) && is_refusal(response.status());
                let said = if tells { said(&mut response) } else { None };
                return Ok(Answer {
                    response,
                    url,
                    store,
                    said,
                });
            };
            let next = url.join(&location).map_err(|why| {
                Problem::Final(Failure::new(
                    NETWORK,
                    format!("{url} redirects to a place that is refused: {why}"),
                ))
            })?;
            if url.is_https() && !next.is_https() {
                let cause = format!("{url} redirects to {next}, which is not encrypted");
                return Err(Problem::Final(
                    Failure::new(NETWORK, cause).remedy("ask for a URL that stays on https"),
                ));
            }
            tracing::debug!(from = %url, to = %next, "redirected");
            url = next;
        }
        Err(Problem::Final(Failure::new(
            NETWORK,
            format!("{} redirects more than {MAX_REDIRECTS} times", request.url),
        )))
    }

    fn once(&self, url: &WebUrl, request: &Request<'_>) -> Result<http::Response<Body>, Problem> {
        if self.deadline.has_passed() {
            return Err(Problem::Final(self.deadline.failure(&format!("fetching {url}"))));
        }
        let mut builder = self.agent.get(url.uri());
        for (name, value) in request.headers {
            builder = builder.header(*name, value);
        }
        let is_own = url.same_origin(request.url);
        match request.authorization.filter(|_| is_own) {
            Some(Authorization::Header(own) | Authorization::ForKeys(Some(own))) => {
                builder = builder.header(AUTHORIZATION, own);
            }
            Some(Authorization::ForKeys(None)) => {}
            Some(Authorization::Signed(store)) => {
                for (name, value) in store.sign(self, url)? {
                    builder = builder.header(name, value);
                }
            }
            None => {
                let found = self.credentials.of_netrc(url, !is_own).map_err(Problem::Final)?;
                if let Some(found) = found {
                    builder = builder.header(AUTHORIZATION, found);
                }
            }
        }
        // An agent of the node is not behind a proxy, and that would read what is not encrypted.
        let proxy =
            proxy_for(url, |name| std::env::var(name).ok()).filter(|_| url.is_https() || !request.is_for_keys());
        let refuse = |why| {
            Problem::Final(Failure::new(
                USAGE,
                format!("the proxy that the environment names is refused: {why}"),
            ))
        };
        if proxy
            .as_ref()
            .is_some_and(|proxy| !proxy.starts_with("http://") && !proxy.starts_with("https://"))
        {
            return Err(refuse("only http:// and https:// proxies are supported"));
        }
        let proxy = proxy.map(|proxy| ureq::Proxy::new(&proxy)).transpose();
        let proxy = proxy.map_err(|_| refuse("it is no URL"))?;
        let builder = builder
            .config()
            .proxy(proxy)
            .timeout_global(self.deadline.left())
            .build();
        builder.call().map_err(|error| self.sort(url, error))
    }

    /// Which failures of the transport pass.
    pub(crate) fn sort(&self, url: &WebUrl, error: ureq::Error) -> Problem {
        if self.deadline.has_passed() {
            return Problem::Final(self.deadline.failure(&format!("fetching {url}: {error}")));
        }
        if let ureq::Error::Io(io) = &error
            && let Some(failure) = io.get_ref().and_then(|inner| inner.downcast_ref::<Failure>())
        {
            let again = Failure::new(failure.code, failure.cause.clone()).remedy(failure.remedy.clone());
            return Problem::Final(again);
        }
        if let Some(rustls) = of_tls(&error) {
            let (why, remedy) = tls::explain(rustls);
            return Problem::Final(Failure::new(NETWORK, format!("cannot fetch {url}: {why}")).remedy(remedy));
        }
        let text = match &error {
            ureq::Error::Timeout(timeout) => format!("no answer in time ({timeout})"),
            other => other.to_string(),
        };
        let cause = format!("cannot fetch {url}: {text}");
        match error {
            ureq::Error::Tls(_) => Problem::Final(Failure::new(NETWORK, cause)),
            ureq::Error::ConnectProxyFailed(why) if why.contains("407") => {
                Problem::Final(Failure::new(AUTH, cause).remedy("give the proxy's user and password in its URL in the environment"))
            }
            ureq::Error::LargeResponseHeader(..) | ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Problem::Final(Failure::new(NETWORK, cause))
            }
            _ => Problem::Passing {
                why: Failure::new(NETWORK, cause).remedy(
                    "check name, port and network policy; in a mesh, an init container runs before the mesh's proxy: exclude \
                     the port from redirection, or make the proxy a native sidecar",
                ),
                after: None,
            },
        }
    }

    /// The problem behind a status that is none of those a caller expects.
    pub(crate) fn refuse(answer: &Answer) -> Problem {
        let (url, status) = (&answer.url, answer.response.status());
        let said = answer
            .said
            .as_ref()
            .map(|said| format!(" ({said})"))
            .unwrap_or_default();
        let cause = format!("{url} answers {status}{said}");
        let is_stale = matches!(
            answer.said.as_deref(),
            Some("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired")
        );
        if let (Some(asked), Some(region)) = (&answer.store, answer.header("x-amz-bucket-region"))
            && asked != region
            && matches!(status.as_u16(), 301 | 307 | 400 | 403)
        {
            let remedy = format!("the bucket is in the region {region}: give it with --s3-region");
            return Problem::Final(Failure::new(SOURCE, cause).remedy(remedy));
        }
        match status.as_u16() {
            400 | 401 | 403 if answer.store.is_some() && (is_stale || status != 400) => Problem::Final(Failure::new(AUTH, cause).remedy(
                "give keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role for the service account, and check what they may read, \
                 the region and the clock",
            )),
            401 | 403 | 407 => Problem::Final(Failure::new(AUTH, cause).remedy(
                "give credentials with --username and --password, --bearer, --netrc or --registry-config, and check what they may read",
            )),
            404 | 410 => Problem::Final(Failure::new(SOURCE, cause).remedy("check the path and the version in it")),
            408 | 425 | 429 | 500..=599 => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                let after = answer.header(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, now));
                Problem::Passing {
                    why: Failure::new(NETWORK, cause).remedy("find out why the server fails"),
                    after,
                }
            }
            _ => Problem::Final(Failure::new(NETWORK, cause)),
        }
    }
}

fn is_refusal(status: http::StatusCode) -> bool {
    !status.is_success() && status != http::StatusCode::NOT_MODIFIED
}

fn said(response: &mut http::Response<Body>) -> Option<String> {
    let mut body = String::new();
    let reader = response.body_mut().as_reader();
    reader.take(MAX_HEAD as u64).read_to_string(&mut body).ok()?;
    reason(&body).map(str::to_owned)
}

/// Such as `SignatureDoesNotMatch`. Source: Amazon S3 API Reference, "Error Responses"; AWS STS has the same element.
fn reason(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then_some(code)
}

/// What of TLS is behind an error, however deep.
fn of_tls(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn redirect(response: &http::Response<Body>) -> Option<String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION)?;
    is_redirect.then(|| String::from_utf8_lossy(location.as_bytes()).into_owned())
}
