//! The scenarios of `log-sidecar`.

pub(super) mod ship;
