//! What a service counts. Handles are looked up once, at the start.

use std::rc::Rc;
use std::time::Duration;

use http::HeaderMap;
use pod_contract::metrics::{Registry, Series, latency};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use crate::config::Protocol;
use crate::grpc;
use crate::policy::health::Said;
use crate::respond::Reason;

type Labels = Vec<(&'static str, String)>;

/// All services' counters, by label.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    connections: Family<Labels, Gauge>,
    under_way: Family<Labels, Gauge>,
    handshakes: Family<Labels, Counter>,
    checks: Family<Labels, Counter>,
    unverified: Family<Labels, Gauge>,
    calls: Family<Labels, Counter>,
    durations: Durations,
}

#[derive(Debug)]
struct Durations(Family<Labels, Histogram>);

impl Default for Durations {
    fn default() -> Self {
        Self(Family::new_with_constructor(latency))
    }
}

/// One service's counters; they are shown as long as there is the service.
#[derive(Debug)]
pub(crate) struct ServiceMetrics {
    /// By the first digit of the status.
    responses: [Series<Labels, Counter>; 5],
    /// Ended by the client before the response was complete.
    pub(crate) aborted: Series<Labels, Counter>,
    /// Tunnels in which nothing moved for too long.
    pub(crate) idle: Series<Labels, Counter>,
    /// Tunnels to endpoints that no longer passed their checks.
    pub(crate) unfit: Series<Labels, Counter>,
    /// Ended by the endpoint in the middle of the response.
    pub(crate) cut: Series<Labels, Counter>,
    /// In the order of [`Reason::ALL`].
    failures: [Series<Labels, Counter>; Reason::ALL.len()],
    pub(crate) retries: Series<Labels, Counter>,
    pub(crate) retries_denied: Series<Labels, Counter>,
    pub(crate) connections: Series<Labels, Gauge>,
    pub(crate) under_way: Series<Labels, Gauge>,
    /// Those in full, and those that resumed an earlier session.
    handshakes: [Series<Labels, Counter>; 2],
    /// Passed, failed, and without an answer.
    checks: [Series<Labels, Counter>; 3],
    pub(crate) unverified: Series<Labels, Gauge>,
    /// Of gRPC, in the order of [`CODES`](grpc::CODES); none of a service that does not speak HTTP/2.
    calls: Vec<Series<Labels, Counter>>,
    /// None of a service that has no requests.
    duration: Option<Series<Labels, Histogram>>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("proxy");
        registry.register(
            "requests",
            "Requests answered, by class of status",
            metrics.requests.clone(),
        );
        registry.register(
            "broken_exchanges",
            "Exchanges that did not end with a complete response, by who ended them",
            metrics.errors.clone(),
        );
        registry.register(
            "failures",
            "Requests and tunnels that the proxy refused or could not serve, by reason",
            metrics.failures.clone(),
        );
        registry.register(
            "retries",
            "Tries after the first, and those that the budget did not allow",
            metrics.retries.clone(),
        );
        registry.register(
            "connections",
            "Open connections of the application",
            metrics.connections.clone(),
        );
        registry.register(
            "requests_under_way",
            "Requests or tunnels under way",
            metrics.under_way.clone(),
        );
        registry.register(
            "tls_handshakes",
            "TLS handshakes with endpoints, in full and resumed",
            metrics.handshakes.clone(),
        );
        registry.register(
            "health_checks",
            "Checks of endpoints, by how they ended",
            metrics.checks.clone(),
        );
        registry.register(
            "tls_unverified",
            "1 while any server is believed to be an endpoint (tls-insecure)",
            metrics.unverified.clone(),
        );
        registry.register(
            "grpc_calls",
            "Calls of gRPC that ended with a status, by its code",
            metrics.calls.clone(),
        );
        registry.register_with_unit(
            "response_duration",
            "From the whole request at an endpoint to the head of its response",
            Unit::Seconds,
            metrics.durations.0.clone(),
        );
        metrics
    }

    pub(crate) fn service(&self, name: &str, protocol: Protocol) -> Rc<ServiceMetrics> {
        let has_calls = protocol == Protocol::Http2;
        let with = |label: &'static str, value: &str| vec![("service", name.to_owned()), (label, value.to_owned())];
        let alone = vec![("service", name.to_owned())];
        Rc::new(ServiceMetrics {
            responses: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| Series::of(&self.requests, with("class", class))),
            aborted: Series::of(&self.errors, with("by", "client")),
            idle: Series::of(&self.errors, with("by", "idle_timeout")),
            unfit: Series::of(&self.errors, with("by", "health")),
            cut: Series::of(&self.errors, with("by", "endpoint")),
            failures: Reason::ALL.map(|reason| Series::of(&self.failures, with("reason", reason.name()))),
            retries: Series::of(&self.retries, with("outcome", "tried")),
            retries_denied: Series::of(&self.retries, with("outcome", "denied")),
            connections: Series::of(&self.connections, alone.clone()),
            under_way: Series::of(&self.under_way, alone.clone()),
            handshakes: ["full", "resumed"].map(|kind| Series::of(&self.handshakes, with("kind", kind))),
            checks: ["passed", "failed", "silent"].map(|outcome| Series::of(&self.checks, with("outcome", outcome))),
            duration: protocol
                .has_requests()
                .then(|| Series::of(&self.durations.0, alone.clone())),
            unverified: Series::of(&self.unverified, alone),
            calls: grpc::CODES
                .iter()
                .filter(|_| has_calls)
                .map(|code| Series::of(&self.calls, with("code", code)))
                .collect(),
        })
    }
}

impl ServiceMetrics {
    pub(crate) fn failed(&self, reason: Reason) {
        self.failures[reason as usize].inc();
    }

    pub(crate) fn handshake(&self, is_resumed: bool) {
        self.handshakes[usize::from(is_resumed)].inc();
    }

    pub(crate) fn checked(&self, said: &Said) {
        let outcome = match said {
            Said::Fit => 0,
            Said::Unfit(_) => 1,
            Said::Nothing(_) => 2,
        };
        self.checks[outcome].inc();
    }

    /// Counts what these fields say, if they say how a call ended: the code.
    pub(crate) fn grpc(&self, fields: &HeaderMap) -> Option<u8> {
        let code = fields.get(grpc::STATUS)?.to_str().ok()?.parse().ok()?;
        self.grpc_code(code);
        Some(code)
    }

    pub(crate) fn grpc_code(&self, code: u8) {
        if let Some(counter) = self.calls.get(usize::from(code)) {
            counter.inc();
        }
    }

    /// An endpoint has answered, after so long since it had the whole request; none if it did not wait for that.
    pub(crate) fn responded(&self, status: u16, took: Option<Duration>) {
        self.answered(status);
        if let (Some(duration), Some(took)) = (&self.duration, took) {
            duration.observe(took.as_secs_f64());
        }
    }

    pub(crate) fn answered(&self, status: u16) {
        if let Some(counter) = self.responses.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.inc();
        }
    }
}
