//! The process's own metrics: registry, build and process figures, and the two text formats.
//!
//! Nothing is collected until somebody asks, so an idle process pays nothing.

mod process;
mod registry;
mod text;

pub use registry::{Counted, Registry, registry};
pub use text::{OPEN_METRICS, PROMETHEUS_TEXT, open_metrics, prometheus_text};
