//! One member of the cluster.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pod_contract::units::HostPort;
use tokio::time::Instant;

use super::dial::{DialError, Dialer};
use crate::policy::health::Health;
use crate::pool::{Lease, Pool};
use crate::stream::Stream;

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    dialer: Dialer,
    pool: Pool,
    health: Cell<Health>,
    in_flight: Cell<usize>,
}

/// Counts a request as under way while it lives.
#[derive(Debug)]
pub(crate) struct InFlight(pub(crate) Rc<Endpoint>);

impl Endpoint {
    pub(crate) fn new(target: &HostPort) -> Rc<Self> {
        Rc::new(Self {
            name: target.to_string(),
            dialer: Dialer::new(target),
            pool: Pool::default(),
            health: Cell::default(),
            in_flight: Cell::new(0),
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    pub(crate) fn idle(&self) -> usize {
        self.pool.len()
    }

    pub(crate) fn is_usable(&self) -> bool {
        let health = self.health.get();
        // The clock is asked only when there is something to compare.
        health == Health::default() || health.is_usable(Instant::now())
    }

    /// A kept connection, or a new one.
    pub(crate) async fn lease(&self, connect_timeout: Duration, max_idle: Duration) -> Result<Lease, DialError> {
        match self.pool.take(max_idle) {
            Some(lease) => Ok(lease),
            None => self
                .dial(connect_timeout)
                .await
                .map(|stream| Lease { stream, reused: false }),
        }
    }

    /// A new connection.
    pub(crate) async fn dial(&self, connect_timeout: Duration) -> Result<Stream, DialError> {
        self.dialer.dial(connect_timeout).await.inspect_err(|error| {
            if !matches!(error, DialError::OutOfFiles(_)) {
                self.failed(error);
            }
        })
    }

    /// Keeps a connection for the next request.
    pub(crate) fn give_back(&self, stream: Stream) {
        self.pool.put(stream);
    }

    pub(crate) fn sweep(&self, max_idle: Duration) {
        self.pool.sweep(max_idle);
    }

    pub(crate) fn failed(&self, why: &dyn std::fmt::Display) {
        let mut health = self.health.get();
        if health.failed(Instant::now()) {
            tracing::warn!(endpoint = self.name, %why, "endpoint is down; it rests");
        }
        self.health.set(health);
    }

    pub(crate) fn succeeded(&self) {
        let mut health = self.health.get();
        if health.succeeded() {
            tracing::info!(endpoint = self.name, "endpoint is back");
            self.health.set(health);
        }
    }
}

impl InFlight {
    pub(crate) fn on(endpoint: &Rc<Endpoint>) -> Self {
        endpoint.in_flight.set(endpoint.in_flight.get() + 1);
        Self(Rc::clone(endpoint))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}
