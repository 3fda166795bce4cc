//! From health to metrics: one schema, whichever framework wrote the document.

use std::time::Duration;

use crate::exposition::{Family, Kind, Sample};
use crate::health::{Health, Status};

/// The families of a scrape; `health` is missing when the application could not be asked.
pub(crate) fn families(health: Option<&Health>, took: Duration) -> Vec<Family> {
    let mut families = Vec::new();
    if let Some(health) = health {
        families.extend(of_health(health));
    }
    let up = if health.is_some() { 1.0 } else { 0.0 };
    families.push(gauge(
        "adapter_target_up",
        "Whether the application's health document could be had and understood.",
        vec![alone(up)],
    ));
    families.push(Family {
        unit: Some("seconds"),
        ..gauge(
            "adapter_scrape_duration_seconds",
            "How long the application took to answer.",
            vec![alone(took.as_secs_f64())],
        )
    });
    families
}

fn of_health(health: &Health) -> Vec<Family> {
    let up = |status: Status| if status.is_up() { 1.0 } else { 0.0 };
    let mut families = vec![gauge(
        "app_health_up",
        "Whether the application says that it serves.",
        vec![alone(up(health.status))],
    )];
    let components: Vec<_> = health
        .components
        .iter()
        .map(|c| Sample {
            labels: vec![("component", c.name.clone())],
            value: up(c.status),
        })
        .collect();
    if !components.is_empty() {
        families.push(gauge(
            "app_health_component_up",
            "Whether the application says that this component serves.",
            components,
        ));
    }
    let whole = std::iter::once(("", health.status));
    let all = whole.chain(health.components.iter().map(|c| (c.name.as_str(), c.status)));
    families.push(Family {
        name: "app_health_status",
        help: "The status of the application (component is empty) and of each component.",
        unit: None,
        kind: Kind::StateSet,
        samples: all.flat_map(|(component, status)| states(component, status)).collect(),
    });
    families
}

fn states(component: &str, status: Status) -> impl Iterator<Item = Sample> {
    Status::ALL.into_iter().map(move |state| Sample {
        labels: vec![
            ("component", component.to_owned()),
            ("app_health_status", state.label().to_owned()),
        ],
        value: if state == status { 1.0 } else { 0.0 },
    })
}

fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Family {
    Family {
        name,
        help,
        unit: None,
        kind: Kind::Gauge,
        samples,
    }
}

fn alone(value: f64) -> Sample {
    Sample {
        labels: Vec::new(),
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pod_contract::metrics::Format;

    use crate::exposition::encode;
    use crate::health::decode;

    #[test]
    fn a_document_becomes_metrics() {
        let health =
            decode(br#"{"status":"DOWN","components":{"db":{"status":"DOWN"},"disk":{"status":"UP"}}}"#).unwrap();
        insta::assert_snapshot!(encode(
            &families(Some(&health), Duration::from_millis(3)),
            Format::OpenMetrics
        ));
    }

    #[test]
    fn without_a_document_only_the_adapter_speaks() {
        let text = encode(&families(None, Duration::from_millis(3)), Format::Text);
        assert!(
            text.contains("adapter_target_up 0\n") && !text.contains("app_health"),
            "{text}"
        );
    }
}
