//! Which settings of the network side have none, by where records go.

use pod_contract::aws;
use pod_contract::config::Settings;
use pod_contract::tls;

use crate::sink::Target;

pub(super) const OF_THE_NETWORK: [&str; 11] = [
    "shared-key",
    "header",
    "compress",
    "username",
    "password",
    "api-key",
    "bearer",
    "request-timeout",
    "dead-letter-max",
    "hold",
    "all-refused",
];

pub(super) fn refuse_without_effect(s: &mut Settings<'_>, target: &Target) {
    if matches!(target, Target::Syslog(_) | Target::Datagrams(_)) {
        let of_http = OF_THE_NETWORK.iter().filter(|name| **name != "request-timeout");
        of_http.for_each(|name| s.pointless(name, "syslog knows no login, no headers and no refusal"));
    }
    if matches!(target, Target::Forward(_)) {
        for name in ["header", "api-key", "bearer", "all-refused", "dead-letter-max"] {
            s.pointless(name, "forward knows no headers, no tokens and no refusal");
        }
    } else {
        s.pointless("shared-key", "only forward has one");
    }
    match target {
        Target::Loki(_) => s.pointless("compress", "Loki takes snappy, and that is what it gets"),
        _ => s.pointless("label", "only Loki has labels; give --field"),
    }
    if !matches!(target, Target::Elasticsearch(_)) {
        s.pointless("hold", "only Elasticsearch and OpenSearch tell types of errors");
    }
    if matches!(target, Target::S3(_)) {
        for name in ["username", "password", "api-key", "bearer", "all-refused"] {
            s.pointless(
                name,
                "keys of buckets are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and no record is at fault",
            );
        }
    } else {
        aws::SETTINGS
            .iter()
            .for_each(|name| s.pointless(name, "the sink is no bucket"));
    }
    match target.server() {
        None if matches!(target, Target::Stdout | Target::File(_)) => {
            let of_network = OF_THE_NETWORK.iter().chain(&tls::NAMES);
            of_network.for_each(|name| s.pointless(name, "stdout and files answer at once and refuse nothing"));
        }
        Some(server) if !server.is_encrypted => {
            tls::NAMES
                .iter()
                .for_each(|name| s.pointless(name, "the sink is spoken to without TLS"));
        }
        Some(_) | None => {}
    }
}
