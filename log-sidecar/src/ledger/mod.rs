//! The account of every record on its way to one sink: read = acked + rejected + lost + dropped + in flight.

mod lag;
mod metrics;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

pub(crate) use self::lag::{Lag, Lags, Watermark};
pub(crate) use self::metrics::register;

/// Counters shared by the reader thread and the network side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// Its name, if there may be several.
    pub(crate) sink: Option<Arc<str>>,
    pub(crate) read: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) acked: Counter,
    pub(crate) rejected: Counter,
    pub(crate) lost: Counter,
    /// Of lines that could not be read.
    pub(crate) lost_bytes: Counter,
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
    pub(crate) tls_unverified: Gauge,
    pub(crate) lags: Lags,
    /// Reading was ended by the clock while files still grew.
    pub(crate) cut_off: Arc<AtomicBool>,
}

impl Ledger {
    pub(crate) fn of(sink: Option<&Arc<str>>) -> Self {
        Self {
            sink: sink.cloned(),
            ..Self::default()
        }
    }

    /// Stands before what is said of the sink, if it has a name.
    pub(crate) fn prefix(&self) -> String {
        self.sink.iter().map(|sink| format!("{sink}: ")).collect()
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
        let unread = told("lost unread bytes", self.lost_bytes.get());
        let sink = self.prefix();
        format!(
            "{sink}read {read}, acked {acked}, rejected {rejected}{lost}{unread}{dropped}, in flight {in_flight}, unread {} bytes, unreadable {} files",
            self.backlog_bytes.get(),
            self.unreadable_files.get()
        )
    }
}

/// For the deadline: all of them.
pub(crate) fn summary(ledgers: &[Ledger]) -> String {
    ledgers.iter().map(Ledger::summary).collect::<Vec<_>>().join("; ")
}
