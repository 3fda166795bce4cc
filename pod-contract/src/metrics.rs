//! The process's own metrics: registry, build and process figures, and the two text formats.
//!
//! Nothing is collected until somebody asks, so an idle process pays nothing.

use std::fmt::Write as _;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
pub use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

/// Media type of [`open_metrics`]. <https://prometheus.io/docs/specs/om/open_metrics_spec/>
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of [`prometheus_text`]. <https://prometheus.io/docs/instrumenting/exposition_formats/>
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A registry that names the program's metrics `prefix_…` and carries its build information and process figures.
pub fn registry(prefix: &'static str, version: &'static str) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    let info = Info::new(vec![("version", version)]);
    registry
        .sub_registry_with_prefix(prefix)
        .register("build", "The running build", info);
    registry
}

/// Adds one to a gauge while it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// One more, until this is dropped.
    pub fn on(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The registry in OpenMetrics 1.0.
pub fn open_metrics(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a String cannot fail");
    text
}

/// The registry in Prometheus text 0.0.4, which has no units and no end mark and names a counter's family as its sample.
pub fn prometheus_text(registry: &Registry) -> String {
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

/// Figures of this process under the names that every Prometheus client library uses.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(stat) = Stat::read() else { return Ok(()) };
        let cpu = ConstCounter::new(stat.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            "CPU time used, user and system",
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;
        let rss = ConstGauge::new(stat.rss_bytes);
        rss.encode(encoder.encode_descriptor(
            "process_resident_memory",
            "Memory in use",
            Some(&Unit::Bytes),
            rss.metric_type(),
        )?)?;
        let fds = ConstGauge::new(stat.open_fds);
        fds.encode(encoder.encode_descriptor("process_open_fds", "Open file descriptors", None, fds.metric_type())?)
    }
}

struct Stat {
    cpu_seconds: f64,
    rss_bytes: i64,
    open_fds: i64,
}

impl Stat {
    /// From `/proc/self`, proc(5); none where `/proc` is not mounted.
    fn read() -> Option<Self> {
        // The kernel reports CPU time to user space in hundredths of a second on every architecture (USER_HZ).
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field, the name, may hold spaces; it ends with the last parenthesis.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss_kib: i64 = rss.trim().trim_end_matches(" kB").parse().ok()?;
        let open_fds = i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
        Some(Self {
            cpu_seconds: ticks / TICKS_PER_SECOND,
            rss_bytes: rss_kib * 1024,
            open_fds,
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

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
