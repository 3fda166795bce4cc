//! The two text formats that an exposition is written in.

use std::fmt::Write as _;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::negotiate::Format;

/// The registry in `format`.
pub fn exposition(registry: &Registry, format: Format) -> String {
    match format {
        Format::Text => prometheus_text(registry),
        Format::OpenMetrics => open_metrics(registry),
    }
}

/// The registry in OpenMetrics 1.0.
fn open_metrics(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a String cannot fail");
    text
}

/// The registry in Prometheus text 0.0.4, which has no units and no end mark and names a counter's family as its sample.
fn prometheus_text(registry: &Registry) -> String {
    let open = open_metrics(registry);
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        let (mark, kind, name, rest) = (words.next(), words.next(), words.next(), words.next());
        let (Some("#"), Some(kind), Some(name)) = (mark, kind, name) else {
            if !line.starts_with('#') {
                writeln!(text, "{line}").expect("writing to a String cannot fail");
            }
            continue;
        };
        let (suffix, rest) = match type_of(&open, name) {
            "counter" => ("_total", rest.unwrap_or("")),
            "info" => ("_info", rest.unwrap_or("").trim_start_matches("info")),
            _ => ("", rest.unwrap_or("")),
        };
        match (kind, rest) {
            ("UNIT", _) => Ok(()),
            ("TYPE", "") => writeln!(text, "# TYPE {name}{suffix} gauge"),
            ("TYPE", "unknown") => writeln!(text, "# TYPE {name}{suffix} untyped"),
            _ => writeln!(text, "# {kind} {name}{suffix} {rest}"),
        }
        .expect("writing to a String cannot fail");
    }
    text
}

fn type_of<'t>(exposition: &'t str, name: &str) -> &'t str {
    let mark = format!("# TYPE {name} ");
    let line = exposition.lines().find_map(|line| line.strip_prefix(&mark));
    line.unwrap_or("")
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::metrics::registry;

    fn sample() -> Registry {
        let mut registry = registry("demo", "1.2.3");
        let requests = Counter::<u64>::default();
        requests.inc();
        registry.register("demo_requests", "Requests seen", requests);
        registry
    }

    #[test]
    fn open_metrics_ends_with_its_mark() {
        let text = open_metrics(&sample());
        assert!(
            text.contains("# TYPE demo_requests counter\ndemo_requests_total 1\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
        assert!(
            text.contains("process_cpu_seconds_total ") && text.contains("process_resident_memory_bytes "),
            "{text}"
        );
    }

    #[test]
    fn prometheus_text_names_families_as_their_samples() {
        let text = prometheus_text(&sample());
        assert!(
            text.contains(
                "# HELP demo_requests_total Requests seen.\n# TYPE demo_requests_total counter\ndemo_requests_total 1\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("# TYPE demo_build_info gauge\ndemo_build_info{version=\"1.2.3\"} 1\n"),
            "{text}"
        );
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }
}
