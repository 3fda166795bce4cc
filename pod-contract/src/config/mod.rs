//! Settings as typed (flag, environment variable, YAML file) become proved values; every mistake is reported in one run.
//!
//! One setting has one name everywhere: flag `--flush-interval`, variable `LOG_SIDECAR_FLUSH_INTERVAL`, YAML key `flush-interval`.
//! A flag wins over the variable, the variable over the file. What is given and has no effect is a mistake.

mod flag;
mod near;
mod problem;
mod schema;
mod secret;
mod setting;
mod settings;
mod typed;
mod yaml;

pub use flag::{Flag, Repeat, Section, Shape, list, map, optional, positional, setting, switch};
pub use problem::{Origin, Problem};
pub(crate) use schema::schema;
pub use secret::{Secret, read_secret_file};
pub use setting::{Setting, Word};
pub use settings::{Settings, shown};
pub(crate) use typed::variable;
