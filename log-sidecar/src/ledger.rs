//! The account of every record: read = acked + rejected + lost + dropped + in flight, and the metrics that show it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pod_contract::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

/// Counters shared by the reader thread and the network side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) read: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) acked: Counter,
    pub(crate) rejected: Counter,
    pub(crate) lost: Counter,
    pub(crate) dropped: Counter,
    pub(crate) redacted: Counter,
    pub(crate) truncated: Counter,
    pub(crate) retries: Counter,
    pub(crate) resets: Counter,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) backlog_bytes: Gauge,
    pub(crate) hole_bytes: Counter,
    pub(crate) held_bytes: Gauge,
    pub(crate) held_deleted_bytes: Gauge,
    pub(crate) open_files: Gauge,
    pub(crate) unreadable_files: Gauge,
    /// Reading was ended by the clock while files still grew.
    pub(crate) cut_off: Arc<AtomicBool>,
}

impl Ledger {
    /// Shows the account under `log_…`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("log");
        registry.register("records_read", "Lines read from files", self.read.clone());
        registry.register_with_unit("read", "Bytes read from files", Unit::Bytes, self.read_bytes.clone());
        registry.register(
            "records_acked",
            "Records that the sink acknowledged",
            self.acked.clone(),
        );
        registry.register(
            "records_rejected",
            "Records that the sink refused for good, and that are kept in the dead-letter file or the log",
            self.rejected.clone(),
        );
        let help = "Rejected records that did not fit into the dead-letter file, or of which the sink did not say which, and that are lost";
        registry.register("records_lost", help, self.lost.clone());
        let help = "Records left out as --keep and --drop say";
        registry.register("records_dropped", help, self.dropped.clone());
        let help = "Records in which something was masked";
        registry.register("records_redacted", help, self.redacted.clone());
        registry.register("records_truncated", "Records cut at max-record", self.truncated.clone());
        registry.register("retries", "Requests sent again", self.retries.clone());
        registry.register(
            "file_resets",
            "Files read from the start again because they were truncated or replaced",
            self.resets.clone(),
        );
        registry.register_with_unit(
            "in_flight",
            "Read and not yet acknowledged",
            Unit::Bytes,
            self.in_flight_bytes.clone(),
        );
        registry.register_with_unit(
            "backlog",
            "Written by the application and not yet read",
            Unit::Bytes,
            self.backlog_bytes.clone(),
        );
        registry.register_with_unit(
            "held",
            "In flight, and held since the sink refuses every record of a batch and has taken nothing else since",
            Unit::Bytes,
            self.held_bytes.clone(),
        );
        registry.register_with_unit(
            "hole",
            "Passed over where a file was truncated under a writer without O_APPEND",
            Unit::Bytes,
            self.hole_bytes.clone(),
        );
        registry.register_with_unit(
            "held_deleted",
            "Size of files that are deleted or moved away, and held open since somebody may still write to them",
            Unit::Bytes,
            self.held_deleted_bytes.clone(),
        );
        registry.register("open_files", "Files held open", self.open_files.clone());
        registry.register(
            "unreadable_files",
            "Files that match and may not be read",
            self.unreadable_files.clone(),
        );
    }

    /// For the last line of the log and for the deadline.
    pub(crate) fn summary(&self) -> String {
        let (read, acked, rejected, lost) = (self.read.get(), self.acked.get(), self.rejected.get(), self.lost.get());
        let dropped = self.dropped.get();
        let in_flight = read - acked - rejected - lost - dropped;
        let told = |name, count| {
            if count > 0 {
                format!(", {name} {count}")
            } else {
                String::new()
            }
        };
        let (lost, dropped) = (told("lost", lost), told("dropped", dropped));
        format!(
            "read {read}, acked {acked}, rejected {rejected}{lost}{dropped}, in flight {in_flight}, unread {} bytes, unreadable {} files",
            self.backlog_bytes.get(),
            self.unreadable_files.get()
        )
    }
}
