//! What a process does while it runs, whatever its work is: it is ready, it is told to stop, it drains, it tries again, it
//! takes new settings.

pub mod backoff;
#[cfg(feature = "sidecar")]
pub mod greet;
#[cfg(feature = "sidecar")]
pub mod lifecycle;
pub mod limits;
#[cfg(feature = "sidecar")]
pub mod ready;
#[cfg(feature = "sidecar")]
pub mod reload;
