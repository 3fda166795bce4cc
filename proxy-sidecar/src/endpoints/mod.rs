//! The members of a cluster and their addresses.

mod dial;
mod endpoint;

pub(crate) use dial::DialError;
pub(crate) use endpoint::{Endpoint, InFlight};
