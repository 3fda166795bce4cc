//! The account as metrics, with the name of the sink where there may be several.

use std::fmt;

use pod_contract::metrics::Registry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Unit;

use super::lag::Lag;
use super::{Ledger, Ledgers};

/// Name, help, whether it is of bytes, and where it stands.
type Entry<M> = (&'static str, &'static str, bool, fn(&Ledger) -> &M);

const COUNTERS: &[Entry<Counter>] = &[
    ("records_read", "Lines read from files.", false, |l| &l.read),
    ("read", "Bytes read from files.", true, |l| &l.read_bytes),
    ("records_acked", "Records that the sink acknowledged.", false, |l| {
        &l.acked
    }),
    (
        "records_rejected",
        "Records that the sink refused for good, and that are kept in the dead-letter file or the log.",
        false,
        |l| &l.rejected,
    ),
    (
        "records_lost",
        "Rejected records that did not fit into the dead-letter file, or of which the sink did not say which, and that are lost.",
        false,
        |l| &l.lost,
    ),
    (
        "records_dropped",
        "Records left out as --keep, --drop and --sample say.",
        false,
        |l| &l.dropped,
    ),
    (
        "records_given_back",
        "Records of which nobody knew what became when new settings came, and that were read again.",
        false,
        |l| &l.given_back,
    ),
    (
        "records_redacted",
        "Records in which something was masked.",
        false,
        |l| &l.redacted,
    ),
    ("records_truncated", "Records cut at max-record.", false, |l| {
        &l.truncated
    }),
    (
        "lost",
        "Written to files that were truncated or deleted before it was read, about; a record with the flag gap says where.",
        true,
        |l| &l.lost_bytes,
    ),
    ("retries", "Requests sent again.", false, |l| &l.retries),
    (
        "file_resets",
        "Files read from the start again because they were truncated or replaced.",
        false,
        |l| &l.resets,
    ),
    (
        "hole",
        "Passed over where a file was truncated under a writer without O_APPEND.",
        true,
        |l| &l.hole_bytes,
    ),
];

const GAUGES: &[Entry<Gauge>] = &[
    ("in_flight", "Read and not yet acknowledged.", true, |l| {
        &l.in_flight_bytes
    }),
    ("backlog", "Written by the application and not yet read.", true, |l| {
        &l.backlog_bytes
    }),
    (
        "held",
        "In flight, and held since the sink refuses every record of a batch and has taken nothing else since.",
        true,
        |l| &l.held_bytes,
    ),
    (
        "held_deleted",
        "Size of files that are deleted or moved away, and held open since somebody may still write to them.",
        true,
        |l| &l.held_deleted_bytes,
    ),
    ("open_files", "Files held open.", false, |l| &l.open_files),
    (
        "unreadable_files",
        "Files that match and may not be read.",
        false,
        |l| &l.unreadable_files,
    ),
    (
        "tls_unverified",
        "1 when any server is believed to be the sink.",
        false,
        |l| &l.tls_unverified,
    ),
];

/// Shows the accounts under `log_…`.
pub(crate) fn register(ledgers: &Ledgers, registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("log");
    registry.register_collector(Box::new(Accounts(ledgers.clone())));
}

#[derive(Debug)]
struct Accounts(Ledgers);

impl Collector for Accounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for &(name, help, is_bytes, of) in COUNTERS {
            let unit = is_bytes.then_some(&Unit::Bytes);
            self.add(&mut encoder, (name, help, unit), |ledger| of(ledger).clone())?;
        }
        for &(name, help, is_bytes, of) in GAUGES {
            let unit = is_bytes.then_some(&Unit::Bytes);
            self.add(&mut encoder, (name, help, unit), |ledger| of(ledger).clone())?;
        }
        let help = "So long ago, at least, something was written to any file that is not settled.";
        self.add(&mut encoder, ("lag", help, Some(&Unit::Seconds)), |ledger| {
            ConstGauge::new(ledger.lags.longest().as_secs_f64())
        })?;
        let help = "Written to a file and not settled, of those that are behind longest.";
        self.add_files(&mut encoder, ("file_lag", help, Some(&Unit::Bytes)), |lag| {
            ConstGauge::new(lag.bytes)
        })?;
        let help = "So long ago, at least, something was written to a file that is not settled.";
        self.add_files(&mut encoder, ("file_lag", help, Some(&Unit::Seconds)), |lag| {
            ConstGauge::new(lag.age.as_secs_f64())
        })
    }
}

/// Name, help and unit.
type Description<'d> = (&'static str, &'static str, Option<&'d Unit>);

impl Accounts {
    fn add<M: EncodeMetric + TypedMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, unit): Description<'_>,
        of: impl Fn(&Ledger) -> M,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, unit, M::TYPE)?;
        let ledgers = self.0.lock();
        if let [only @ Ledger { sink: None, .. }] = &ledgers[..] {
            return of(only).encode(metric);
        }
        for ledger in ledgers.iter() {
            of(ledger).encode(metric.encode_family(&labels(ledger, None))?)?;
        }
        Ok(())
    }

    fn add_files<M: EncodeMetric + TypedMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, unit): Description<'_>,
        of: impl Fn(&Lag) -> M,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, unit, M::TYPE)?;
        for ledger in self.0.lock().iter() {
            for lag in ledger.lags.get() {
                of(&lag).encode(metric.encode_family(&labels(ledger, Some(&lag.path)))?)?;
            }
        }
        Ok(())
    }
}

fn labels<'l>(ledger: &'l Ledger, path: Option<&'l str>) -> Vec<(&'static str, &'l str)> {
    let sink = ledger.sink.iter().map(|sink| ("sink", &**sink));
    sink.chain(path.map(|path| ("path", path))).collect()
}
