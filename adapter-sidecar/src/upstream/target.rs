//! One address of the application that is asked.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pod_contract::units::Url;
use tokio::time::timeout_at;

use super::deadline::Deadline;

/// Asks one URL. Each time on a connection of its own: between two scrapes the application may close one at any moment, and on
/// localhost a new one costs next to nothing.
#[derive(Debug)]
pub(crate) struct Target {
    client: Client<HttpConnector, Empty<Bytes>>,
    pub(crate) url: Url,
}

/// Why there is no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot reach {url}: {why}")]
    Unreachable { url: String, why: String },
    #[error("{url} did not answer within {after:?}")]
    Late { url: String, after: Duration },
    #[error("{url} broke off: {why}")]
    Broken { url: String, why: String },
    #[error("{url} answered with status {status} and something that is no health document: {why}")]
    Garbage { url: String, status: u16, why: String },
    #[error("{url} answered with more than {limit} bytes; see {setting}")]
    TooLarge {
        url: String,
        limit: u64,
        setting: &'static str,
    },
}

impl Failure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Broken { .. } | Self::Garbage { .. } | Self::TooLarge { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// For the label of a metric.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Late { .. } => "late",
            Self::Broken { .. } => "broken",
            Self::Garbage { .. } => "garbage",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

impl Target {
    pub(crate) fn new(url: Url) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Self { client, url }
    }

    /// Asks with these headers, and this query instead of none; the body is still to come. Redirects are not followed.
    pub(crate) async fn ask(
        &self,
        headers: HeaderMap,
        query: Option<&str>,
        deadline: Deadline,
    ) -> Result<Response<Incoming>, Failure> {
        let url = self.url.to_string();
        let uri = match query {
            Some(query) if !url.contains('?') => format!("{url}?{query}"),
            _ => url.clone(),
        };
        let mut request = Request::get(uri).body(Empty::new()).map_err(|e| Failure::Unreachable {
            url: url.clone(),
            why: e.to_string(),
        })?;
        *request.headers_mut() = headers;
        match timeout_at(deadline.at, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(e)) if e.is_connect() => Err(Failure::Unreachable {
                url,
                why: root_cause(&e),
            }),
            Ok(Err(e)) => Err(Failure::Broken {
                url,
                why: root_cause(&e),
            }),
            Err(_) => Err(Failure::Late {
                url,
                after: deadline.budget,
            }),
        }
    }

    /// The whole body of an answer.
    pub(crate) async fn collect(&self, body: Incoming, limit: usize, deadline: Deadline) -> Result<Bytes, Failure> {
        let url = self.url.to_string();
        let too_large = |url| Failure::TooLarge {
            url,
            limit: limit as u64,
            setting: "--max-document",
        };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large(url));
        }
        match timeout_at(deadline.at, Limited::new(body, limit).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large(url)),
            Ok(Err(e)) => Err(Failure::Broken {
                url,
                why: root_cause(&*e),
            }),
            Err(_) => Err(Failure::Late {
                url,
                after: deadline.budget,
            }),
        }
    }
}

/// The innermost error says what happened; the outer ones say who noticed.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
