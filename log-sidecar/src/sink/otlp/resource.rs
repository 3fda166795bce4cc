//! What all records of this process have in common.

use std::env;

use crate::parse::Shape;
use crate::pod;

/// The attributes of the resource.
pub(super) fn attributes(shape: &Shape) -> Vec<(String, String)> {
    let mut attributes = resource_attributes(&pod::fields(), |name| env::var(name).ok());
    attributes.extend(shape.fields.iter().cloned());
    attributes
}

/// Of the pod, and as SDKs take them from the environment:
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
fn resource_attributes(
    pod: &[(&'static str, String)],
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<(String, String)> {
    let names = [
        ("kubernetes.pod.name", "k8s.pod.name"),
        ("kubernetes.namespace", "k8s.namespace.name"),
        ("kubernetes.pod.uid", "k8s.pod.uid"),
        ("kubernetes.node.name", "k8s.node.name"),
    ];
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (field, value) in pod {
        let name = names
            .iter()
            .find(|(ours, _)| ours == field)
            .map_or(*field, |(_, name)| name);
        attributes.push((name.to_owned(), value.clone()));
    }
    let listed = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let listed = listed.split(',').filter_map(|pair| pair.split_once('='));
    let service = variable("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
    let listed = listed.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    for (key, value) in listed.chain(service.map(|name| ("service.name".to_owned(), name))) {
        // What is said last counts.
        attributes.retain(|(known, _)| *known != key);
        attributes.push((key, value));
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_is_the_pod_and_what_the_environment_says() {
        let pod = [
            ("kubernetes.pod.name", "app-1".to_owned()),
            ("kubernetes.namespace", "shop".to_owned()),
        ];
        let variable = |name: &str| match name {
            "OTEL_RESOURCE_ATTRIBUTES" => {
                Some("service.name=a, deployment.environment=prod,k8s.pod.name=mine,odd".to_owned())
            }
            "OTEL_SERVICE_NAME" => Some("orders".to_owned()),
            _ => None,
        };
        let found = resource_attributes(&pod, variable);
        let found: Vec<_> = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("k8s.namespace.name", "shop"),
            ("deployment.environment", "prod"),
            ("k8s.pod.name", "mine"),
            ("service.name", "orders"),
        ];
        assert_eq!(found, expected);
    }
}
