//! What the programs work on.

pub(crate) mod sample;
