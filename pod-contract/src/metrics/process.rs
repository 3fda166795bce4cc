//! Figures of this process, read when somebody asks.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Figures of this process under the names that every Prometheus client library uses.
#[derive(Debug)]
pub(super) struct Process;

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
