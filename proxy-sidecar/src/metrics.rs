//! What a service counts. Handles are looked up once, at the start.

use std::rc::Rc;

use pod_contract::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

type Labels = Vec<(&'static str, String)>;

/// All services' counters, by label.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    connections: Family<Labels, Gauge>,
    under_way: Family<Labels, Gauge>,
}

/// One service's counters.
#[derive(Debug)]
pub(crate) struct ServiceMetrics {
    /// By the first digit of the status.
    responses: [Counter; 5],
    /// Ended by the client before the response was complete.
    pub(crate) aborted: Counter,
    /// Ended by the endpoint in the middle of the response.
    pub(crate) cut: Counter,
    pub(crate) retries: Counter,
    pub(crate) retries_denied: Counter,
    pub(crate) connections: Gauge,
    pub(crate) under_way: Gauge,
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
        metrics
    }

    pub(crate) fn service(&self, name: &str) -> Rc<ServiceMetrics> {
        let with = |label: &'static str, value: &str| vec![("service", name.to_owned()), (label, value.to_owned())];
        let alone = vec![("service", name.to_owned())];
        Rc::new(ServiceMetrics {
            responses: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| self.requests.get_or_create_owned(&with("class", class))),
            aborted: self.errors.get_or_create_owned(&with("by", "client")),
            cut: self.errors.get_or_create_owned(&with("by", "endpoint")),
            retries: self.retries.get_or_create_owned(&with("outcome", "tried")),
            retries_denied: self.retries.get_or_create_owned(&with("outcome", "denied")),
            connections: self.connections.get_or_create_owned(&alone),
            under_way: self.under_way.get_or_create_owned(&alone),
        })
    }
}

impl ServiceMetrics {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(counter) = self.responses.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.inc();
        }
    }
}
