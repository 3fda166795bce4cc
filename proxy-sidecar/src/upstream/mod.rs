//! The cluster's side: endpoints, their addresses, and connections kept for the next request.

mod dial;
mod endpoint;
mod pool;

pub(crate) use dial::DialError;
pub(crate) use endpoint::{Endpoint, InFlight};
pub(crate) use pool::Lease;
