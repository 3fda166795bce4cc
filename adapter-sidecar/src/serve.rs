//! The two routes, and the life of the process around them.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use pod_contract::admin::{self, Admin};
use pod_contract::metrics::{self as own, Counted, Format, negotiate};
use pod_contract::net::listen::{announce, bind};
use pod_contract::net::serve::serve;
use pod_contract::run::greet::greet;
use pod_contract::run::lifecycle::{self, CancellationToken};
use pod_contract::run::ready::{Latch, Ready};
use pod_contract::start::exit::Failure as ExitFailure;
use pod_contract::start::last_words::LastWords;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bridge::families;
use crate::config::{Config, OnDown};
use crate::exposition::encode;
use crate::health::{Health, decode};
use crate::metrics::Metrics;
use crate::upstream::{Deadline, Failure, Flight, Passing, SCRAPE_TIMEOUT, Target};

type Answer = Response<Either<Full<Bytes>, Passing>>;

/// What of a request goes on to the application when it passes through.
const FORWARDED: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, USER_AGENT];
/// What of the application's answer comes back.
const RETURNED: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, RETRY_AFTER];

/// What the admin side calls itself.
const SERVER: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Runs until SIGTERM, then finishes what it is answering, and returns.
pub fn run(config: Config, words: LastWords) -> Result<(), ExitFailure> {
    let metrics = Metrics::default();
    let counted = metrics.clone();
    let left = move || format!("{} answers under way", counted.under_way.get());
    lifecycle::run(config.grace, &words, left, |stop| start(config, metrics, stop))
}

async fn start(config: Config, metrics: Metrics, stop: CancellationToken) -> Result<(), ExitFailure> {
    let mut registry = own::registry("adapter", env!("CARGO_PKG_VERSION"));
    metrics.register(&mut registry);
    let ready = Ready::default();
    let starting = ready.latch("application");
    let admin = admin::listen(config.admin).await?;
    let listener = bind(config.listen, "--listen").await?;
    announce(&listener, "listening");

    let done = CancellationToken::new();
    let mut side = JoinSet::new();
    side.spawn_local(admin.serve(
        Admin {
            server: SERVER,
            ready,
            registry,
        },
        done.clone(),
    ));
    let adapter = Rc::new(Adapter::new(config, metrics));
    side.spawn_local(greet_application(Rc::clone(&adapter), starting));
    serve(listener, stop, async move |request| adapter.answer(request).await).await;
    done.cancel();
    tracing::info!("stopped");
    Ok(())
}

/// Ready when the application takes connections; requests are answered, if only with the cause, in the meantime.
async fn greet_application(adapter: Rc<Adapter>, starting: Latch) {
    greet(starting, async || {
        for target in [&adapter.health_from, &adapter.metrics_from].into_iter().flatten() {
            let address = &target.url.address;
            let connected = TcpStream::connect((address.host.as_str(), address.port)).await;
            connected.map_err(|error| format!("{address}: {error}"))?;
        }
        Ok(())
    })
    .await;
}

struct Adapter {
    config: Config,
    metrics: Metrics,
    health_from: Option<Target>,
    metrics_from: Option<Target>,
    scrape: Flight<Result<Health, Failure>>,
}

impl Adapter {
    fn new(config: Config, metrics: Metrics) -> Self {
        let target = |url: &Option<_>| url.clone().map(Target::new);
        let (health_from, metrics_from) = (target(&config.health_from), target(&config.metrics_from));
        Self {
            config,
            metrics,
            health_from,
            metrics_from,
            scrape: Flight::new(),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let _under_way = Counted::on(&self.metrics.under_way);
        let (route, target) = match request.uri().path() {
            "/health" => ("health", &self.health_from),
            "/metrics" => ("metrics", &self.metrics_from),
            _ => {
                return text(
                    StatusCode::NOT_FOUND,
                    "here are /health (with --health-from) and /metrics (with --metrics-from)\n",
                );
            }
        };
        let Some(target) = target else {
            return text(StatusCode::NOT_FOUND, &format!("/{route} is not configured\n"));
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        let started = Instant::now();
        let deadline = Deadline::of(request.headers(), self.config.timeout);
        let result = match route {
            "health" => self.pass(target, &request, deadline).await,
            _ => self.translate(target, &request, deadline).await,
        };
        match result {
            Ok(answer) => {
                self.metrics.answered(route, "ok", started.elapsed());
                answer
            }
            Err(failure) => {
                self.metrics.answered(route, failure.kind(), started.elapsed());
                tracing::debug!(route, %failure, "answered with the cause");
                text(failure.status(), &format!("adapter-sidecar: {failure}\n"))
            }
        }
    }

    /// `/health`: what the application says of its metrics, as it says it.
    async fn pass(&self, target: &Target, request: &Request<Incoming>, deadline: Deadline) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        for name in FORWARDED {
            if let Some(value) = request.headers().get(&name) {
                headers.insert(name, value.clone());
            }
        }
        // The application's own deadline is ours.
        if let Ok(seconds) = HeaderValue::try_from(deadline.budget.as_secs_f64().to_string()) {
            headers.insert(SCRAPE_TIMEOUT, seconds);
        }
        let response = target.ask(headers, request.uri().query(), deadline).await?;
        let (head, body) = response.into_parts();
        let max = self.config.max_body;
        if body.size_hint().lower() > max {
            return Err(Failure::TooLarge {
                url: target.url.to_string(),
                limit: max,
                setting: "--max-body",
            });
        }
        let under_way = Counted::on(&self.metrics.under_way);
        let mut answer = Response::new(Either::Right(Passing::new(body, max, deadline, under_way)));
        *answer.status_mut() = head.status;
        for name in RETURNED {
            if let Some(value) = head.headers.get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        // Prometheus 3 refuses an exposition without a type; the old one was taken for granted before.
        let untyped = answer
            .headers()
            .get(CONTENT_TYPE)
            .is_none_or(|value| value.as_bytes().trim_ascii().is_empty());
        if untyped {
            answer
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(Format::Text.content_type()));
        }
        Ok(answer)
    }

    /// `/metrics`: the application's health document as metrics.
    async fn translate(
        &self,
        target: &Target,
        request: &Request<Incoming>,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        // The shared request has no deadline of its own: each asker has one, and when the first one gives up, the next one asks anew.
        let scrape = self.scrape.join(|| self.health(target, Deadline::far()));
        let late = || Failure::Late {
            url: target.url.to_string(),
            after: deadline.budget,
        };
        let result = tokio::time::timeout_at(deadline.at, scrape)
            .await
            .unwrap_or_else(|_| Err(late()));
        let took = started.elapsed();
        let health = match result {
            Err(failure) if self.config.on_down == OnDown::Status => return Err(failure),
            Err(failure) => {
                tracing::debug!(%failure, "answered with adapter_target_up 0");
                None
            }
            Ok(health) => Some(health),
        };
        let format = negotiate(request.headers());
        Ok(full(
            StatusCode::OK,
            format.content_type(),
            encode(&families(health.as_ref(), took), format),
        ))
    }

    async fn health(&self, target: &Target, deadline: Deadline) -> Result<Health, Failure> {
        let headers = HeaderMap::from_iter([(
            ACCEPT,
            HeaderValue::from_static("application/health+json, application/json;q=0.9, */*;q=0.1"),
        )]);
        let response = target.ask(headers, None, deadline).await?;
        let status = response.status().as_u16();
        let body = target
            .collect(response.into_body(), self.config.max_document, deadline)
            .await?;
        decode(&body).map_err(|why| Failure::Garbage {
            url: target.url.to_string(),
            status,
            why: why.to_string(),
        })
    }
}

fn text(status: StatusCode, body: &str) -> Answer {
    full(status, "text/plain; charset=utf-8", body.to_owned())
}

fn full(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
