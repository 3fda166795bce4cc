//! When the application has become quiet, so that a stop may end.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// When the application was last seen on any service: they stop together, for while it uses one it may need another.
#[derive(Debug)]
pub(crate) struct Quiet {
    clients: Cell<usize>,
    busy_at: Cell<Instant>,
    after: Duration,
}

impl Quiet {
    pub(crate) fn new(after: Duration) -> Self {
        Self {
            clients: Cell::new(0),
            busy_at: Cell::new(Instant::now()),
            after,
        }
    }

    /// Without a client for so long.
    pub(super) fn after(&self) -> Duration {
        self.after
    }

    pub(super) fn clients(&self) -> usize {
        self.clients.get()
    }

    pub(super) fn is_reached(&self) -> bool {
        self.clients.get() == 0 && self.busy_at.get().elapsed() >= self.after
    }

    pub(super) fn count(&self, clients: usize) {
        self.clients.set(clients);
        self.busy_at.set(Instant::now());
    }
}
