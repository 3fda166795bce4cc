//! The process's own metrics: registry, build and process figures, and the two text formats.
//!
//! Nothing is collected until somebody asks, so an idle process pays nothing.

mod latency;
mod negotiate;
pub(crate) mod panics;
mod process;
mod registry;
mod series;
mod text;

pub use latency::latency;
pub use negotiate::{Format, negotiate};
pub use registry::{Counted, Registry, registry};
pub use series::Series;
pub use text::exposition;
