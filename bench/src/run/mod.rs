//! Programs run in turn, and what each of them cost.

pub(crate) mod bench;
mod clear;
pub(crate) mod generator;
mod machine;
pub(crate) mod measure;
mod rounds;
pub(crate) mod steady;
pub(crate) mod tool;
pub(crate) mod traffic;
