//! The registry that all metrics of a process are in.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
pub use prometheus_client::registry::Registry;

use super::panics::Panics;
use super::process::Process;

/// A registry that names the program's metrics `prefix_…` and carries its build information and process figures.
pub fn registry(prefix: &'static str, version: &'static str) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    let info = Info::new(vec![("version", version)]);
    let own = registry.sub_registry_with_prefix(prefix);
    own.register("build", "The running build", info);
    own.register_collector(Box::new(Panics));
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
