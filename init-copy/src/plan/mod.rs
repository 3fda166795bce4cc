//! What has to be where: the sources turned into a list of entries, before anything is written.

mod builder;
mod entry;
mod links;
pub(crate) mod names;
mod order;
pub mod safe_path;

pub(crate) use builder::Builder;
pub(crate) use entry::{Content, Entry, Kind, Opened, Plan, Share, Stamp};
pub(crate) use links::{Links, leads_outside};
pub(crate) use order::{apart, is_normal, is_within, order};
