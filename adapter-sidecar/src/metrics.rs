//! What the adapter counts about itself.

use std::time::Duration;

use pod_contract::metrics::{Registry, latency};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

type Labels = Vec<(&'static str, &'static str)>;

/// Answers by route and outcome, how long they took, and those that are not given yet.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    answers: Family<Labels, Counter>,
    duration: Family<Labels, Histogram>,
    pub(crate) under_way: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            answers: Family::default(),
            duration: Family::new_with_constructor(latency),
            under_way: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("adapter");
        registry.register("answers", "Answers given, by route and outcome", self.answers.clone());
        let help = "From a request to the head of its answer";
        registry.register_with_unit("answer_duration", help, Unit::Seconds, self.duration.clone());
        registry.register("under_way", "Answers that are not complete", self.under_way.clone());
    }

    pub(crate) fn answered(&self, route: &'static str, outcome: &'static str, took: Duration) {
        self.duration
            .get_or_create(&vec![("route", route)])
            .observe(took.as_secs_f64());
        self.answers
            .get_or_create(&vec![("route", route), ("outcome", outcome)])
            .inc();
    }
}
