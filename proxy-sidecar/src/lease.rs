//! What one try of a request has: an endpoint, and what carries it there.

use std::fmt::Display;

use tokio::time::Instant;

use crate::endpoints::InFlight;
use crate::exchange::Failed;
use crate::policy::breaker::Evidence;
use crate::policy::retry::Proof;
use crate::pool::Kept;
use crate::respond::Error;

/// An endpoint for one try, and what leads there: a connection of its own, or a place on one.
#[derive(Debug)]
pub(crate) struct Lease<C = Kept> {
    pub(crate) endpoint: InFlight,
    pub(crate) carrier: C,
    /// The connection has carried a request before: the endpoint may have closed it at this very moment.
    pub(crate) reused: bool,
    pub(crate) began: Instant,
}

impl<C> Lease<C> {
    /// From now on.
    pub(crate) fn new(endpoint: InFlight, carrier: C, reused: bool) -> Self {
        Self {
            endpoint,
            carrier,
            reused,
            began: Instant::now(),
        }
    }

    /// The endpoint did not answer as it should.
    pub(crate) fn failed(&self, evidence: Evidence, why: &dyn Display) {
        if evidence != Evidence::BrokenOff {
            self.endpoint.forsake_kept();
        }
        self.endpoint.failed(evidence, self.began, why);
    }

    /// A try on it failed; `in_hand`: all that was sent can be sent again.
    pub(crate) fn failure(&self, in_hand: bool, proof: Proof, error: Error) -> Failed<'_> {
        Failed {
            endpoint: self.endpoint.id,
            label: &self.endpoint.label,
            reused: self.reused,
            in_hand,
            proof,
            error,
        }
    }
}
