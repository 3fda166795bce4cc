//! What the adapter counts about itself.

use pod_contract::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Answers by route and outcome.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    answers: Family<Vec<(&'static str, &'static str)>, Counter>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("adapter");
        registry.register(
            "answers",
            "Answers given, by route and outcome",
            metrics.answers.clone(),
        );
        metrics
    }

    pub(crate) fn answered(&self, route: &'static str, outcome: &'static str) {
        self.answers
            .get_or_create(&vec![("route", route), ("outcome", outcome)])
            .inc();
    }
}
