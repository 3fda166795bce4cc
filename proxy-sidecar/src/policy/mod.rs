//! Decisions without I/O: which endpoint, whether again, and how often.

pub(crate) mod balance;
pub(crate) mod budget;
pub(crate) mod health;
