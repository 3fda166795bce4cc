//! Where it goes: what DEST means, which directory that is, one run at a time, and paths below it.

pub(crate) mod beneath;
mod ground;
mod lock;
mod place;
mod target;

pub(crate) use ground::Ground;
pub(crate) use place::{Place, is_mount_point};
pub(crate) use target::{Target, refuse_into_itself};
