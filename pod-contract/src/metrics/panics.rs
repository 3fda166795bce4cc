//! Panics that were confined to the connection or file that had them: each is a bug, and the process lives on.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;

/// Of the whole process, since a panic can be caught anywhere in it.
static CONFINED: AtomicU64 = AtomicU64::new(0);

/// One more.
pub(crate) fn count() {
    CONFINED.fetch_add(1, Ordering::Relaxed);
}

/// Shows them as `<prefix>_panics_total`.
#[derive(Debug)]
pub(super) struct Panics;

impl Collector for Panics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let panics = ConstCounter::new(CONFINED.load(Ordering::Relaxed));
        let help = "Panics confined to the connection or file that had them; each is a bug";
        panics.encode(encoder.encode_descriptor("panics", help, None, panics.metric_type())?)
    }
}
