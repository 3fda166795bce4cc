//! The account of every record on its way to one sink: read = acked + rejected + lost + dropped + given back + in flight.

mod lag;
mod metrics;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Of which nobody knows what became when new settings came, and that are read again.
    pub(crate) given_back: Counter,
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
    /// Something was written in this pod.
    pub(crate) has_begun: Arc<AtomicBool>,
    /// Nobody is left who could write more.
    pub(crate) has_no_writers: Arc<AtomicBool>,
}

impl Ledger {
    fn of(sink: Option<&Arc<str>>) -> Self {
        Self {
            sink: sink.cloned(),
            ..Self::default()
        }
    }

    /// Stands before what is said of the sink, if it has a name.
    pub(crate) fn prefix(&self) -> String {
        self.sink.iter().map(|sink| format!("{sink}: ")).collect()
    }

    /// Records of which nobody knows yet what becomes.
    pub(crate) fn in_flight(&self) -> u64 {
        let settled = [&self.acked, &self.rejected, &self.lost, &self.dropped, &self.given_back];
        self.read.get() - settled.iter().map(|counter| counter.get()).sum::<u64>()
    }

    /// For the last line of the log and for the deadline.
    pub(crate) fn summary(&self) -> String {
        let (read, acked, rejected, lost) = (self.read.get(), self.acked.get(), self.rejected.get(), self.lost.get());
        let dropped = self.dropped.get();
        let in_flight = self.in_flight();
        let told = |name, count| {
            if count > 0 {
                format!(", {name} {count}")
            } else {
                String::new()
            }
        };
        let (lost, dropped) = (told("lost", lost), told("dropped", dropped));
        let dropped = dropped + &told("given back", self.given_back.get());
        let unread = told("lost unread bytes", self.lost_bytes.get());
        let sink = self.prefix();
        format!(
            "{sink}read {read}, acked {acked}, rejected {rejected}{lost}{unread}{dropped}, in flight {in_flight}, unread {} bytes, unreadable {} files",
            self.backlog_bytes.get(),
            self.unreadable_files.get()
        )
    }
}

/// Those of all sinks that there are now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledgers(Arc<Mutex<Vec<Ledger>>>);

impl Ledgers {
    /// One for each of these sinks: that which it has had, or a new one.
    pub(crate) fn of<'n>(&self, sinks: impl Iterator<Item = Option<&'n Arc<str>>>) -> Vec<Ledger> {
        let ledgers = self.lock();
        let of = |sink: Option<&Arc<str>>| {
            let known = ledgers.iter().find(|ledger| ledger.sink.as_ref() == sink);
            known.cloned().unwrap_or_else(|| Ledger::of(sink))
        };
        sinks.map(of).collect()
    }

    /// Those of all sinks from now on.
    pub(crate) fn keep(&self, ledgers: &[Ledger]) {
        *self.lock() = ledgers.to_vec();
    }

    /// Was something written, for one of them, and is no file left, for any, that somebody could write to?
    pub(crate) fn have_no_writers_left(&self) -> bool {
        let ledgers = self.lock();
        let has_begun = |ledger: &Ledger| ledger.has_begun.load(Ordering::Relaxed);
        let has_no_writers = |ledger: &Ledger| ledger.has_no_writers.load(Ordering::Relaxed);
        ledgers.iter().any(has_begun) && ledgers.iter().all(has_no_writers)
    }

    /// For the deadline.
    pub(crate) fn summary(&self) -> String {
        self.lock().iter().map(Ledger::summary).collect::<Vec<_>>().join("; ")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ledger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
