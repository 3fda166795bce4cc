//! The scenarios of `log-sidecar`.

pub(super) mod ship;
pub(super) mod steady;
