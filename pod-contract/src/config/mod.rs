//! Settings as typed (flag, environment variable, YAML file) become proved values; every mistake is reported in one run.
//!
//! One setting has one name everywhere: flag `--flush-interval`, variable `LOG_SIDECAR_FLUSH_INTERVAL`, YAML key `flush-interval`.
//! A flag wins over the variable, the variable over the file.

mod problem;
mod settings;
mod yaml;

pub use problem::{Origin, Problem};
pub(crate) use settings::variable;
pub use settings::{Setting, Settings};
