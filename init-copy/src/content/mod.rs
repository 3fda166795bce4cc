//! Bytes: how they are told apart, and what is put into them.

pub mod checksum;
pub(crate) mod fingerprint;
pub(crate) mod substitute;

/// Read and written in one piece; larger pieces gain nothing and cost memory for each thread.
pub(crate) const BUFFER: usize = 256 << 10;
