//! Which files there are: globs, one look at every directory that they name, and hints that something changed there.

mod names;
mod patterns;
mod scan;
mod watch;

pub(crate) use names::{Kind, is_compressed_name, is_rotation_of};
pub(crate) use patterns::{Pattern, Patterns, resolved};
pub(crate) use scan::{Found, Scan};
pub(crate) use watch::{Watch, is_remote};
