//! The whole content beside its final place, complete and durable, before any of it gets a name.
//!
//! What is staged has hidden names in the directory that is the destination (or its parent, when the destination is replaced as a
//! whole): the same file system, so that publishing is a rename. A *unit* is what one rename publishes: a file, a link, or a new
//! directory with all that is in it.

mod file;
mod fill;
mod staging;
mod sweep;

pub(crate) use fill::finish_dir;
pub(crate) use staging::{Done, Job, Staging};
pub(crate) use sweep::{sweep, sweep_parts};
