//! What the programs work on.

pub(crate) mod sample;
pub(crate) mod store;
