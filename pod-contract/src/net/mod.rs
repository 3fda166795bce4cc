//! The small HTTP server that our own answers need.

mod patient;
pub mod serve;
