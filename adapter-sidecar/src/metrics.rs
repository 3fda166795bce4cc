//! What the adapter counts about itself.

use pod_contract::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Answers by route and outcome, and those that are not given yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    answers: Family<Vec<(&'static str, &'static str)>, Counter>,
    pub(crate) under_way: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("adapter");
        registry.register("answers", "Answers given, by route and outcome", self.answers.clone());
        registry.register("under_way", "Answers that are not complete", self.under_way.clone());
    }

    pub(crate) fn answered(&self, route: &'static str, outcome: &'static str) {
        self.answers
            .get_or_create(&vec![("route", route), ("outcome", outcome)])
            .inc();
    }
}
